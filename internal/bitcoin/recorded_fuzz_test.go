package bitcoin_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/bitcointest"
)

// changing answers every request with an exchange that is set before each, and keeps what it
// was asked and what it answered last.
type changing struct {
	atomic.Pointer[bitcointest.Recorded]
	asked, answered []byte
}

func (c *changing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	answer := httptest.NewRecorder()
	c.Load().Answer(answer, body)
	c.asked, c.answered = body, answer.Body.Bytes()
	w.WriteHeader(answer.Code)
	_, _ = w.Write(c.answered)
}

// plainAnswer is one answer, read in a simple way.
type plainAnswer struct {
	ID     json.RawMessage
	Result json.RawMessage
	Error  *struct {
		Code    int
		Message string
	}
}

// FuzzRecordedAnswers changes what a real Bitcoin Core answered. What is taken for the result of
// a call is in the answer to that call, and the answer has no error.
func FuzzRecordedAnswers(f *testing.F) {
	all := bitcointest.AllRecorded(f)
	require.NotEmpty(f, all)
	for i, r := range all {
		f.Add(uint16(i), r.Status, []byte(r.Response))
	}
	server := &changing{}
	s := httptest.NewServer(server)
	f.Cleanup(s.Close)
	f.Fuzz(func(t *testing.T, which uint16, status int, response []byte) {
		r := all[int(which)%len(all)]
		r.Response = string(response)
		if r.Status = status; status < 200 || status > 599 {
			r.Status = http.StatusOK
		}
		server.Store(&r)
		// A client keeps its connections as long as its process runs. Here there are many.
		defer s.CloseClientConnections()
		c, err := bitcoin.Open(bitcoin.Options{URL: s.URL}, func(string, ...any) {})
		require.NoError(t, err)
		calls, batch := r.Calls()
		if batch {
			changedBatch(t, c, server, calls)
			return
		}
		method, params := "getblockcount", []any(nil)
		if len(calls) > 0 {
			method, params = calls[0].Method, calls[0].Params
		}
		ours := func() json.RawMessage {
			var asked struct{ ID json.RawMessage }
			require.NoError(t, json.Unmarshal(server.asked, &asked))
			var answer plainAnswer
			require.NoError(t, json.Unmarshal(server.answered, &answer), "%s", server.answered)
			require.Nil(t, answer.Error, "%s", server.answered)
			require.JSONEq(t, string(asked.ID), string(answer.ID), "%s", server.answered)
			return answer.Result
		}
		for _, call := range []func() (json.RawMessage, error){
			func() (result json.RawMessage, err error) {
				return result, c.Call(t.Context(), method, params, &result)
			},
			func() (result json.RawMessage, err error) {
				return result, c.Send(t.Context(), method, params, &result)
			},
		} {
			if result, err := call(); err == nil {
				require.Equal(t, string(ours()), string(result))
			}
		}
		if info, err := c.ChainInfo(t.Context()); err == nil {
			var want struct {
				Chain           string
				Blocks, Headers int64
				BestBlockHash   string
				MedianTime      int64
			}
			require.NoError(t, json.Unmarshal(ours(), &want))
			require.Equal(t, want.Chain, info.Chain)
			require.Equal(t, []int64{want.Blocks, want.Headers, want.MedianTime}, []int64{info.Blocks, info.Headers, info.MedianTime})
			require.Equal(t, want.BestBlockHash, info.BestBlockHash)
			require.True(t, bitcoin.IsHash(info.BestBlockHash))
		}
		if hash, err := c.BlockHash(t.Context(), 7); err == nil {
			var want string
			require.NoError(t, json.Unmarshal(ours(), &want))
			require.Equal(t, want, hash)
			require.True(t, bitcoin.IsHash(hash))
		}
	})
}

// changedBatch asks for the hashes, or the headers, of a batch whose answer was changed.
func changedBatch(t *testing.T, c *bitcoin.Client, server *changing, calls []bitcointest.RecordedCall) {
	if len(calls) == 0 || calls[0].Method != "getblockhash" && calls[0].Method != "getblockheader" {
		require.Error(t, c.Call(t.Context(), "getblockcount", nil, new(int64)), "a batch is no answer to a call")
		return
	}
	// answer is the result to the call of a place, nil for an error; the batch has it once.
	answer := func(place int) json.RawMessage {
		var asked []struct{ ID json.RawMessage }
		require.NoError(t, json.Unmarshal(server.asked, &asked), "%s", server.asked)
		var answers []plainAnswer
		require.NoError(t, json.Unmarshal(server.answered, &answers), "%s", server.answered)
		var found []plainAnswer
		for _, a := range answers {
			if bytes.Equal(bytes.TrimSpace(a.ID), asked[place].ID) {
				found = append(found, a)
			}
		}
		require.Len(t, found, 1, "%s", server.answered)
		if found[0].Error != nil {
			return nil
		}
		return found[0].Result
	}
	if calls[0].Method == "getblockhash" {
		from := int64(calls[0].Params[0].(float64))
		place := 0
		_ = c.BlockHashes(t.Context(), from, from+int64(len(calls))-1, func(height int64, hash string) error {
			require.Equal(t, from+int64(place), height)
			require.True(t, bitcoin.IsHash(hash))
			if bytes.HasPrefix(server.asked, []byte("[")) {
				var want string
				require.NoError(t, json.Unmarshal(answer(place), &want))
				require.Equal(t, want, hash)
			}
			place++
			return nil
		})
		return
	}
	var hashes []string
	for _, call := range calls {
		hashes = append(hashes, call.Params[0].(string))
	}
	headers, err := c.FindBlocks(t.Context(), hashes)
	if err != nil || !bytes.HasPrefix(server.asked, []byte("[")) {
		return
	}
	require.Len(t, headers, len(hashes))
	for i, h := range headers {
		result := answer(i)
		require.Equal(t, result == nil, h == nil)
		if h == nil {
			continue
		}
		var want struct {
			Hash                        string
			Height, Confirmations, Time int64
		}
		require.NoError(t, json.Unmarshal(result, &want))
		require.Equal(t, hashes[i], h.Hash)
		require.Equal(t, want.Hash, h.Hash)
		require.Equal(t, []int64{want.Height, want.Confirmations, want.Time}, []int64{h.Height, h.Confirmations, h.Time})
	}
}
