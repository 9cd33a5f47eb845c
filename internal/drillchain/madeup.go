package drillchain

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/btcsuite/btcd/btcjson"

	"ailee-recovery/internal/workers"
)

const (
	genesisTime  = 1296688602 // of the regression test network, Unix seconds
	blockSpacing = 600        // seconds
	medianBlocks = 11
	maxRequest   = 16 << 20 // bytes
)

// madeUp is an HTTP server that answers the calls of the tools as Bitcoin Core does. Its blocks
// and their hashes are the same in every run.
type madeUp struct {
	url    string
	server *http.Server
	mu     sync.Mutex
	mined  int
	active []string         // hashes of the active chain, from height 0
	blocks map[string]block // all blocks that were ever mined, by hash
}

type block struct {
	height   int64
	previous string // hash, "" for the genesis block
}

func startMadeUp() (*madeUp, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &madeUp{url: "http://" + listener.Addr().String(), blocks: map[string]block{}}
	c.add(1)
	c.server = &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second}
	workers.Start(func() error { return c.server.Serve(listener) })
	return c, nil
}

func (c *madeUp) Kind() Kind  { return MadeUp }
func (c *madeUp) URL() string { return c.url }
func (c *madeUp) Close()      { _ = c.server.Close() }

func (c *madeUp) Mine(_ context.Context, count int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(count)
	return nil
}

func (c *madeUp) Replace(_ context.Context, depth int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if depth < 1 || depth > c.tip() {
		return fmt.Errorf("%d of %d blocks cannot be replaced", depth, c.tip())
	}
	c.active = c.active[:c.tip()-depth+1]
	c.add(depth + 1)
	return nil
}

// add adds blocks to the tip. A block's hash depends on all blocks before it, and on how many were
// ever mined, so that no block is mined twice.
func (c *madeUp) add(count int64) {
	for range count {
		b := block{height: int64(len(c.active))}
		if b.height > 0 {
			b.previous = c.active[b.height-1]
		}
		hash := fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "ailee drill %s %d", b.previous, c.mined)))
		c.mined++
		c.active = append(c.active, hash)
		c.blocks[hash] = b
	}
}

func (c *madeUp) tip() int64 { return int64(len(c.active)) - 1 }

type request struct {
	Method string            `json:"method"`
	Params []json.RawMessage `json:"params"`
	ID     json.RawMessage   `json:"id"`
}

type response struct {
	Result any               `json:"result"`
	Error  *btcjson.RPCError `json:"error"`
	ID     json.RawMessage   `json:"id"`
}

// ServeHTTP answers one call, or a batch.
func (c *madeUp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	var one request
	var batch []request
	w.Header().Set("Content-Type", "application/json")
	switch {
	case err == nil && json.Unmarshal(body, &batch) == nil:
		answers := []response{}
		for _, one := range batch {
			answers = append(answers, c.answer(one))
		}
		_ = json.NewEncoder(w).Encode(answers)
	case err == nil && json.Unmarshal(body, &one) == nil:
		answer := c.answer(one)
		if answer.Error != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_ = json.NewEncoder(w).Encode(answer)
	default:
		w.WriteHeader(http.StatusBadRequest)
	}
}

func (c *madeUp) answer(r request) response {
	c.mu.Lock()
	defer c.mu.Unlock()
	result, err := c.call(r)
	return response{result, err, r.ID}
}

func (c *madeUp) call(r request) (any, *btcjson.RPCError) {
	tip := c.tip()
	switch r.Method {
	case "getblockcount":
		return tip, nil
	case "getbestblockhash":
		return c.active[tip], nil
	case "getblockchaininfo":
		return map[string]any{"chain": "regtest", "blocks": tip, "headers": tip, "bestblockhash": c.active[tip],
			"mediantime": medianTime(tip), "initialblockdownload": false}, nil
	case "getblockhash":
		var height int64
		if len(r.Params) == 0 || json.Unmarshal(r.Params[0], &height) != nil || height < 0 || height > tip {
			return nil, btcjson.NewRPCError(btcjson.ErrRPCInvalidParameter, "Block height out of range")
		}
		return c.active[height], nil
	case "getblockheader":
		return c.header(r.Params)
	}
	return nil, btcjson.ErrRPCMethodNotFound
}

func (c *madeUp) header(params []json.RawMessage) (any, *btcjson.RPCError) {
	var hash string
	if len(params) > 0 {
		_ = json.Unmarshal(params[0], &hash)
	}
	b, known := c.blocks[hash]
	if !known {
		return nil, btcjson.NewRPCError(btcjson.ErrRPCBlockNotFound, "Block not found")
	}
	confirmations := int64(-1) // for a block that was replaced
	if b.height <= c.tip() && c.active[b.height] == hash {
		confirmations = c.tip() - b.height + 1
	}
	header := map[string]any{"hash": hash, "height": b.height, "confirmations": confirmations,
		"time": blockTime(b.height), "mediantime": medianTime(b.height)}
	if b.height > 0 {
		header["previousblockhash"] = b.previous
	}
	return header, nil
}

func blockTime(height int64) int64 { return genesisTime + blockSpacing*height }

// medianTime returns the median of the times of up to eleven blocks.
func medianTime(height int64) int64 {
	first := max(0, height-medianBlocks+1)
	return blockTime(first + (height-first+1)/2)
}
