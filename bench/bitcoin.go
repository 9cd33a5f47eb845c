package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/bitcointest"
)

const (
	// chainHeights is how many hashes are fetched from the server in memory.
	chainHeights = 900_000
	// nodeHeights is how many are fetched from btcd.
	nodeHeights = 500
	// maxResyncMemory is the most memory that a resync may use, in bytes.
	maxResyncMemory = 128 * mib
	// maxDeepMemory is the same if all anchors are invalidated in one atomic batch.
	maxDeepMemory = 192 * mib
	// perRequest is how many calls one request carries.
	perRequest = 1000
)

// bitcoinRows returns the rows that need a server.
func bitcoinRows(dir, bin, self string) []work {
	empty := bin + "/ailee_init_reorg_db -q --path $OUT"
	resync := bin + "/ailee_resync_blocks -q --start-height 0 --db-path $OUT --bitcoin-rpc "
	loop := fmt.Sprintf("seq 0 %d | xargs -n 1 %s -C /dev/null --notls --regtest --rpcserver=$NODE_ADDRESS --rpcuser=%s --rpcpass=%s getblockhash",
		nodeHeights, filepath.Join(dir, btcctl), bitcointest.User, bitcointest.Password)
	deep := fmt.Sprintf("%s/ailee_resync_blocks -q --max-reorg-depth %d --start-height 0 --db-path $OUT --bitcoin-rpc $FORK", bin, deepBlocks)
	return []work{
		{name: "resync 900,000 heights from memory, against fetching and dropping them",
			ours: resync + "$CHAIN", reference: self + " -part fetch $CHAIN", ratio: 1.3, writes: true, memory: maxResyncMemory, before: empty},
		{name: "resync 900,000 heights from memory, against a bare `net/http` loop",
			ours: resync + "$CHAIN", reference: self + " -part bare $CHAIN", ratio: 1.2, writes: true, memory: maxResyncMemory, before: empty},
		{name: "resync 501 heights from btcd, against one `btcctl getblockhash` for each",
			ours: resync + "$NODE", reference: loop, ratio: 0.02, writes: true, memory: maxResyncMemory, before: empty},
		{name: "resync a reorg 10,000 blocks deep with 100,000 anchors, against the same blocks without anchors",
			ours: deep, reference: deep, ratio: 3, writes: true, memory: maxDeepMemory,
			before: "cp -r " + filepath.Join(dir, "deep.$SIDE") + " $OUT"},
	}
}

// startServers starts the servers that the rows name, and inserts their addresses.
func startServers(rows []work, self string) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, s := range stops {
			s()
		}
	}
	_ = os.Setenv("BITCOIN_RPC_USER", bitcointest.User)
	_ = os.Setenv("BITCOIN_RPC_PASSWORD", bitcointest.Password)
	for _, name := range []string{"chain", "fork", "node"} {
		variable := "$" + strings.ToUpper(name)
		if !slices.ContainsFunc(rows, func(w work) bool { return w.mentions(variable) }) {
			continue
		}
		url, stopOne, err := startPart(self, name)
		if err != nil {
			stop()
			return nil, err
		}
		stops = append(stops, stopOne)
		with := strings.NewReplacer(variable+"_ADDRESS", strings.TrimPrefix(url, "http://"), variable, url)
		for i := range rows {
			rows[i].ours, rows[i].reference = with.Replace(rows[i].ours), with.Replace(rows[i].reference)
		}
	}
	return stop, nil
}

// btcctl is Bitcoin's command line client, in the folder of the data.
const btcctl = "btcctl"

func buildBtcctl(path string) error {
	if out, err := exec.Command("go", "build", "-o", path, "github.com/btcsuite/btcd/cmd/btcctl").CombinedOutput(); err != nil {
		return fmt.Errorf("building btcctl: %w: %s", err, out)
	}
	return nil
}

// startPart starts a server as a separate process.
func startPart(self, part string) (url string, stop func(), err error) {
	cmd := exec.Command(self, "-part", part)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	url, err = bufio.NewReader(out).ReadString('\n')
	return strings.TrimSpace(url), func() {
		_ = in.Close()
		_ = cmd.Wait()
	}, err
}

// deepFork returns the chain of the databases for a deep reorg, after the reorg.
func deepFork() *bitcointest.Chain {
	chain := bitcointest.NewChain(2*deepBlocks - 1)
	chain.Reorganise(deepBlocks, 2*deepBlocks-1)
	return chain
}

// serveChain serves a chain from memory and prints the URL. It ends when standard input ends.
func serveChain(chain *bitcointest.Chain) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", l.Addr())
	go func() { _ = http.Serve(l, chain) }()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// serveNode runs btcd and prints the URL. It ends when standard input ends.
func serveNode() error {
	main := &mainTB{}
	defer main.cleanUp()
	n := bitcointest.StartNode(main, false)
	n.Generate(nodeHeights)
	fmt.Println(n.URL)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// mainTB lets test helpers run outside of a test.
type mainTB struct {
	testing.TB
	cleanups []func()
}

func (m *mainTB) Helper()          {}
func (m *mainTB) Cleanup(f func()) { m.cleanups = append(m.cleanups, f) }
func (m *mainTB) TempDir() string {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		m.Fatalf("%v", err)
	}
	m.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
func (m *mainTB) Errorf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (m *mainTB) FailNow() {
	m.cleanUp()
	os.Exit(1)
}
func (m *mainTB) Fatalf(format string, args ...any) {
	m.Errorf(format, args...)
	m.FailNow()
}

func (m *mainTB) cleanUp() {
	for i := len(m.cleanups) - 1; i >= 0; i-- {
		m.cleanups[i]()
	}
}

// fetchAll fetches the hashes with the tools' client and drops them.
func fetchAll(url string) error {
	c, err := bitcoin.Open(bitcoin.Options{URL: url}, func(string, ...any) {})
	if err != nil {
		return err
	}
	return c.BlockHashes(context.Background(), 0, chainHeights-1, func(int64, string) error { return nil })
}

// fetchBare posts the same batches over one connection and ignores the answers.
func fetchBare(url string) error {
	for first := int64(0); first < chainHeights; first += perRequest {
		body := make([]byte, 0, 100*perRequest)
		for height := first; height < first+perRequest; height++ {
			body = strconv.AppendInt(append(body, `,{"jsonrpc":"1.0","id":`...), height, 10)
			body = strconv.AppendInt(append(body, `,"method":"getblockhash","params":[`...), height, 10)
			body = append(body, "]}"...)
		}
		body[0] = '['
		resp, err := http.Post(url, "application/json", bytes.NewReader(append(body, ']')))
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		_ = resp.Body.Close()
	}
	return nil
}
