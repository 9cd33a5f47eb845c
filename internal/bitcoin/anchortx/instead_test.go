package anchortx_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcjson"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/anchortx"
	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/snapshot"
)

// TestRecordedOriginalMined: the original was mined after a successful bump, as reported by two
// real Bitcoin Cores.
func TestRecordedOriginalMined(t *testing.T) {
	t.Parallel()
	for name, stage := range map[string][]string{
		"29": {"v29-probe-gettransaction-replacement-conflicted", "v29-probe-gettransaction-original-mined-after-bump"},
		"31": {"seq-walletbroadcast0-bump-9-gettransaction-new-after-old-is-mined", "seq-walletbroadcast0-bump-10-gettransaction-old-is-mined"},
	} {
		t.Run(name, func(t *testing.T) {
			type entry struct {
				TxID, Hex, BlockHash string
				BlockHeight          int64
			}
			var bumped, original entry
			bitcointest.OneRecorded(t, stage[0]).Result(t, &bumped)
			bitcointest.OneRecorded(t, stage[1]).Result(t, &original)
			commitment := original.Hex[strings.Index(original.Hex, hex.EncodeToString([]byte("AILEE")))+10:][:64]
			chain := bitcointest.NewChain(original.BlockHeight)
			var confirmations atomic.Int64
			confirmations.Store(1)
			chain.Methods = map[string]func([]json.RawMessage) (any, error){
				"getindexinfo":      func([]json.RawMessage) (any, error) { return answer{}, nil },
				"getrawtransaction": func([]json.RawMessage) (any, error) { return nil, noIndex },
				"getblockheader": func(params []json.RawMessage) (any, error) {
					hash := strings.Trim(string(params[0]), `"`)
					return answer{"hash": hash, "height": original.BlockHeight, "previousblockhash": other, "time": 1e9, "confirmations": confirmations.Load()}, nil
				},
			}
			node := bitcointest.NewReplay(t, chain, stage)
			c, err := bitcoin.Open(bitcoin.Options{URL: node.URL}, t.Logf)
			require.NoError(t, err)
			look := func(w anchortx.Wanted) anchortx.Found {
				found, err := anchortx.Find(ctx, c, []anchortx.Wanted{w}, anchortx.Options{Wallet: "anchors", Scan: 0})
				require.NoError(t, err)
				return found[0]
			}
			found := look(anchortx.ForRecord(bumped.TxID, commitment, "", 0, 1000))
			require.Equal(t, anchortx.Mined, found.State, found.Why)
			require.Equal(t, original.TxID, found.Tx.TxID())
			require.Equal(t, original.BlockHash, found.BlockHash)
			require.Equal(t, original.BlockHeight, found.Height)
			require.EqualValues(t, 1, found.Confirmations)

			dead := fmt.Sprintf("neither in the active chain nor in the mempool, and can never be mined: %s in the chain spends its inputs", original.TxID)
			found = look(anchortx.ForRecord(bumped.TxID, strings.Repeat("77", 32), "", 0, 1000))
			require.Equal(t, anchortx.Absent, found.State, found.Why)
			require.Equal(t, dead, found.String())
			found = look(anchortx.Wanted{TxID: bumped.TxID})
			require.Equal(t, dead, found.String())
			confirmations.Store(-1) // its block has left the chain
			found = look(anchortx.ForRecord(bumped.TxID, commitment, "", 0, 1000))
			require.NotEqual(t, anchortx.Mined, found.State)
		})
	}
}

// TestRecordedOriginalWaits: the original is in the mempool, and the recorded replacement was
// never sent, as reported by a real Bitcoin Core.
func TestRecordedOriginalWaits(t *testing.T) {
	t.Parallel()
	const seq = "seq-walletbroadcast0-bump-"
	var bumped, original struct{ TxID, Hex string }
	bitcointest.OneRecorded(t, seq+"6-gettransaction-new").Result(t, &bumped)
	bitcointest.OneRecorded(t, seq+"7-gettransaction-old").Result(t, &original)
	commitment := original.Hex[strings.Index(original.Hex, hex.EncodeToString([]byte("AILEE")))+10:][:64]
	chain := bitcointest.NewChain(250)
	chain.Methods = map[string]func([]json.RawMessage) (any, error){
		"getindexinfo":      func([]json.RawMessage) (any, error) { return answer{}, nil },
		"getrawtransaction": func([]json.RawMessage) (any, error) { return nil, noIndex },
	}
	node := bitcointest.NewReplay(t, chain, []string{seq + "5-getrawtransaction-new", seq + "6-gettransaction-new", seq + "7-gettransaction-old", seq + "8-getrawtransaction-old"})
	c, err := bitcoin.Open(bitcoin.Options{URL: node.URL}, t.Logf)
	require.NoError(t, err)
	found, err := anchortx.Find(ctx, c, []anchortx.Wanted{anchortx.ForRecord(bumped.TxID, commitment, "", 0, 1000)}, anchortx.Options{Wallet: "anchors"})
	require.NoError(t, err)
	require.Equal(t, anchortx.InMempool, found[0].State, found[0].Why)
	require.Equal(t, original.TxID, found[0].Tx.TxID())
}

// TestInsteadWithoutWallet: if no wallet knows the transaction of its record, the anchor is looked
// for in the blocks.
func TestInsteadWithoutWallet(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]string{"index": {"--txindex"}, "no index": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := bitcointest.StartNode(t, false, options...)
			c := open(t, n)
			n.Generate(bitcointest.Maturity + 1)
			payload := strings.Repeat("ab", 32) + ":1:test"
			hash, root := snapshot.AnchorHash(payload), payload[:64]
			txid := n.Send(n.Transaction(1, snapshot.OpReturnScript(snapshot.Commitment(payload))))
			wanted := anchortx.ForRecord(other, hash, root, 0, uint64(time.Now().UnixMilli()))
			foreign := anchortx.ForRecord(other, strings.Repeat("77", 32), root, 0, uint64(time.Now().UnixMilli()))
			both := func(scan int64) (ours, others anchortx.Found) {
				found, err := anchortx.Find(ctx, c, []anchortx.Wanted{wanted, foreign}, anchortx.Options{Scan: scan})
				require.NoError(t, err)
				return found[0], found[1]
			}
			n.Generate(3)
			ours, others := both(anchortx.DefaultScan)
			require.Equal(t, anchortx.Mined, ours.State, ours.Why)
			require.Equal(t, txid, ours.Tx.TxID())
			require.EqualValues(t, 3, ours.Confirmations)
			require.Equal(t, n.Hash(ours.Height), ours.BlockHash)
			require.Equal(t, anchortx.Absent, others.State, others.Why)
			// If not all blocks were searched, nothing is reported as absent.
			ours, others = both(1)
			require.Equal(t, anchortx.Unknown, ours.State)
			require.Equal(t, anchortx.Unknown, others.State)
			if options != nil {
				require.Contains(t, others.Why, "another transaction may carry its anchor")
			}
		})
	}
}

// TestPruned: pruned blocks are not asked for, and their heights are reported.
func TestPruned(t *testing.T) {
	t.Parallel()
	node := bitcointest.NewChain(250)
	var refused atomic.Int64
	txid := strings.Repeat("45", 32)
	n := core{wallet: noWallet, index: answer{}, alone: noIndex}
	node.Methods = n.methods(txid)
	node.Methods["getblockchaininfo"] = func([]json.RawMessage) (any, error) {
		return answer{"chain": "main", "blocks": 250, "headers": 250, "bestblockhash": node.Hash(250), "mediantime": 1, "pruned": true, "pruneheight": 240}, nil
	}
	getTransaction := node.Methods["getrawtransaction"]
	node.Methods["getrawtransaction"] = func(params []json.RawMessage) (any, error) {
		if len(params) == 3 { // in the block where it should be
			refused.Add(1)
			return nil, pruned
		}
		return getTransaction(params)
	}
	getBlock := node.Methods["getblock"]
	node.Methods["getblock"] = func(params []json.RawMessage) (any, error) {
		var height int64
		_, err := fmt.Sscanf(string(params[0])[17:33], "%x", &height)
		require.NoError(t, err)
		if height < 240 {
			refused.Add(1)
			return nil, pruned
		}
		return getBlock(params)
	}
	const since = bitcointest.GenesisTime + 200*bitcointest.BlockSpacing
	for _, height := range []int64{0, 201} {
		found := find(t, client(t, node), anchortx.Wanted{TxID: txid, Since: since, Height: height}, 100)
		require.Equal(t, anchortx.Unknown, found.State)
		require.Contains(t, found.Why, "the transaction is not in the 11 block(s) starting at height 240, and those below were pruned")
	}
	require.Zero(t, refused.Load())
}

// TestWalletNamed: with several wallets loaded, the named one is asked, and no block is searched.
func TestWalletNamed(t *testing.T) {
	t.Parallel()
	const name = "g2rs-gettransaction-ok-confpos"
	var entry struct {
		TxID, BlockHash string
		BlockHeight     int64
	}
	r := bitcointest.OneRecorded(t, name)
	r.Result(t, &entry)
	r.RequestLine = "POST /wallet/anchors HTTP/1.1"
	chain := bitcointest.NewChain(entry.BlockHeight)
	var blocks atomic.Int64
	chain.Methods = map[string]func([]json.RawMessage) (any, error){
		"gettransaction":    func([]json.RawMessage) (any, error) { return nil, manyWallets },
		"getindexinfo":      func([]json.RawMessage) (any, error) { return answer{}, nil },
		"getrawtransaction": func([]json.RawMessage) (any, error) { return nil, noIndex },
		"getblock": func([]json.RawMessage) (any, error) {
			blocks.Add(1)
			return nil, btcjson.NewRPCError(-1, "not now")
		},
		"getblockheader": func(params []json.RawMessage) (any, error) {
			return answer{"hash": strings.Trim(string(params[0]), `"`), "height": entry.BlockHeight, "previousblockhash": other, "time": 1e9, "mediantime": 1, "confirmations": 1}, nil
		},
	}
	node := bitcointest.NewReplay(t, chain, nil)
	node.Add(r)
	c, err := bitcoin.Open(bitcoin.Options{URL: node.URL}, t.Logf)
	require.NoError(t, err)
	for wallet, want := range map[string]anchortx.State{"anchors": anchortx.Mined, "": anchortx.Unknown} {
		found, err := anchortx.Find(ctx, c, []anchortx.Wanted{{TxID: entry.TxID}}, anchortx.Options{Wallet: wallet, Scan: 3})
		require.NoError(t, err)
		require.Equal(t, want, found[0].State, found[0].Why)
		require.Equal(t, wallet == "", blocks.Load() > 0)
		blocks.Store(0)
	}
	_, err = anchortx.Find(ctx, c, []anchortx.Wanted{{TxID: entry.TxID, Carries: func(*wire.MsgTx) bool { return true }}}, anchortx.Options{Wallet: ".."})
	require.ErrorContains(t, err, "is not a wallet name")
}
