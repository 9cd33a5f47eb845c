package bitcoin

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// always answers every request with the same bytes, either as they are or as the result of each
// call.
type always struct {
	text []byte
	bare bool
	code int
}

func (a always) RoundTrip(r *http.Request) (*http.Response, error) {
	request, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	body := a.text
	if !a.bare {
		var one struct{ ID json.RawMessage }
		var all []struct{ ID json.RawMessage }
		answer := func(id []byte) string {
			return `{"result":` + string(a.text) + `,"error":null,"id":` + string(id) + `}`
		}
		if json.Unmarshal(request, &one) == nil {
			body = []byte(answer(one.ID))
		} else if json.Unmarshal(request, &all) == nil {
			var answers []string
			for _, call := range all {
				answers = append(answers, answer(call.ID))
			}
			body = []byte("[" + strings.Join(answers, ",") + "]")
		}
	}
	return &http.Response{StatusCode: a.code, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

// FuzzAnswers: whatever a node answers, accepted values are in bounds, and nothing panics.
func FuzzAnswers(f *testing.F) {
	hash := strings.Repeat("0123456789abcdef", 4)
	for _, seed := range []string{
		`"` + hash + `"`, `7`, `null`, `{}`, `[]`, `{"message":"rate limited"}`, ``, `"`, strings.Repeat("[", 1000), `-1`, `1e99`, `18446744073709551616`,
		`{"chain":"main","blocks":9,"headers":9,"bestblockhash":"` + hash + `","mediantime":5,"initialblockdownload":false}`,
		`{"hash":"` + hash + `","height":1,"previousblockhash":"` + hash + `","time":5,"mediantime":5,"confirmations":1}`,
		`[{"result":null,"error":{"code":-8,"message":"x"},"id":1}]`, `{"result":null,"error":{"code":-28,"message":"warming\u001b[2J up"},"id":1}`,
	} {
		f.Add([]byte(seed), false, uint16(200))
		f.Add([]byte(seed), true, uint16(500))
	}
	good := func(t *testing.T, hash string) {
		if err := checkHash(hash); err != nil {
			t.Fatalf("believed: %v", err)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, bare bool, code uint16) {
		c, err := Open(Options{URL: "http://127.0.0.1:1", User: "u", Password: "p"}, func(string, ...any) {})
		if err != nil {
			t.Fatal(err)
		}
		c.kept.Transport, c.fresh.Transport = always{text, bare, int(code)}, always{text, bare, int(code)}
		ctx := context.Background()
		if info, err := c.ChainInfo(ctx); err == nil {
			good(t, info.BestBlockHash)
			if info.Blocks < 0 || info.Chain == "" {
				t.Fatalf("believed: %+v", info)
			}
		}
		if hash, err := c.BlockHash(ctx, 1); err == nil {
			good(t, hash)
		}
		next := int64(1)
		_ = c.BlockHashes(ctx, 1, 3, func(height int64, hash string) error {
			good(t, hash)
			if height != next {
				t.Fatalf("height %d instead of %d", height, next)
			}
			next++
			return nil
		})
		_ = c.BlockHeaders(ctx, 1, 3, func(h Header) error {
			good(t, h.Hash)
			return nil
		})
		if h, err := c.BlockHeader(ctx, hash); err == nil && h.Hash != hash {
			t.Fatalf("the header of another block: %s", h.Hash)
		}
		_, _ = c.MedianTime(ctx, 1)
		var result json.RawMessage
		_ = c.Send(ctx, "sendrawtransaction", []any{"00"}, &result)
	})
}
