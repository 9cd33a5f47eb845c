package bitcointest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/bits"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcjson"
)

// The blocks of a [Chain] are BlockSpacing seconds apart, the first at GenesisTime, in Unix
// seconds.
const (
	GenesisTime  = 1231006505
	BlockSpacing = 600
)

const medianBlocks = 11

// Chain is the HTTP server of a node whose blocks follow from their heights. It
// answers in Bitcoin Core's form. The exported fields are set before it serves.
type Chain struct {
	// Misbehave may answer instead of the node: it is called with the number of the request,
	// counted from 1, and reports whether it has answered.
	Misbehave func(number int64, w http.ResponseWriter, r *http.Request, body []byte) bool
	// Methods adds or replaces methods. Their errors are *btcjson.RPCError.
	Methods map[string]func(params []json.RawMessage) (any, error)
	// Login is user:password, "" to require no login.
	Login   string
	Network string        // "" for main
	Syncing bool          // still in its initial block download, with an old tip
	Age     time.Duration // of the tip
	Ahead   int64         // headers whose blocks are missing

	requests atomic.Int64
	mu       sync.Mutex
	tip      int64
	forks    []int64 // the heights starting at which blocks were replaced
}

// NewChain returns a chain with the heights 0 to tip.
func NewChain(tip int64) *Chain { return &Chain{tip: tip} }

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// Serve serves the chain until the test ends, and returns the URL.
func (c *Chain) Serve(tb testing.TB) string {
	s := httptest.NewServer(c)
	tb.Cleanup(s.Close)
	return s.URL
}

// Requests returns how many HTTP requests there were.
func (c *Chain) Requests() int64 { return c.requests.Load() }

// Reorganise replaces the blocks from the given height up to the new tip.
func (c *Chain) Reorganise(from, tip int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forks = append(c.forks, from)
	c.tip = tip
}

// SetTip cuts the chain, or lets it grow.
func (c *Chain) SetTip(tip int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tip = tip
}

// Hash returns the hash of the block at a height.
func (c *Chain) Hash(height int64) string {
	v := c.view()
	return string(v.appendHash(nil, height))
}

// view is the chain at one moment.
type view struct {
	tip   int64
	forks []int64
}

func (c *Chain) view() view {
	c.mu.Lock()
	defer c.mu.Unlock()
	return view{c.tip, c.forks}
}

// branch returns how often the block at a height was replaced.
func (v view) branch(height int64) int64 {
	n := int64(0)
	for _, from := range v.forks {
		if from <= height {
			n++
		}
	}
	return n
}

func (v view) appendHash(b []byte, height int64) []byte {
	return appendHash(b, height, v.branch(height))
}

// appendHash appends a hash: 16 zeros, the height and the branch, 16 digits each,
// and digits that look like a hash.
func appendHash(b []byte, height, branch int64) []byte {
	b = append(b, "0000000000000000"...)
	b = appendHex(b, uint64(height))
	b = appendHex(b, uint64(branch))
	hi, lo := bits.Mul64(uint64(height)+uint64(branch)<<40+1, 0x9e3779b97f4a7c15)
	return appendHex(b, hi^bits.ReverseBytes64(lo))
}

func appendHex(b []byte, n uint64) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[n>>shift&15])
	}
	return b
}

func (c *Chain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	number := c.requests.Add(1)
	buffer := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(buffer)
	buffer.Reset()
	if _, err := buffer.ReadFrom(r.Body); err != nil {
		return
	}
	body := buffer.Bytes()
	if c.Misbehave != nil && c.Misbehave(number, w, r, body) {
		return
	}
	if user, password, _ := r.BasicAuth(); c.Login != "" && user+":"+password != c.Login {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	room := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(room)
	room.Reset()
	room.Grow(2 * len(body))
	status, answer := c.answer(room.AvailableBuffer(), body)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

// call is one call of a request.
type call struct {
	Method string            `json:"method"`
	Params []json.RawMessage `json:"params"`
	ID     json.RawMessage   `json:"id"`
}

// Answer returns the HTTP status and the correct answer to a request.
func (c *Chain) Answer(body []byte) (status int, answer []byte) { return c.answer(nil, body) }

// answer is [Chain.Answer], but appends to answer.
func (c *Chain) answer(answer, body []byte) (int, []byte) {
	v := c.view()
	if b, ok := v.hashes(answer, body); ok {
		return http.StatusOK, b
	}
	if bytes.HasPrefix(body, []byte("[")) {
		var calls []call
		if err := json.Unmarshal(body, &calls); err != nil {
			return http.StatusBadRequest, nil
		}
		answer = append(answer, '[')
		for i, one := range calls {
			if i > 0 {
				answer = append(answer, ',')
			}
			text, _ := c.one(v, one)
			answer = append(answer, text...)
		}
		return http.StatusOK, append(answer, "]\n"...)
	}
	var single call
	if err := json.Unmarshal(body, &single); err != nil {
		return http.StatusBadRequest, nil
	}
	text, err := c.one(v, single)
	text = append(text, '\n')
	switch {
	case err == nil:
		return http.StatusOK, text
	case err.Code == btcjson.ErrRPCMethodNotFound.Code:
		return http.StatusNotFound, text
	}
	return http.StatusInternalServerError, text
}

// hashes answers a batch that has only calls of getblockhash, written without spaces. It is many
// times as fast as decoding the batch. ok is false for anything else.
func (v view) hashes(answer, body []byte) (_ []byte, ok bool) {
	open, middle := []byte(`{"jsonrpc":"1.0","id":`), []byte(`,"method":"getblockhash","params":[`)
	if !bytes.HasPrefix(body, []byte("[")) {
		return nil, false
	}
	answer = append(answer, '[')
	for rest := body; len(rest) > 1; {
		id, tail, opened := cutNumber(rest[1:], open)
		height, tail, called := cutNumber(tail, middle)
		n, err := strconv.ParseInt(string(height), 10, 64)
		if !opened || !called || err != nil || n > v.tip || !bytes.HasPrefix(tail, []byte("]}")) {
			return nil, false
		}
		rest = tail[2:]
		answer = append(answer, `{"result":"`...)
		answer = v.appendHash(answer, n)
		answer = append(answer, `","error":null,"id":`...)
		answer = append(answer, id...)
		answer = append(answer, "},"...)
	}
	answer[len(answer)-1] = ']'
	return append(answer, '\n'), true
}

// cutNumber cuts prefix and the digits after it off b.
func cutNumber(b, prefix []byte) (digits, rest []byte, ok bool) {
	b, ok = bytes.CutPrefix(b, prefix)
	n := 0
	for n < len(b) && '0' <= b[n] && b[n] <= '9' {
		n++
	}
	return b[:n], b[n:], ok && n > 0
}

func (c *Chain) one(v view, one call) ([]byte, *btcjson.RPCError) {
	result, rpc := c.call(v, one)
	text, err := json.Marshal(struct {
		Result any               `json:"result"`
		Error  *btcjson.RPCError `json:"error"`
		ID     json.RawMessage   `json:"id"`
	}{result, rpc, one.ID})
	if err != nil {
		panic(err)
	}
	return text, rpc
}

func (c *Chain) call(v view, one call) (any, *btcjson.RPCError) {
	if method, ok := c.Methods[one.Method]; ok {
		result, err := method(one.Params)
		if err == nil {
			return result, nil
		}
		return nil, err.(*btcjson.RPCError)
	}
	switch one.Method {
	case "getblockcount":
		return v.tip, nil
	case "getbestblockhash":
		return string(v.appendHash(nil, v.tip)), nil
	case "getblockchaininfo":
		return map[string]any{"chain": c.network(), "blocks": v.tip, "headers": v.tip + c.Ahead,
			"bestblockhash": string(v.appendHash(nil, v.tip)), "mediantime": medianTime(v.tip), "time": c.tipTime(v.tip), "initialblockdownload": c.Syncing}, nil
	case "getblockhash":
		var height int64
		if len(one.Params) != 1 || json.Unmarshal(one.Params[0], &height) != nil || height < 0 || height > v.tip {
			return nil, btcjson.NewRPCError(btcjson.ErrRPCInvalidParameter, "Block height out of range")
		}
		return string(v.appendHash(nil, height)), nil
	case "getblockheader":
		return v.header(one.Params)
	}
	return nil, btcjson.ErrRPCMethodNotFound
}

// tipTime returns the time of the tip that getblockchaininfo reports, in Unix seconds: some time
// ago, whatever the header says.
func (c *Chain) tipTime(tip int64) int64 {
	if c.Syncing {
		return blockTime(tip)
	}
	return time.Now().Add(-c.Age).Unix()
}

func (c *Chain) network() string {
	if c.Network == "" {
		return "main"
	}
	return c.Network
}

// Header returns the answer to getblockheader.
func (c *Chain) Header(params []json.RawMessage) (any, error) {
	h, err := c.view().header(params)
	if err != nil {
		return nil, err
	}
	return h, nil
}

// header finds a block by what is encoded in its hash, even one that was replaced.
func (v view) header(params []json.RawMessage) (any, *btcjson.RPCError) {
	notFound := btcjson.NewRPCError(btcjson.ErrRPCBlockNotFound, "Block not found")
	var hash string
	if len(params) == 0 || json.Unmarshal(params[0], &hash) != nil || len(hash) != 64 {
		return nil, notFound
	}
	var height, branch int64
	_, err := fmt.Sscanf(hash[16:48], "%16x%16x", &height, &branch)
	if err != nil || string(appendHash(nil, height, branch)) != hash {
		return nil, notFound
	}
	confirmations := v.tip - height + 1
	if branch != v.branch(height) || height > v.tip {
		confirmations = -1
	}
	// The block before it is the one from when its branch was the latest.
	for v.branch(height) > branch {
		v.forks = v.forks[:len(v.forks)-1]
	}
	header := map[string]any{"hash": hash, "height": height, "confirmations": confirmations,
		"time": blockTime(height), "mediantime": medianTime(height)}
	if height > 0 {
		header["previousblockhash"] = string(v.appendHash(nil, height-1))
	}
	return header, nil
}

func blockTime(height int64) int64 { return GenesisTime + BlockSpacing*height }

// medianTime returns the middle one of up to eleven times.
func medianTime(height int64) int64 {
	first := max(0, height-medianBlocks+1)
	return blockTime(first + (height-first+1)/2)
}
