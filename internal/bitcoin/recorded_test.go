package bitcoin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcjson"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/exit"
)

// recordedExchanges is how many exchanges were recorded.
const recordedExchanges = 127

// TestRecordedAnswers plays every answer of a real Bitcoin Core to a single call, and to one
// that must not be made twice: a result comes out as it went in, an error of the node with code
// and words, and an HTTP error as one.
func TestRecordedAnswers(t *testing.T) {
	all := bitcointest.AllRecorded(t)
	require.Len(t, all, recordedExchanges)
	for _, r := range all {
		t.Run(r.Case, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(r)
			defer s.Close()
			c, err := bitcoin.Open(bitcoin.Options{URL: s.URL}, t.Errorf)
			require.NoError(t, err)
			calls, batch := r.Calls()
			if batch {
				playBatch(t, c, r, calls)
				return
			}
			method, params := "getblockcount", []any(nil)
			if len(calls) > 0 {
				method, params = calls[0].Method, calls[0].Params
			}
			var once, twice json.RawMessage
			err = c.Call(t.Context(), method, params, &twice)
			sendErr := c.Send(t.Context(), method, params, &once)
			var want struct {
				Result json.RawMessage
				Error  *btcjson.RPCError
			}
			if json.Unmarshal([]byte(r.Response), &want) != nil {
				for _, err := range []error{err, sendErr} {
					var status *bitcoin.StatusError
					require.ErrorAs(t, err, &status)
					require.Equal(t, r.Status, status.Code)
				}
				return
			}
			if want.Error != nil {
				for _, err := range []error{err, sendErr} {
					require.NotErrorIs(t, err, bitcoin.ErrOutcomeUnknown)
					var rpc *btcjson.RPCError
					require.ErrorAs(t, err, &rpc)
					require.Equal(t, want.Error, rpc)
				}
				return
			}
			require.NoError(t, err)
			require.NoError(t, sendErr)
			require.Equal(t, string(want.Result), string(twice))
			require.Equal(t, string(want.Result), string(once))
		})
	}
}

// playBatch plays the answer to a batch, of hashes or of headers.
func playBatch(t *testing.T, c *bitcoin.Client, r bitcointest.Recorded, calls []bitcointest.RecordedCall) {
	var answers []struct {
		Result json.RawMessage
		Error  *btcjson.RPCError
	}
	if r.Status != 200 {
		require.Equal(t, 403, r.Status)
	} else {
		require.NoError(t, json.Unmarshal([]byte(r.Response), &answers))
		require.Len(t, answers, len(calls))
	}
	if len(calls) == 0 || calls[0].Method == "nosuchmethod" {
		// The tools send no such batch. It is not a valid answer to one call.
		err := c.Call(t.Context(), "getblockcount", nil, nil)
		require.ErrorIs(t, err, bitcoin.ErrBadAnswer)
		return
	}
	var status *bitcoin.StatusError
	var rpc *btcjson.RPCError
	if calls[0].Method == "getblockheader" {
		hashes := []string{}
		for _, call := range calls {
			hashes = append(hashes, call.Params[0].(string))
		}
		headers, err := c.FindBlocks(t.Context(), hashes)
		require.NoError(t, err)
		for i, a := range answers {
			if a.Error != nil {
				require.Nil(t, headers[i])
				continue
			}
			var want struct {
				Hash          string
				Height        int64
				Confirmations int64
				Time          int64
			}
			require.NoError(t, json.Unmarshal(a.Result, &want))
			require.Equal(t, want.Hash, headers[i].Hash)
			require.Equal(t, want.Height, headers[i].Height)
			require.Equal(t, want.Confirmations, headers[i].Confirmations)
			require.Equal(t, want.Time, headers[i].Time)
		}
		return
	}
	require.Equal(t, "getblockhash", calls[0].Method)
	from := int64(calls[0].Params[0].(float64))
	var got []string
	err := c.BlockHashes(t.Context(), from, from+int64(len(calls))-1, func(_ int64, hash string) error {
		got = append(got, `"`+hash+`"`)
		return nil
	})
	for i, a := range answers {
		if a.Error == nil {
			require.Equal(t, string(a.Result), got[i])
			continue
		}
		require.Len(t, got, i)
		require.ErrorAs(t, err, &rpc)
		require.Equal(t, a.Error, rpc)
		require.Equal(t, a.Error.Code == btcjson.ErrRPCInvalidParameter, bitcoin.AboveTip(err))
		return
	}
	if r.Status != 200 {
		require.ErrorAs(t, err, &status)
		require.Equal(t, r.Status, status.Code)
		return
	}
	require.NoError(t, err)
}

// TestOtherVersions: it makes no difference what Bitcoin Core 22 to 31 and btcd omit, add or
// write in another form.
func TestOtherVersions(t *testing.T) {
	const hash = "0000000000000000000000000000000000000000000000000000000000000abc"
	answer := ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ ID json.RawMessage }
		_ = json.NewDecoder(r.Body).Decode(&asked)
		_, _ = fmt.Fprintf(w, `{"result":%s,"error":null,"id":%s}`, answer, asked.ID)
	}))
	defer s.Close()
	c, err := bitcoin.Open(bitcoin.Options{URL: s.URL}, t.Errorf)
	require.NoError(t, err)
	for more, want := range map[string]bitcoin.ChainInfo{
		``:                               {TipTime: 1000},
		`,"warnings":""`:                 {TipTime: 1000},
		`,"warnings":["unknown rules"]`:  {TipTime: 1000},
		`,"warnings":null,"time":null`:   {TipTime: 1000},
		`,"time":1300`:                   {TipTime: 1300},
		`,"initialblockdownload":true`:   {TipTime: 1000, InitialBlockDownload: true},
		`,"pruned":false`:                {TipTime: 1000},
		`,"pruned":true,"pruneheight":5`: {TipTime: 1000, PruneHeight: 5},
		`,"softforks":{"taproot":{"type":"buried","active":true,"height":1}},"bits":"1d00ffff","target":"00","signet_challenge":"51"`: {TipTime: 1000},
	} {
		answer = `{"chain":"main","blocks":9,"headers":9,"bestblockhash":"` + hash + `","difficulty":1.5e+14,"mediantime":1000` + more + `}`
		want.Chain, want.Blocks, want.Headers, want.BestBlockHash, want.MedianTime = "main", 9, 9, hash, 1000
		info, err := c.ChainInfo(t.Context())
		require.NoError(t, err, more)
		require.Equal(t, want, info, more)
	}
	for more, confirmations := range map[string]int64{`,"confirmations":1`: 1, `,"confirmations":-1,"nextblockhash":null`: -1, `,"confirmations":0,"target":"00"`: 0} {
		answer = `{"hash":"` + hash + `","height":3,"version":536870912,"versionHex":"20000000","time":1000,"nTx":1,"previousblockhash":"` + hash + `"` + more + `}`
		h, err := c.BlockHeader(t.Context(), hash)
		require.NoError(t, err, more)
		require.Equal(t, bitcoin.Header{Hash: hash, Height: 3, PreviousBlockHash: hash, Time: 1000, Confirmations: confirmations}, h)
	}
}

// TestRecordedChain: what the typed calls make of the answers.
func TestRecordedChain(t *testing.T) {
	node := func(name string) *bitcoin.Client {
		s := httptest.NewServer(bitcointest.OneRecorded(t, name))
		t.Cleanup(s.Close)
		c, err := bitcoin.Open(bitcoin.Options{URL: s.URL}, t.Logf)
		require.NoError(t, err)
		return c
	}
	for name, headersAhead := range map[string]int64{"b3-getblockchaininfo-ok": 0, "prune1-getblockchaininfo-ok": 0, "t4-getblockchaininfo-ok": 1} {
		info, err := node(name).ChainInfo(t.Context())
		require.NoError(t, err)
		require.Equal(t, "regtest", info.Chain)
		require.Equal(t, headersAhead, info.Headers-info.Blocks)
		require.False(t, info.InitialBlockDownload)
	}
	info, err := node("t4-getblockchaininfo-ok").Tip(t.Context())
	require.NoError(t, err)
	at := time.Unix(info.TipTime, 0)
	require.Equal(t, "it has 9197 of 9198 blocks", info.Behind(at))
	info, err = node("prune1-getblockchaininfo-ok").Tip(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 276, info.PruneHeight)
	require.EqualValues(t, 1795908095, info.TipTime)
	at = time.Unix(info.TipTime, 0)
	require.Empty(t, info.Behind(at.Add(24*time.Hour)))
	require.Equal(t, "its tip at height 814 is 25.0 hours old", info.Behind(at.Add(25*time.Hour)))
	require.Equal(t, "its tip at height 814 is 20 days old", info.Behind(at.Add(20*24*time.Hour)))
	info.Chain = "main"
	require.Equal(t, "its tip at height 814 is 4.0 hours old", info.Behind(at.Add(4*time.Hour)))
	info.InitialBlockDownload = true
	require.Equal(t, "its tip at height 814 is 1.0 hours old", info.Behind(at.Add(time.Hour)))
	for name, hint := range map[string]string{
		"c4-getblockchaininfo-error-28-loading-banlist":  "the node is starting",
		"c4-getblockchaininfo-error-28-verifying-blocks": "the node is starting",
		"probe-warming-up-single":                        "the node is starting",
		"c6b-getblockchaininfo-http503":                  "the node is busy",
		"probe-unauthorized-none":                        "no credentials were found",
		"v29-probe-unauthorized-wrong":                   "no credentials were found",
		"probe-unknown-path":                             "check the host, port and path",
		"probe-get-request":                              "check the host, port and path",
		"wl-getrawtransaction-p1-http403":                "rpcwhitelist",
	} {
		_, err := node(name).ChainInfo(t.Context())
		var hinted *exit.Error
		require.ErrorAs(t, err, &hinted, name)
		require.Contains(t, hinted.Hint, hint, name)
	}
	hash, err := node("probe-getblockhash-single-ok").BlockHash(t.Context(), 9201)
	require.NoError(t, err)
	require.True(t, bitcoin.IsHash(hash))
	for _, name := range []string{"probe-getblockhash-negative", "probe-jsonrpc-2.0-error"} {
		_, err = node(name).BlockHash(t.Context(), 9202)
		require.True(t, bitcoin.AboveTip(err))
		require.ErrorContains(t, err, "getblockhash: height 9202: -8: Block height out of range")
	}
	for name, active := range map[string]bool{
		"probe-getblockheader-genesis": true, "probe-getblockheader-stale-block": false, "probe-getblockheader-headers-only": false,
	} {
		r := bitcointest.OneRecorded(t, name)
		calls, _ := r.Calls()
		h, err := node(name).BlockHeader(t.Context(), calls[0].Params[0].(string))
		require.NoError(t, err)
		require.Equal(t, active, h.Confirmations > 0)
		require.Equal(t, active, h.PreviousBlockHash == "", "the genesis block has none")
		_, err = node(name).BlockHeader(t.Context(), strings.Repeat("12", 32))
		require.ErrorIs(t, err, bitcoin.ErrBadAnswer)
	}
}
