package bitcoin_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcjson"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/exit"
)

const (
	user     = "operator-4711"
	password = "s3cret-p4ss"
	// Hosted nodes have keys in their paths.
	path = "/v2/k3y-in-the-path"
)

// said collects warnings.
type said struct {
	mu    sync.Mutex
	lines []string
}

func (s *said) warn(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

// requireNoSecret asserts that no message contains the credentials.
func requireNoSecret(t *testing.T, err error, s *said) {
	t.Helper()
	text := strings.Join(s.lines, "\n")
	if err != nil {
		text += fmt.Sprintf("%v %+v %#v %v", err, err, err, cli.ErrorDocuments(err))
	}
	for _, secret := range []string{user, password, path, base64.StdEncoding.EncodeToString([]byte(user + ":" + password))} {
		require.NotContains(t, text, secret)
	}
}

// withLogin puts the test's credentials and path into a URL.
func withLogin(url string) string {
	return strings.Replace(url, "://", "://"+user+":"+password+"@", 1) + path
}

// collect fetches a range of hashes and asserts that the visited ones are right.
func collect(t *testing.T, c *bitcoin.Client, chain *bitcointest.Chain, from, to int64) (count int64, err error) {
	t.Helper()
	err = c.BlockHashes(context.Background(), from, to, func(height int64, hash string) error {
		require.Equal(t, from+count, height)
		require.Equal(t, chain.Hash(height), hash)
		count++
		return nil
	})
	return count, err
}

// cut ends the connection after the status line and half of the answer.
func cut(w http.ResponseWriter, answer []byte) {
	w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
	_, _ = w.Write(answer[:len(answer)/2])
	panic(http.ErrAbortHandler)
}

// reset resets the connection.
func reset(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
}

// item is one answer of a batch, as tests change it.
type item = map[string]any

func TestMisbehaviour(t *testing.T) {
	const (
		heights = 2999 // with 0, three batches of 1,000
		once    = 2    // the request that goes wrong, where it is only one
	)
	hash63 := strings.Repeat("a", 63)
	var whole atomic.Bool // the endless answer was read to its end
	type behave = func(w http.ResponseWriter, right []byte)
	status := func(code int, text string) behave {
		return func(w http.ResponseWriter, _ []byte) {
			w.WriteHeader(code)
			_, _ = w.Write([]byte(text))
		}
	}
	text := func(s string) behave { return status(http.StatusOK, s) }
	changed := func(change func(all []item) any) behave {
		return func(w http.ResponseWriter, right []byte) {
			var all []item
			d := json.NewDecoder(bytes.NewReader(right))
			d.UseNumber()
			if d.Decode(&all) == nil {
				_ = json.NewEncoder(w).Encode(change(all))
			}
		}
	}
	result := func(value any) behave {
		return changed(func(all []item) any { all[7]["result"] = value; return all })
	}
	itemError := func(code int, message string) behave {
		return changed(func(all []item) any {
			all[7]["result"], all[7]["error"] = nil, item{"code": code, "message": message}
			return all
		})
	}
	warmingUp := `{"result":null,"error":{"code":-28,"message":"Loading block index…"},"id":null}`
	for _, test := range []struct {
		name  string
		slow  bool // the timeout is short
		does  behave
		err   string // "" for a correct result
		hint  string
		warns string
	}{
		{name: "401", does: status(401, ""), err: "HTTP status 401 Unauthorized", hint: "refuses the credentials in the URL"},
		{name: "403", does: status(403, ""), err: "HTTP status 403 Forbidden", hint: "rpcallowip"},
		{name: "404", does: status(404, "no such page"), err: "HTTP status 404 Not Found", hint: "check the host, port and path"},
		{name: "301", does: func(w http.ResponseWriter, _ []byte) {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(301)
		}, err: "HTTP status 301", hint: "check the host, port and path"},
		{name: "500", does: status(500, "internal error"), err: "HTTP status 500", hint: "node's log"},
		{name: "500 with JSON", does: status(500, `{"message":"Internal Server Error"}`), err: "HTTP status 500"},
		{name: "500 work queue", does: status(500, "Work queue depth exceeded"), warns: "HTTP status 500"},
		{name: "503", does: status(503, "Work queue depth exceeded"), warns: "HTTP status 503"},
		{name: "-28", does: status(500, warmingUp), warns: "-28: Loading block index"},
		{name: "-28 inside", does: itemError(-28, "Verifying blocks…"), warns: "-28: Verifying blocks"},
		{name: "-8", does: itemError(-8, "Block height out of range"), err: "-8: Block height out of range"},
		{name: "batch refused", does: text(`{"result":null,"error":{"code":-32600,"message":"Batches are off"},"id":null}`), warns: "a batch of 1000 calls: -32600: Batches are off: asking for fewer at a time"},
		{name: "reset", does: func(w http.ResponseWriter, _ []byte) { reset(w) }, warns: "connection reset"},
		{name: "truncated", does: cut, warns: "unexpected EOF"},
		{name: "truncated without a length", does: func(w http.ResponseWriter, right []byte) { _, _ = w.Write(right[:len(right)/2]) }, warns: "the answer is incomplete"},
		{name: "empty", does: text(""), warns: "the answer is incomplete"},
		// It does end, so that a client that reads all of it can be detected.
		{name: "endless", does: func(w http.ResponseWriter, _ []byte) {
			chunk := bytes.Repeat([]byte("["), 1<<20)
			for range 256 {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
			whole.Store(true)
		}, err: "longer than 32 MiB"},
		{name: "slow-loris", slow: true, does: func(w http.ResponseWriter, right []byte) {
			for i := range right {
				if _, err := w.Write(right[i : i+1]); err != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		}, warns: "within the timeout"},
		{name: "another order", does: changed(func(all []item) any {
			for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
				all[i], all[j] = all[j], all[i]
			}
			return all
		})},
		{name: "another layout", does: func(w http.ResponseWriter, right []byte) {
			var b bytes.Buffer
			_ = json.Indent(&b, right, "", " ")
			_, _ = b.WriteTo(w)
		}},
		{name: "short", does: changed(func(all []item) any { return all[1:] }), err: "with 999 answers"},
		{name: "doubled", does: changed(func(all []item) any { all[3] = all[4]; return all }), err: "two answers to one call"},
		{name: "one too many", does: changed(func(all []item) any { return append(all, all[4]) }), err: "two answers to one call"},
		{name: "wrong id", does: changed(func(all []item) any { all[3]["id"] = 987654321; return all }), err: "another call"},
		{name: "id of text", does: changed(func(all []item) any { all[3]["id"] = "3"; return all }), err: "another call"},
		{name: "without id", does: changed(func(all []item) any { delete(all[3], "id"); return all }), err: "another call"},
		{name: "HTML", does: text("<!DOCTYPE html><html><h1>It works!</h1>"), err: "not an answer from a Bitcoin node", hint: "check the host, port and path"},
		{name: "endlessly many", does: text("[" + strings.Repeat("{},", 5<<20)), err: "another call"},
		{name: "one result", does: text(`{"result":"` + hash63 + `a","error":null,"id":1}`), err: "one result for a batch"},
		{name: "a number", does: text("5"), err: "number where"},
		{name: "{}", does: text("{}"), err: "not an answer from a Bitcoin node"},
		{name: "rate limited", does: text(`{"message":"rate limited"}`), err: "not an answer from a Bitcoin node"},
		{name: "rate limited inside", does: changed(func(all []item) any { all[7] = item{"message": "rate limited", "id": all[7]["id"]}; return all }), err: "neither a result nor an error"},
		{name: "two values", does: func(w http.ResponseWriter, right []byte) { _, _ = w.Write(append(right, "[]"...)) }, err: "not an answer from a Bitcoin node"},
		{name: "short hash", does: result(hash63), err: "a hash of 63 digits"},
		{name: "long hash", does: result(hash63 + "aa"), err: "a hash of 65 digits"},
		{name: "capital hash", does: result("A" + hash63), err: "lower-case hex digits"},
		{name: "zero hash", does: result(strings.Repeat("0", 64)), err: "zeros only"},
		{name: "null hash", does: result(nil), err: "is not a string"},
		{name: "number for a hash", does: result(12), err: "is not a string"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			chain := bitcointest.NewChain(heights)
			chain.Login = user + ":" + password
			chain.Misbehave = func(number int64, w http.ResponseWriter, _ *http.Request, body []byte) bool {
				if number != once {
					return false
				}
				_, right := chain.Answer(body)
				test.does(w, right)
				return true
			}
			var warnings said
			o := bitcoin.Options{URL: withLogin(chain.Serve(t)), Timeout: time.Hour, Wait: time.Hour}
			if test.slow {
				o.Timeout = time.Second
			}
			c, err := bitcoin.Open(o, warnings.warn)
			require.NoError(t, err)
			count, err := collect(t, c, chain, 0, heights)
			requireNoSecret(t, err, &warnings)
			require.False(t, whole.Load())
			if test.err == "" {
				require.NoError(t, err)
				require.EqualValues(t, heights+1, count)
			} else {
				require.ErrorContains(t, err, test.err)
				require.LessOrEqual(t, count, int64(heights))
				var hinted *exit.Error
				require.ErrorAs(t, err, &hinted)
				require.Contains(t, hinted.Hint, test.hint)
			}
			if test.warns == "" {
				require.Empty(t, warnings.lines)
			} else {
				require.Len(t, warnings.lines, 1)
				require.Contains(t, warnings.lines[0], test.warns)
			}
		})
	}
}

// TestBatchesRefused: a node that accepts no batches, or none that large, or refuses some calls
// inside, is asked for fewer at a time, and finally with single calls.
func TestBatchesRefused(t *testing.T) {
	const tip = 1499
	whole := func(code int, text string) func(w http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.WriteHeader(code)
			_, _ = w.Write([]byte(text))
		}
	}
	for name, c := range map[string]struct {
		largest int // batch
		refuse  func(w http.ResponseWriter)
		words   string
	}{
		"none":          {0, whole(200, `{"result":null,"error":{"code":-32600,"message":"no batches here"},"id":null}`), "-32600: no batches here"},
		"400":           {0, whole(400, `"bad request"`), "HTTP status 400 Bad Request"},
		"501":           {0, whole(501, `Not Implemented`), "HTTP status 501 Not Implemented"},
		"405":           {0, whole(405, ``), "HTTP status 405 Method Not Allowed"},
		"413 above 100": {100, whole(413, `"too large"`), "HTTP status 413 Request Entity Too Large"},
		"10 with JSON":  {10, whole(413, `{"error":{"code":-32005,"message":"batch too large"}}`), "-32005: batch too large"},
		"some inside":   {50, nil, "-32005: too many requests"},
		"internal":      {0, whole(200, `{"result":null,"error":{"code":-32603,"message":"Internal error"},"id":null}`), "-32603: Internal error"},
		"odd inside":    {10, nil, "429: slow down"},
		"none inside":   {10, nil, "-32603: Internal error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chain := bitcointest.NewChain(tip)
			var refused, largest atomic.Int64
			chain.Misbehave = func(_ int64, w http.ResponseWriter, _ *http.Request, body []byte) bool {
				var calls []item
				if json.Unmarshal(body, &calls) != nil {
					return false
				}
				if len(calls) <= c.largest {
					largest.Store(max(largest.Load(), int64(len(calls))))
					return false
				}
				if refused.Add(1) > 100 { // otherwise it would be asked forever
					w.WriteHeader(http.StatusNotFound)
					return true
				}
				if c.refuse != nil {
					c.refuse(w)
					return true
				}
				_, right := chain.Answer(body)
				var all []item
				require.NoError(t, json.Unmarshal(right, &all))
				code, message, _ := strings.Cut(c.words, ": ")
				all[7]["result"], all[7]["error"] = nil, item{"code": json.Number(code), "message": message}
				_ = json.NewEncoder(w).Encode(all)
				return true
			}
			var warnings said
			client, err := bitcoin.Open(bitcoin.Options{URL: withLogin(chain.Serve(t))}, warnings.warn)
			require.NoError(t, err)
			count, err := collect(t, client, chain, 0, tip)
			require.NoError(t, err)
			require.EqualValues(t, tip+1, count)
			tries := refused.Load()
			require.LessOrEqual(t, tries, int64(9), "three at once, down to 100, to 10, to 1")
			require.Len(t, warnings.lines, 1)
			require.Regexp(t, "a batch of [0-9]+ calls: "+regexp.QuoteMeta(c.words)+": asking for fewer at a time, which takes longer$", warnings.lines[0])
			requireNoSecret(t, nil, &warnings)

			var headers int64
			require.NoError(t, client.BlockHeaders(t.Context(), 0, 250, func(h bitcoin.Header) error {
				require.Equal(t, headers, h.Height)
				headers++
				return nil
			}))
			found, err := client.FindBlocks(t.Context(), []string{chain.Hash(7), strings.Repeat("ab", 32), chain.Hash(8)})
			require.NoError(t, err)
			require.EqualValues(t, 7, found[0].Height)
			require.Nil(t, found[1])
			require.EqualValues(t, 8, found[2].Height)
			_, err = collect(t, client, chain, 1490, 1501)
			require.True(t, bitcoin.AboveTip(err))
			require.ErrorContains(t, err, "getblockhash: height 1500: ")
			require.Equal(t, tries, refused.Load(), "it is known by now")
			sizes := map[int]int64{0: 0, 10: 10, 50: 10, 100: 100}
			require.Equal(t, sizes[c.largest], largest.Load(), "the largest of the sizes that it takes")
		})
	}
	// A refusal of a single call is reported as such.
	chain := bitcointest.NewChain(tip)
	chain.Misbehave = func(number int64, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		if number > 100 { // otherwise it would be asked forever
			w.WriteHeader(http.StatusNotFound)
		} else {
			w.WriteHeader(http.StatusBadRequest)
		}
		return true
	}
	client, err := bitcoin.Open(bitcoin.Options{URL: chain.Serve(t)}, t.Logf)
	require.NoError(t, err)
	_, err = collect(t, client, chain, 5, 7)
	require.ErrorContains(t, err, "getblockhash: height 5: HTTP status 400 Bad Request")
	_, err = client.FindBlocks(t.Context(), []string{chain.Hash(1)})
	require.ErrorContains(t, err, "HTTP status 400 Bad Request")
}

// The hashes below the height that fails are visited, and the error names it.
func TestErrorInsideNamesTheHeight(t *testing.T) {
	chain := bitcointest.NewChain(1503)
	c, err := bitcoin.Open(bitcoin.Options{URL: chain.Serve(t)}, t.Logf)
	require.NoError(t, err)
	count, err := collect(t, c, chain, 10, 5000)
	require.EqualValues(t, 1503-10+1, count)
	require.ErrorContains(t, err, "getblockhash: height 1504: -8: Block height out of range")
	require.True(t, bitcoin.AboveTip(err))
	var rpc *btcjson.RPCError
	require.ErrorAs(t, err, &rpc)
	require.Equal(t, btcjson.ErrRPCInvalidParameter, rpc.Code)

	for words, above := range map[string]bool{"Block number out of range": true, "something went wrong": false} { // of btcd, of Core
		// A chain of its own: the one before may still be answering a request that was given up.
		chain := bitcointest.NewChain(10)
		chain.Methods = map[string]func([]json.RawMessage) (any, error){"getblockhash": func([]json.RawMessage) (any, error) {
			return nil, btcjson.NewRPCError(-1, words)
		}}
		c, err := bitcoin.Open(bitcoin.Options{URL: chain.Serve(t)}, t.Logf)
		require.NoError(t, err)
		_, err = c.BlockHash(context.Background(), 7)
		require.ErrorContains(t, err, "getblockhash: height 7: -1: "+words)
		require.Equal(t, above, bitcoin.AboveTip(err))
	}

	_, err = c.BlockHeader(context.Background(), strings.Repeat("12", 32))
	require.ErrorContains(t, err, "-5: Block not found")
	require.False(t, bitcoin.AboveTip(err))
}

func TestSingleCalls(t *testing.T) {
	for _, test := range []struct{ answer, err string }{
		{`{"result":18446744073709551615,"error":null,"id":1}`, ""},
		{`{"result":18446744073709551616,"error":null,"id":1}`, "number 18446744073709551616 where uint64 should be"},
		{`{"result":1.5,"error":null,"id":1}`, "where uint64 should be"},
		{`{"result":"text","error":null,"id":1}`, "string where uint64 should be"},
		{`{"result":null,"error":null,"id":1}`, "no result"},
		{`{"error":null,"id":1}`, "neither a result nor an error"},
		{`{"result":1,"error":null,"id":2}`, "answers another call"},
		{`{"result":1,"error":null}`, "answers another call"},
		{`{"result":null,"error":{"code":-5,"message":"no"},"id":1}`, "-5: no"},
		{`{"result":null,"error":"no","id":1}`, "string where btcjson.RPCError should be"},
		{`{}`, "neither a result nor an error"},
		{`{"message":"rate limited"}`, "neither a result nor an error"},
		{`[]`, "array where bitcoin.answer should be"},
	} {
		chain := bitcointest.NewChain(0)
		chain.Misbehave = func(_ int64, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			_, _ = w.Write([]byte(test.answer))
			return true
		}
		c, err := bitcoin.Open(bitcoin.Options{URL: chain.Serve(t)}, t.Logf)
		require.NoError(t, err)
		var n uint64
		err = c.Call(context.Background(), "getsomething", nil, &n)
		if test.err == "" {
			require.NoError(t, err)
			require.EqualValues(t, uint64(1<<64-1), n)
			test.answer = strings.Replace(test.answer, `"id":1`, `"id":2`, 1)
			var v any
			require.NoError(t, c.Call(context.Background(), "getsomething", nil, &v))
			require.Equal(t, json.Number("18446744073709551615"), v)
		} else {
			require.ErrorContains(t, err, test.err, test.answer)
		}
	}
}

func TestChainInfoIsComplete(t *testing.T) {
	for _, missing := range []string{"chain", "blocks", "headers", "bestblockhash", "mediantime"} {
		chain := bitcointest.NewChain(0)
		chain.Methods = map[string]func([]json.RawMessage) (any, error){"getblockchaininfo": func([]json.RawMessage) (any, error) {
			info := item{"chain": "main", "blocks": 5, "headers": 5, "bestblockhash": chain.Hash(5), "mediantime": 1}
			delete(info, missing)
			return info, nil
		}}
		c, err := bitcoin.Open(bitcoin.Options{URL: chain.Serve(t)}, t.Logf)
		require.NoError(t, err)
		_, err = c.ChainInfo(context.Background())
		require.ErrorIs(t, err, bitcoin.ErrBadAnswer, missing)
	}
}

// TestTip: a header arrives before its block, which is waited for, no longer than for a node
// that does not answer, and without a message at first.
func TestTip(t *testing.T) {
	for name, test := range map[string]struct {
		wait   time.Duration
		after  int64 // answers without the block
		whole  bool
		loads  bool // its first blocks
		answer int64
	}{
		"at once":          {wait: time.Hour, whole: true, answer: 1},
		"comes":            {wait: time.Hour, after: 2, whole: true, answer: 3},
		"comes too late":   {wait: 250 * time.Millisecond, after: 9, answer: 2},
		"not waited for":   {after: 9, answer: 1},
		"the first blocks": {wait: time.Hour, after: 9, loads: true, answer: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var answers atomic.Int64
			chain := bitcointest.NewChain(5)
			chain.Methods = map[string]func([]json.RawMessage) (any, error){"getblockchaininfo": func([]json.RawMessage) (any, error) {
				headers := 5
				if answers.Add(1) <= test.after {
					headers = 6
				}
				return item{"chain": "main", "blocks": 5, "headers": headers, "bestblockhash": chain.Hash(5), "mediantime": 7, "initialblockdownload": test.loads}, nil
			}}
			c, err := bitcoin.Open(bitcoin.Options{URL: chain.Serve(t), Wait: test.wait}, t.Errorf)
			require.NoError(t, err)
			info, err := c.Tip(t.Context())
			require.NoError(t, err)
			require.Equal(t, test.whole, info.Headers == info.Blocks)
			require.Equal(t, test.answer, answers.Load())
			require.EqualValues(t, 7, info.TipTime, "the median, where there is no other")
			_, err = c.Tip(t.Context())
			require.NoError(t, err)
			require.Equal(t, test.answer+1, answers.Load(), "it is not waited for twice")
		})
	}
	chain := bitcointest.NewChain(5)
	chain.Ahead = 1
	ctx, cancel := context.WithCancel(t.Context())
	c, err := bitcoin.Open(bitcoin.Options{URL: chain.Serve(t), Wait: time.Hour}, func(format string, args ...any) {
		require.Contains(t, fmt.Sprintf(format, args...), "the block of a header is missing: waiting for up to 1h0m0s")
		cancel()
	})
	require.NoError(t, err)
	_, err = c.Tip(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestHeaders(t *testing.T) {
	chain := bitcointest.NewChain(3000)
	c, err := bitcoin.Open(bitcoin.Options{URL: chain.Serve(t)}, t.Logf)
	require.NoError(t, err)
	ctx := context.Background()
	var previous bitcoin.Header
	require.NoError(t, c.BlockHeaders(ctx, 0, 3000, func(h bitcoin.Header) error {
		if h.Height > 0 {
			require.Equal(t, previous.Height+1, h.Height)
		}
		require.Equal(t, previous.Hash, h.PreviousBlockHash)
		require.Equal(t, chain.Hash(h.Height), h.Hash)
		require.Equal(t, 3000-h.Height+1, h.Confirmations)
		previous = h
		return nil
	}))
	require.EqualValues(t, 3000, previous.Height)

	old := chain.Hash(2990)
	chain.Reorganise(2985, 3001)
	h, err := c.BlockHeader(ctx, old)
	require.NoError(t, err)
	require.EqualValues(t, -1, h.Confirmations)
	require.Equal(t, old, h.Hash)
	require.NotEqual(t, old, chain.Hash(2990))
}

// TestFindBlocks: a block in the chain, one that has left it, whose header btcd does not
// return, and an unknown one.
func TestFindBlocks(t *testing.T) {
	chain := bitcointest.NewChain(3000)
	left := chain.Hash(2500)
	chain.Reorganise(2500, 3000)
	hashes := []string{left, strings.Repeat("ab", 32)}
	for height := range int64(2400) { // in several batches
		hashes = append(hashes, chain.Hash(height))
	}
	c, err := bitcoin.Open(bitcoin.Options{URL: chain.Serve(t)}, t.Logf)
	require.NoError(t, err)
	headers, err := c.FindBlocks(t.Context(), hashes)
	require.NoError(t, err)
	require.Len(t, headers, len(hashes))
	require.EqualValues(t, -1, headers[0].Confirmations)
	require.Nil(t, headers[1])
	for height, h := range headers[2:] {
		require.EqualValues(t, height, h.Height)
		require.Positive(t, h.Confirmations)
	}
	none, err := c.FindBlocks(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, none)

	code := btcjson.RPCErrorCode(0)
	message := ""
	chain.Methods = map[string]func([]json.RawMessage) (any, error){"getblockheader": func([]json.RawMessage) (any, error) {
		return nil, btcjson.NewRPCError(code, message)
	}}
	code, message = btcjson.ErrRPCInternal.Code, "block "+left+" is not in the main chain"
	before := chain.Requests()
	headers, err = c.FindBlocks(t.Context(), hashes[:3])
	require.NoError(t, err)
	require.Equal(t, []*bitcoin.Header{nil, nil, nil}, headers)
	require.EqualValues(t, 1, chain.Requests()-before, "there is no reason to ask for each block separately")
	message = "out of memory"
	_, err = c.FindBlocks(t.Context(), hashes[:1])
	require.ErrorContains(t, err, "out of memory")
}

// TestInterrupt: a call ends with the context, while it waits for the answer and while it waits to
// be retried.
func TestInterrupt(t *testing.T) {
	for _, busy := range []bool{false, true} {
		ctx, cancel := context.WithCancel(context.Background())
		chain := bitcointest.NewChain(0)
		chain.Misbehave = func(_ int64, w http.ResponseWriter, r *http.Request, _ []byte) bool {
			if busy {
				w.WriteHeader(http.StatusServiceUnavailable)
			} else {
				cancel()
				<-r.Context().Done()
			}
			return true
		}
		// The first warning comes right before the pause.
		c, err := bitcoin.Open(bitcoin.Options{URL: chain.Serve(t), Wait: time.Hour}, func(string, ...any) { cancel() })
		require.NoError(t, err)
		err = c.Call(ctx, "getblockcount", nil, new(int64))
		require.ErrorIs(t, err, context.Canceled)
		require.EqualValues(t, 1, chain.Requests())
	}
}

// A visitor's error ends the fetching.
func TestVisitorEnds(t *testing.T) {
	chain := bitcointest.NewChain(1_000_000)
	c, err := bitcoin.Open(bitcoin.Options{URL: chain.Serve(t)}, t.Logf)
	require.NoError(t, err)
	enough := fmt.Errorf("enough")
	require.ErrorIs(t, c.BlockHashes(context.Background(), 0, 1_000_000, func(height int64, _ string) error {
		if height == 1500 {
			return enough
		}
		return nil
	}), enough)
	require.LessOrEqual(t, chain.Requests(), int64(5))
}

// A refused connection is retried, and reported once for many calls.
func TestNodeComesBack(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	chain := bitcointest.NewChain(5000)
	started := make(chan struct{})
	var warnings said
	var once sync.Once
	c, err := bitcoin.Open(bitcoin.Options{URL: "http://" + address, Wait: time.Hour}, func(format string, args ...any) {
		warnings.warn(format, args...)
		once.Do(func() { close(started) })
	})
	require.NoError(t, err)
	go func() {
		<-started
		if l, err := net.Listen("tcp", address); err == nil {
			server := &http.Server{Handler: chain}
			t.Cleanup(func() { _ = server.Close() })
			_ = server.Serve(l)
		}
	}()
	count, err := collect(t, c, chain, 0, 5000)
	require.NoError(t, err)
	require.EqualValues(t, 5001, count)
	require.Len(t, warnings.lines, 1)
	require.Contains(t, warnings.lines[0], "connection refused: retrying for up to 1h0m0s")
}

// A call that must not be carried out twice is tried once, and an unknown outcome is
// distinguished from a failure.
func TestSend(t *testing.T) {
	for _, test := range []struct {
		name    string
		does    func(w http.ResponseWriter, r *http.Request)
		unknown bool
	}{
		{"reset", func(w http.ResponseWriter, _ *http.Request) { reset(w) }, true},
		{"timeout", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, true},
		{"truncated", func(w http.ResponseWriter, _ *http.Request) { cut(w, []byte(`{"result":"txid"}`)) }, true},
		{"bad gateway", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, true},
		{"HTML", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, true},
		{"busy", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, false},
		{"401", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, false},
		{"refused by the node", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			_, _ = w.Write([]byte(`{"result":null,"error":{"code":-26,"message":"min relay fee not met"},"id":1}`))
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			chain := bitcointest.NewChain(0)
			chain.Misbehave = func(_ int64, w http.ResponseWriter, r *http.Request, _ []byte) bool {
				test.does(w, r)
				return true
			}
			var warnings said
			timeout := time.Hour
			if test.name == "timeout" {
				timeout = 300 * time.Millisecond
			}
			c, err := bitcoin.Open(bitcoin.Options{URL: withLogin(chain.Serve(t)), Timeout: timeout, Wait: time.Hour}, warnings.warn)
			require.NoError(t, err)
			err = c.Send(context.Background(), "sendrawtransaction", []any{"00"}, nil)
			require.Error(t, err)
			require.Equal(t, test.unknown, isUnknown(err), err)
			require.EqualValues(t, 1, chain.Requests())
			require.Empty(t, warnings.lines)
			requireNoSecret(t, err, &warnings)
		})
	}
	t.Run("no connection", func(t *testing.T) {
		c, err := bitcoin.Open(bitcoin.Options{URL: "http://127.0.0.1:1", Wait: time.Hour}, t.Logf)
		require.NoError(t, err)
		err = c.Send(context.Background(), "sendrawtransaction", []any{"00"}, nil)
		require.ErrorContains(t, err, "connection refused")
		require.False(t, isUnknown(err))
	})
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		chain := bitcointest.NewChain(0)
		chain.Misbehave = func(_ int64, _ http.ResponseWriter, r *http.Request, _ []byte) bool {
			cancel()
			<-r.Context().Done()
			return true
		}
		c, err := bitcoin.Open(bitcoin.Options{URL: chain.Serve(t)}, t.Logf)
		require.NoError(t, err)
		require.True(t, isUnknown(c.Send(ctx, "sendrawtransaction", []any{"00"}, nil)))
	})
}

// A kept connection may be closed just when it is used, which would leave the outcome unknown.
func TestSendHasItsOwnConnection(t *testing.T) {
	seen := map[string]bool{}
	chain := bitcointest.NewChain(0)
	chain.Misbehave = func(_ int64, _ http.ResponseWriter, r *http.Request, _ []byte) bool {
		seen[r.RemoteAddr] = true
		return false
	}
	c, err := bitcoin.Open(bitcoin.Options{URL: chain.Serve(t)}, t.Logf)
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, c.Call(context.Background(), "getblockcount", nil, nil))
	}
	require.Len(t, seen, 1)
	for range 2 {
		require.NoError(t, c.Send(context.Background(), "getblockcount", nil, nil))
	}
	require.Len(t, seen, 3)
}

func isUnknown(err error) bool { return errors.Is(err, bitcoin.ErrOutcomeUnknown) }

// TestWallet: the calls of a wallet go to its own path, whatever else the URL contains. At the
// node's own path, the default wallet would pay.
func TestWallet(t *testing.T) {
	var asked atomic.Value
	chain := bitcointest.NewChain(0)
	chain.Misbehave = func(_ int64, _ http.ResponseWriter, r *http.Request, _ []byte) bool {
		asked.Store(r.RequestURI)
		return false
	}
	url := chain.Serve(t)
	const unnamed = "the wallet without a name"
	for _, c := range []struct{ more, name, want string }{
		{"", "hot", "/wallet/hot"},
		{"/", "my wallet/ä?", "/wallet/my%20wallet%2F%C3%A4%3F"},
		{"/?apikey=K", "hot", "/wallet/hot?apikey=K"},
		{"?apikey=K%2F&b", "a#b&c", "/wallet/a%23b&c?apikey=K%2F&b"},
		{"/v2/k%2Fey//?a=/b/", "hot", "/v2/k%2Fey/wallet/hot?a=/b/"},
		{"/k%2F/", "%2e%2e", "/k%2F/wallet/%252e%252e"},
		{"/k", "../other", "/k/wallet/..%2Fother"},
		{"/k?a=1", "", "/k?a=1"},
		{"/k?a=1", unnamed, "/k/wallet/?a=1"},
		{"", unnamed, "/wallet/"},
	} {
		o := bitcoin.Options{URL: url + c.more}
		if c.name == unnamed {
			o.UnnamedWallet, c.name = true, ""
		}
		node, err := bitcoin.Open(o, t.Logf)
		require.NoError(t, err)
		w, err := node.Wallet(c.name)
		require.NoError(t, err)
		require.NoError(t, w.Call(context.Background(), "getblockcount", nil, new(int64)))
		require.Equal(t, c.want, asked.Load())
		require.NoError(t, w.Send(context.Background(), "getblockcount", nil, nil))
		require.Equal(t, c.want, asked.Load())
		require.Equal(t, url+c.more, node.URL())
	}
	node, err := bitcoin.Open(bitcoin.Options{URL: url}, t.Logf)
	require.NoError(t, err)
	for _, name := range []string{".", ".."} {
		_, err := node.Wallet(name)
		require.ErrorContains(t, err, "is not a wallet name")
	}
	for _, fragment := range []string{"#", "#frag", "/?a=1#frag"} {
		_, err := bitcoin.Open(bitcoin.Options{URL: withLogin(url) + fragment}, t.Logf)
		require.ErrorContains(t, err, "has a fragment")
		requireNoSecret(t, err, new(said))
	}
}

func TestCredentials(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	write := func(name, text string) string {
		path := filepath.Join(home, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	cookie := write("cookie", "cookie:of-file\n")
	secret := write("password", "of-password-file\n")
	got := make(chan string, 1)
	chain := bitcointest.NewChain(0)
	chain.Misbehave = func(_ int64, _ http.ResponseWriter, r *http.Request, _ []byte) bool {
		u, p, _ := r.BasicAuth()
		got <- u + ":" + p
		return false
	}
	url := chain.Serve(t)
	o := bitcoin.Options{URL: url}
	ask := func() string {
		t.Helper()
		c, err := bitcoin.Open(o, t.Logf)
		require.NoError(t, err)
		err = c.Call(context.Background(), "getblockcount", nil, new(int64))
		require.NoError(t, err)
		return <-got
	}
	require.Equal(t, ":", ask())
	write(".bitcoin/.cookie", "__cookie__:of-default")
	require.Equal(t, "__cookie__:of-default", ask())
	o.User, o.PasswordFile = "someone", secret
	require.Equal(t, "someone:of-password-file", ask())
	o.Password = "of-environment"
	require.Equal(t, "someone:of-environment", ask())
	o.CookieFile = cookie
	require.Equal(t, "cookie:of-file", ask())
	o.URL = strings.Replace(url, "://", "://in:u%3Arl@", 1)
	require.Equal(t, "in:u:rl", ask())

	for name, bad := range map[string]bitcoin.Options{
		"user alone":      {URL: url, User: user},
		"password alone":  {URL: url, Password: password},
		"half in the URL": {URL: strings.Replace(url, "://", "://"+user+"@", 1)},
		"no such cookie":  {URL: url, CookieFile: filepath.Join(home, "absent")},
		"no cookie":       {URL: url, CookieFile: write("odd", password)},
		"no URL":          {URL: "http://" + user + ":" + password + "@bad host:x"},
		"no scheme":       {URL: user + ":" + password + "@localhost:8332"},
		"no host":         {URL: "http://" + user + ":" + password + "@:8332"},
		"CA for http":     {URL: withLogin(url), CACert: cookie},
		"CA of nothing":   {URL: withLogin("https://localhost:1"), CACert: cookie},
	} {
		var warnings said
		_, err := bitcoin.Open(bad, warnings.warn)
		require.Error(t, err, name)
		requireNoSecret(t, err, &warnings)
	}
}

// The cookie of each network's default port.
func TestDefaultCookies(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	for port, folder := range map[string]string{"18332": "testnet3", "48332": "testnet4", "38332": "signet", "18443": "regtest", "8332": "", "18444": ""} {
		path := filepath.Join(home, ".bitcoin", folder, ".cookie")
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		// A file that is not a cookie file shows which file was read.
		require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
		_, err := bitcoin.Open(bitcoin.Options{URL: "http://localhost:" + port}, t.Logf)
		require.ErrorContains(t, err, path+" is not a cookie file")
		// It is never sent to another machine.
		_, err = bitcoin.Open(bitcoin.Options{URL: "https://192.0.2.1:" + port}, t.Logf)
		require.NoError(t, err)
		require.NoError(t, os.Remove(path))
	}
}

// A node that is starting may not have written the named cookie file yet. It is waited for, like
// everything else.
func TestCookieOfAStartingNode(t *testing.T) {
	cookie := filepath.Join(t.TempDir(), ".cookie")
	chain := bitcointest.NewChain(0)
	chain.Login = "__cookie__:new"
	url := chain.Serve(t)
	var warnings said
	c, err := bitcoin.Open(bitcoin.Options{URL: url, CookieFile: cookie, Wait: time.Hour}, func(format string, args ...any) {
		warnings.warn(format, args...)
		_ = os.WriteFile(cookie, []byte(chain.Login), 0o600)
	})
	require.NoError(t, err)
	require.NoError(t, c.Call(context.Background(), "getblockcount", nil, nil))
	require.Len(t, warnings.lines, 1)
	require.EqualValues(t, 1, chain.Requests())

	require.NoError(t, os.Remove(cookie))
	c, err = bitcoin.Open(bitcoin.Options{URL: url, CookieFile: cookie, Wait: 200 * time.Millisecond}, warnings.warn)
	require.NoError(t, err)
	for _, err := range []error{c.Call(context.Background(), "getblockcount", nil, nil), c.Send(context.Background(), "bumpfee", nil, nil)} {
		require.ErrorContains(t, err, cookie+": no such file or directory")
		require.NotErrorIs(t, err, bitcoin.ErrOutcomeUnknown)
		var hinted *exit.Error
		require.ErrorAs(t, err, &hinted)
		require.Contains(t, hinted.Hint, "the node writes the file when it starts")
	}
	require.EqualValues(t, 1, chain.Requests())
}

// TestConnectionClosed: new nodes close the connection without an answer if rpcallowip does not
// include this machine.
func TestConnectionClosed(t *testing.T) {
	for name, end := range map[string]func(w http.ResponseWriter){
		"reset": reset, "closed": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		chain := bitcointest.NewChain(0)
		chain.Misbehave = func(_ int64, w http.ResponseWriter, _ *http.Request, _ []byte) bool { end(w); return true }
		c, err := bitcoin.Open(bitcoin.Options{URL: chain.Serve(t)}, t.Logf)
		require.NoError(t, err)
		var hinted *exit.Error
		require.ErrorAs(t, c.Call(context.Background(), "getblockcount", nil, nil), &hinted, name)
		require.Contains(t, hinted.Hint, "rpcallowip", name)
	}
}

// A node that has restarted has another cookie.
func TestCookieChanges(t *testing.T) {
	cookie := filepath.Join(t.TempDir(), ".cookie")
	require.NoError(t, os.WriteFile(cookie, []byte("__cookie__:old"), 0o600))
	chain := bitcointest.NewChain(0)
	chain.Login = "__cookie__:new"
	chain.Misbehave = func(number int64, _ http.ResponseWriter, _ *http.Request, _ []byte) bool {
		if number == 1 {
			_ = os.WriteFile(cookie, []byte(chain.Login), 0o600)
		}
		return false
	}
	c, err := bitcoin.Open(bitcoin.Options{URL: chain.Serve(t), CookieFile: cookie, Wait: time.Hour}, t.Logf)
	require.NoError(t, err)
	err = c.Call(context.Background(), "getblockcount", nil, new(int64))
	require.NoError(t, err)
	require.EqualValues(t, 2, chain.Requests())

	require.NoError(t, os.WriteFile(cookie, []byte("__cookie__:wrong"), 0o600))
	err = c.Call(context.Background(), "getblockcount", nil, new(int64))
	require.ErrorContains(t, err, "HTTP status 401")
	require.EqualValues(t, 3, chain.Requests())
}

// TestCertificateHints: a certificate that has expired, or is for another name, is not trusted
// just because it is named with --rpc-ca-cert.
func TestCertificateHints(t *testing.T) {
	for name, c := range map[string]struct {
		host    string
		expires time.Duration
		trusted bool
		hint    string
	}{
		"sound":        {"127.0.0.1", time.Hour, true, ""},
		"expired":      {"127.0.0.1", -time.Hour, true, "has expired or is not yet valid"},
		"another name": {"node.example", time.Hour, true, "is for another name"},
		"unknown":      {"127.0.0.1", time.Hour, false, "--rpc-ca-cert FILE"},
	} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(c.expires),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
		if ip := net.ParseIP(c.host); ip != nil {
			template.IPAddresses = []net.IP{ip}
		} else {
			template.DNSNames = []string{c.host}
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		require.NoError(t, err)
		server := httptest.NewUnstartedServer(bitcointest.NewChain(5))
		server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		o := bitcoin.Options{URL: server.URL}
		if c.trusted {
			o.CACert = filepath.Join(t.TempDir(), "ca.pem")
			require.NoError(t, os.WriteFile(o.CACert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
		}
		client, err := bitcoin.Open(o, t.Logf)
		require.NoError(t, err)
		_, err = client.BlockHash(t.Context(), 3)
		if c.hint == "" {
			require.NoError(t, err)
		} else {
			var hinted *exit.Error
			require.ErrorAs(t, err, &hinted)
			require.Contains(t, hinted.Hint, c.hint, name)
			if c.trusted {
				require.NotContains(t, hinted.Hint, "--rpc-ca-cert")
			}
		}
		server.Close()
	}
}

func TestPlainHTTPElsewhereIsWarnedOf(t *testing.T) {
	for url, warns := range map[string]bool{
		"http://localhost:8332": false, "http://127.0.0.2:8332": false, "http://[::1]:8332": false, "https://node.example": false,
		"http://192.0.2.1:8332": true, "http://node.example:8332": true,
	} {
		var warnings said
		_, err := bitcoin.Open(bitcoin.Options{URL: withLogin(url)}, warnings.warn)
		require.NoError(t, err)
		require.Equal(t, warns, len(warnings.lines) == 1, url)
		requireNoSecret(t, nil, &warnings)
	}
}
