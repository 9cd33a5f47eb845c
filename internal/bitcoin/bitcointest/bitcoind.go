package bitcointest

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcjson"
	"github.com/btcsuite/btcd/chaincfg/v2"
)

// Bitcoind is the main function of the program bitcoind of a test: a stand-in for Bitcoin Core's
// daemon, for when that is not installed. While it loads, it answers the first requests with -28.
// It is syncing until its tip is less than a day old. The hash of a block follows only from the
// block before, its time and its address, so mining the same block again is refused.
func Bitcoind() {
	if err := bitcoind(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// loading is how many requests are answered with -28.
const loading = 2

func bitcoind(args []string) error {
	options := map[string]string{}
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		options[name] = value
	}
	// On the main network nothing could be mined, and the whole chain would be downloaded.
	if _, regtest := options["-regtest"]; !regtest {
		return fmt.Errorf("this is a test of the regression test mode: %q", args)
	}
	if _, err := os.Stat(options["-datadir"]); err != nil {
		return fmt.Errorf("specified data directory %q does not exist", options["-datadir"])
	}
	settings, err := readSettings(options["-conf"])
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(options["-rpcbind"], options["-rpcport"]))
	if err != nil {
		return fmt.Errorf("unable to bind any endpoint for RPC server: %w", err)
	}
	c := &core{blocks: map[string]coreBlock{}}
	c.add("", genesisOfRegtest)
	// All answers come from Methods: the Chain itself has no blocks.
	server := NewChain(-1)
	server.Login = settings["rpcuser"] + ":" + settings["rpcpassword"]
	server.Misbehave = stillLoading
	server.Methods = map[string]func([]json.RawMessage) (any, error){
		"getblockchaininfo": c.locked(c.info), "getblockcount": c.locked(c.count), "getblockhash": c.locked(c.hash), "getblockheader": c.locked(c.header),
		"generatetoaddress": c.locked(c.generate), "invalidateblock": c.locked(c.invalidate), "setmocktime": c.locked(c.setTime),
	}
	return http.Serve(l, server)
}

func readSettings(file string) (map[string]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	settings := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "=")
		settings[name] = value
	}
	return settings, nil
}

func stillLoading(number int64, w http.ResponseWriter, _ *http.Request, body []byte) bool {
	if number > loading {
		return false
	}
	var one call
	_ = json.Unmarshal(body, &one)
	answer(w, http.StatusInternalServerError, one, nil, btcjson.NewRPCError(btcjson.ErrRPCInWarmup, "Verifying blocks…"))
	return true
}

// core is the chain of a Bitcoin Core in regression test mode.
type core struct {
	mu     sync.Mutex
	mocked int64 // time, 0 for the machine's clock
	active []string
	blocks map[string]coreBlock
}

type coreBlock struct {
	height   int64
	previous string
	time     int64 // Unix seconds
}

const (
	genesisOfRegtest = 1296688602   // Unix seconds
	maxTipAge        = 24 * 60 * 60 // seconds; with an older tip it is still syncing
	refusedAgain     = "ProcessNewBlock, block not accepted"
)

func (c *core) locked(method func([]json.RawMessage) (any, error)) func([]json.RawMessage) (any, error) {
	return func(params []json.RawMessage) (any, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return method(params)
	}
}

func (c *core) now() int64 {
	if c.mocked != 0 {
		return c.mocked
	}
	return time.Now().Unix()
}

// add adds a block to the tip, and reports false if the block existed.
func (c *core) add(address string, time int64) bool {
	b := coreBlock{height: int64(len(c.active)), time: time}
	if b.height > 0 {
		b.previous = c.active[b.height-1]
	}
	hash := fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%s %s %d", b.previous, address, time)))
	if _, known := c.blocks[hash]; known {
		return false
	}
	c.blocks[hash] = b
	c.active = append(c.active, hash)
	return true
}

func (c *core) tip() int64 { return int64(len(c.active)) - 1 }

// median returns the median time of the tip.
func (c *core) median() int64 {
	var times []int64
	for _, hash := range c.active[max(0, len(c.active)-medianBlocks):] {
		times = append(times, c.blocks[hash].time)
	}
	slices.Sort(times)
	return times[len(times)/2]
}

func (c *core) info([]json.RawMessage) (any, error) {
	best := c.active[c.tip()]
	return map[string]any{"chain": "regtest", "blocks": c.tip(), "headers": c.tip(), "bestblockhash": best, "time": c.blocks[best].time, "mediantime": c.median(),
		"initialblockdownload": c.now()-c.blocks[best].time > maxTipAge}, nil
}

func (c *core) count([]json.RawMessage) (any, error) { return c.tip(), nil }

func (c *core) hash(params []json.RawMessage) (any, error) {
	var height int64
	if len(params) != 1 || json.Unmarshal(params[0], &height) != nil || height < 0 || height > c.tip() {
		return nil, btcjson.NewRPCError(btcjson.ErrRPCInvalidParameter, "Block height out of range")
	}
	return c.active[height], nil
}

func (c *core) header(params []json.RawMessage) (any, error) {
	hash, b, err := c.block(params)
	if err != nil {
		return nil, err
	}
	confirmations := int64(-1)
	if b.height <= c.tip() && c.active[b.height] == hash {
		confirmations = c.tip() - b.height + 1
	}
	header := map[string]any{"hash": hash, "height": b.height, "confirmations": confirmations, "time": b.time, "mediantime": b.time}
	if b.height > 0 {
		header["previousblockhash"] = b.previous
	}
	return header, nil
}

// block returns the block whose hash is the first parameter.
func (c *core) block(params []json.RawMessage) (hash string, b coreBlock, err error) {
	if len(params) > 0 {
		_ = json.Unmarshal(params[0], &hash)
	}
	b, known := c.blocks[hash]
	if !known {
		return "", b, btcjson.NewRPCError(btcjson.ErrRPCBlockNotFound, "Block not found")
	}
	return hash, b, nil
}

func (c *core) generate(params []json.RawMessage) (any, error) {
	var count int64
	var to string
	if len(params) != 2 || json.Unmarshal(params[0], &count) != nil || json.Unmarshal(params[1], &to) != nil {
		return nil, btcjson.NewRPCError(btcjson.ErrRPCType, "JSON value is not of the expected type")
	}
	a, err := address.DecodeAddress(to, &chaincfg.RegressionNetParams)
	if err != nil || !a.IsForNet(&chaincfg.RegressionNetParams) {
		return nil, btcjson.NewRPCError(btcjson.ErrRPCInvalidAddressOrKey, "Error: Invalid address")
	}
	hashes := []string{}
	for range count {
		if !c.add(to, max(c.now(), c.median()+1)) {
			return nil, btcjson.NewRPCError(btcjson.ErrRPCInternal.Code, refusedAgain)
		}
		hashes = append(hashes, c.active[c.tip()])
	}
	return hashes, nil
}

func (c *core) invalidate(params []json.RawMessage) (any, error) {
	_, b, err := c.block(params)
	if err == nil {
		c.active = c.active[:b.height]
	}
	return nil, err
}

func (c *core) setTime(params []json.RawMessage) (any, error) {
	if len(params) != 1 || json.Unmarshal(params[0], &c.mocked) != nil || c.mocked < 0 {
		return nil, btcjson.NewRPCError(btcjson.ErrRPCInvalidParameter, "Mocktime must be in the range")
	}
	return nil, nil
}
