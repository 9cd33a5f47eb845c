package drillchain

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Chain is an HTTP server that answers as a Bitcoin node does. Its blocks follow
// from their heights.
type Chain struct {
	Tip  int64 // height of the last block
	Fork int64 // height from which on the blocks are those of a reorg, at least 1
}

const (
	genesisTime  = 1296688602 // of the regression test network, Unix seconds
	blockSpacing = 600        // seconds
	medianBlocks = 11
	maxRequest   = 16 << 20 // bytes
)

// Hash returns the hash of the block at a height.
func (c Chain) Hash(height int64) string {
	branch := "main"
	if height >= c.Fork {
		branch = "reorg"
	}
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "ailee drill %s %d", branch, height)))
}

type request struct {
	Method string            `json:"method"`
	Params []json.RawMessage `json:"params"`
	ID     json.RawMessage   `json:"id"`
}

type response struct {
	Result any             `json:"result"`
	Error  *rpcError       `json:"error"`
	ID     json.RawMessage `json:"id"`
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// The errors, as Bitcoin Core has them.
var (
	errHeight  = &rpcError{-8, "Block height out of range"}
	errUnknown = &rpcError{-5, "Block not found"}
	errMethod  = &rpcError{-32601, "Method not found"}
)

// ServeHTTP answers one call, or a batch.
func (c Chain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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

func (c Chain) answer(r request) response {
	result, err := c.call(r)
	return response{result, err, r.ID}
}

func (c Chain) call(r request) (any, *rpcError) {
	switch r.Method {
	case "getblockcount":
		return c.Tip, nil
	case "getbestblockhash":
		return c.Hash(c.Tip), nil
	case "getblockchaininfo":
		return map[string]any{"chain": "regtest", "blocks": c.Tip, "headers": c.Tip, "bestblockhash": c.Hash(c.Tip),
			"mediantime": medianTime(c.Tip), "initialblockdownload": false}, nil
	case "getblockhash":
		var height int64
		if len(r.Params) == 0 || json.Unmarshal(r.Params[0], &height) != nil || height < 0 || height > c.Tip {
			return nil, errHeight
		}
		return c.Hash(height), nil
	case "getblockheader":
		return c.header(r.Params)
	}
	return nil, errMethod
}

// header looks for a block from the tip down: callers ask for the last ones.
func (c Chain) header(params []json.RawMessage) (any, *rpcError) {
	var hash string
	if len(params) == 0 || json.Unmarshal(params[0], &hash) != nil {
		return nil, errUnknown
	}
	for height := c.Tip; height >= 0; height-- {
		if c.Hash(height) != hash {
			continue
		}
		header := map[string]any{"hash": hash, "height": height, "confirmations": c.Tip - height + 1,
			"time": blockTime(height), "mediantime": medianTime(height)}
		if height > 0 {
			header["previousblockhash"] = c.Hash(height - 1)
		}
		return header, nil
	}
	return nil, errUnknown
}

func blockTime(height int64) int64 { return genesisTime + blockSpacing*height }

// medianTime is the middle one of up to eleven times.
func medianTime(height int64) int64 {
	first := max(0, height-medianBlocks+1)
	return blockTime(first + (height-first+1)/2)
}
