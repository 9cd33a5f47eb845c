package anchortx_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/btcsuite/btcd/btcjson"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/anchortx"
	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/snapshot"
)

// The answers of Bitcoin Core, 0.21 to 30.
var (
	noWallet     = btcjson.NewRPCError(-18, "No wallet is loaded. Load a wallet using loadwallet or create a new one with createwallet. (Note: A default wallet is no longer automatically created)")
	manyWallets  = btcjson.NewRPCError(-19, "Wallet file not specified (must request wallet RPC through /wallet/<filename> uri-path).")
	noWalletCode = btcjson.NewRPCError(-32601, "Method not found")
	notInWallet  = btcjson.NewRPCError(-5, "Invalid or non-wallet transaction id")
	noIndex      = btcjson.NewRPCError(-5, "No such mempool transaction. Use -txindex or provide a block hash to enable blockchain transaction queries. Use gettransaction for wallet transactions.")
	indexing     = btcjson.NewRPCError(-5, "No such mempool transaction. Blockchain transactions are still in the process of being indexed. Use gettransaction for wallet transactions.")
	notInIndex   = btcjson.NewRPCError(-5, "No such mempool or blockchain transaction. Use gettransaction for wallet transactions.")
	notInBlock   = btcjson.NewRPCError(-5, "No such transaction found in the provided block. Use gettransaction for wallet transactions.")
	pruned       = btcjson.NewRPCError(-1, "Block not available (pruned data)")
)

type answer = map[string]any

// index is the answer to getindexinfo.
func index(synced bool) answer {
	return answer{"txindex": answer{"synced": synced, "best_block_height": 199}}
}

// core is what an imitated Bitcoin Core says about one transaction: an answer or a
// *btcjson.RPCError.
type core struct {
	wallet, index, alone any
	inBlock              map[string]any // by block hash; for others, notInBlock
	blocks               map[string]any // getblock by hash; for others, a block without it
}

// methods accepts no more parameters than the help of Bitcoin Core allows.
func (n core) methods(txid string) map[string]func([]json.RawMessage) (any, error) {
	reply := func(what any) (any, error) {
		if err, ok := what.(*btcjson.RPCError); ok {
			return nil, err
		}
		return what, nil
	}
	texts := func(params []json.RawMessage) (texts []string) {
		for _, p := range params {
			texts = append(texts, strings.Trim(string(p), `"`))
		}
		return texts
	}
	refused := btcjson.NewRPCError(-8, "the help of the method")
	return map[string]func([]json.RawMessage) (any, error){
		"getindexinfo": func(params []json.RawMessage) (any, error) {
			if len(params) > 0 {
				return nil, refused
			}
			return reply(n.index)
		},
		"gettransaction": func(params []json.RawMessage) (any, error) {
			if p := texts(params); len(p) != 1 || p[0] != txid {
				return nil, refused
			}
			return reply(n.wallet)
		},
		"getrawtransaction": func(params []json.RawMessage) (any, error) {
			p := texts(params)
			switch {
			case len(p) < 2 || len(p) > 3 || p[0] != txid || p[1] != "1":
				return nil, refused
			case len(p) == 2:
				return reply(n.alone)
			case n.inBlock[p[2]] == nil:
				return nil, notInBlock
			}
			return reply(n.inBlock[p[2]])
		},
		"getblock": func(params []json.RawMessage) (any, error) {
			p := texts(params)
			if len(p) != 2 {
				return nil, refused
			}
			if block := n.blocks[p[0]]; block != nil {
				return reply(block)
			}
			return answer{"hash": p[0], "tx": []string{other}}, nil
		},
	}
}

func TestBitcoinCore(t *testing.T) {
	t.Parallel()
	tx := wire.NewMsgTx(wire.TxVersion)
	tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{}, []byte{1}, [][]byte{{2}}))
	script := snapshot.OpReturnScript([]byte("the commitment"))
	tx.AddTxOut(wire.NewTxOut(0, script))
	txid, raw := tx.TxHash().String(), bitcointest.Hex(tx)
	chain := bitcointest.NewChain(250)
	stale := chain.Hash(200)
	chain.Reorganise(200, 250)
	active := chain.Hash(201)
	// The time of block 200; the scan begins 12 blocks and 5 before its median time.
	const since = 1231006505 + 200*600

	inWallet := func(block string, confirmations int) answer {
		return answer{"amount": -0.001, "fee": -0.00001, "confirmations": confirmations, "blockhash": block, "blockindex": 1,
			"txid": txid, "walletconflicts": []string{}, "time": 1, "details": []any{}, "hex": raw}
	}
	unmined := answer{"txid": txid, "hash": other, "hex": raw, "version": 2, "vin": []any{}, "vout": []any{}}
	mined := func(block string, confirmations int, active ...bool) answer {
		a := answer{"txid": txid, "hex": raw, "blockhash": block, "confirmations": confirmations, "time": 1, "blocktime": 1}
		if len(active) > 0 {
			a["in_active_chain"] = active[0]
		}
		return a
	}
	holding := answer{"hash": active, "tx": []string{other, txid}, "height": 201}

	for name, test := range map[string]struct {
		node  core
		want  anchortx.State
		wants anchortx.Wanted
		why   string
	}{
		"wallet":                      {node: core{wallet: inWallet(active, 50)}, want: anchortx.Mined},
		"wallet, unconfirmed":         {node: core{wallet: inWallet("", 0), alone: unmined}, want: anchortx.InMempool},
		"wallet, in a stale block":    {node: core{wallet: inWallet(stale, 0), alone: unmined}, want: anchortx.InMempool},
		"wallet, in no mempool":       {node: core{wallet: inWallet("", 0), alone: notInIndex, index: index(true)}, want: anchortx.Absent},
		"index":                       {node: core{wallet: noWallet, index: index(true), alone: mined(active, 50)}, want: anchortx.Mined},
		"index, in a stale block":     {node: core{wallet: manyWallets, index: index(true), alone: mined(stale, 0)}, want: anchortx.Absent},
		"index, stale block of old":   {node: core{wallet: manyWallets, index: index(true), alone: mined(stale, -1)}, want: anchortx.Absent},
		"index, without it":           {node: core{wallet: notInWallet, index: index(true), alone: notInIndex}, want: anchortx.Absent},
		"mempool":                     {node: core{wallet: noWalletCode, alone: unmined}, want: anchortx.InMempool},
		"at its height":               {node: core{wallet: noWallet, alone: noIndex, inBlock: answer{active: mined(active, 50, true)}}, wants: anchortx.Wanted{Height: 201}, want: anchortx.Mined},
		"indexing, at its height":     {node: core{wallet: noWallet, index: index(false), alone: indexing, inBlock: answer{active: mined(active, 50)}}, wants: anchortx.Wanted{Height: 201}, want: anchortx.Mined},
		"by scanning":                 {node: core{wallet: noWallet, alone: noIndex, inBlock: answer{active: mined(active, 50, true)}, blocks: answer{active: holding}}, want: anchortx.Mined},
		"by scanning, another height": {node: core{wallet: noWallet, alone: noIndex, inBlock: answer{active: mined(active, 50, true)}, blocks: answer{active: holding}}, wants: anchortx.Wanted{Height: 240}, want: anchortx.Mined},
		"scanned in vain":             {node: core{wallet: noWallet, alone: noIndex}, want: anchortx.Absent},
		"scanned while indexing":      {node: core{wallet: noWallet, index: index(false), alone: indexing}, want: anchortx.Absent},
		"pruned":                      {node: core{wallet: noWallet, alone: noIndex, blocks: answer{active: pruned}}, want: anchortx.Unknown, why: "the node does not return the block at height 201"},
		"pruned where it should be":   {node: core{wallet: noWallet, alone: noIndex, inBlock: answer{active: pruned}, blocks: answer{active: pruned}}, wants: anchortx.Wanted{Height: 201}, want: anchortx.Unknown, why: "height 201"},
		"no getrawtransaction":        {node: core{wallet: noWallet, alone: noWalletCode}, want: anchortx.Unknown, why: "what is in its mempool"},
	} {
		t.Run(name, func(t *testing.T) {
			node := bitcointest.NewChain(250)
			node.Reorganise(200, 250)
			if test.node.index == nil {
				test.node.index = answer{}
			}
			node.Methods = test.node.methods(txid)
			test.wants.TxID, test.wants.Since = txid, since
			found := find(t, client(t, node), test.wants, 100)
			require.Equal(t, test.want, found.State, found.Why)
			require.Contains(t, found.Why, test.why)
			if found.State == anchortx.Mined {
				require.EqualValues(t, 201, found.Height)
				require.EqualValues(t, 50, found.Confirmations)
				require.Equal(t, active, found.BlockHash)
			}
			if found.Tx != nil {
				require.True(t, anchortx.Carries(found.Tx, script))
			}
			// Too few blocks are searched.
			if test.node.index.(answer)["txindex"] == nil && found.State == anchortx.Absent {
				require.Equal(t, anchortx.Unknown, find(t, client(t, node), test.wants, 5).State)
			}
		})
	}

	// An answer that cannot be trusted is an error, wherever it comes from.
	foreign := tx.Copy()
	foreign.LockTime = 1
	for name, bad := range map[string]string{"another transaction": bitcointest.Hex(foreign), "more": raw + "00", "less": raw[:20], "no hex": "x"} {
		for _, n := range []core{
			{wallet: answer{"hex": bad, "blockhash": active}, index: answer{}},
			{wallet: noWallet, index: answer{}, alone: answer{"hex": bad}},
			{wallet: noWallet, index: answer{}, alone: noIndex, inBlock: answer{active: answer{"hex": bad}}, blocks: answer{active: holding}},
		} {
			node := bitcointest.NewChain(250)
			node.Reorganise(200, 250)
			node.Methods = n.methods(txid)
			_, err := anchortx.Find(ctx, client(t, node), []anchortx.Wanted{{TxID: txid, Since: since}}, anchortx.Options{Scan: 100})
			require.ErrorIs(t, err, bitcoin.ErrBadAnswer, name)
		}
	}
}

// From a node that is not at the end of the chain, or moves to another one, it does not follow
// that a transaction is nowhere.
func TestAbsentOnlyWhenCertain(t *testing.T) {
	t.Parallel()
	n := core{wallet: noWallet, index: index(true), alone: notInIndex}
	look := func(change func(*bitcointest.Chain)) anchortx.Found {
		node := bitcointest.NewChain(250)
		node.Methods = n.methods(other)
		change(node)
		return find(t, client(t, node), anchortx.Wanted{TxID: other}, 10)
	}
	require.Equal(t, anchortx.Absent, look(func(*bitcointest.Chain) {}).State)
	found := look(func(c *bitcointest.Chain) { c.Syncing = true })
	require.Equal(t, anchortx.Unknown, found.State)
	require.Equal(t, "the node is still loading blocks", found.Why)
	found = look(func(c *bitcointest.Chain) {
		c.Methods["getrawtransaction"] = func([]json.RawMessage) (any, error) {
			c.Reorganise(250, 251)
			return nil, notInIndex
		}
	})
	require.Equal(t, anchortx.Unknown, found.State)
	require.Equal(t, "the chain changed in the meantime", found.Why)
}

// A node that allows only some methods: what it does not answer stays unknown.
func TestWhitelist(t *testing.T) {
	t.Parallel()
	node := bitcointest.NewChain(250)
	node.Misbehave = func(_ int64, w http.ResponseWriter, _ *http.Request, body []byte) bool {
		refused := !strings.Contains(string(body), "getblock")
		if refused {
			w.WriteHeader(http.StatusForbidden)
		}
		return refused
	}
	node.Methods = core{index: answer{}}.methods(other)
	found := find(t, client(t, node), anchortx.Wanted{TxID: strings.Repeat("45", 32)}, 1000)
	require.Equal(t, anchortx.Unknown, found.State)
	require.Contains(t, found.Why, "mempool")
}

// A block from a node without getrawtransaction for blocks is checked against its hash.
func TestAnotherBlock(t *testing.T) {
	t.Parallel()
	node := bitcointest.NewChain(250)
	n := core{wallet: noWallet, index: answer{}, alone: noIndex,
		inBlock: answer{node.Hash(201): btcjson.NewRPCError(-32602, "too many parameters")}}
	node.Methods = n.methods(other)
	node.Methods["getblock"] = func([]json.RawMessage) (any, error) {
		var b bytes.Buffer
		require.NoError(t, chaincfg.RegressionNetParams.GenesisBlock.Serialize(&b))
		return hex.EncodeToString(b.Bytes()), nil
	}
	_, err := anchortx.Find(ctx, client(t, node), []anchortx.Wanted{{TxID: other, Height: 201}}, anchortx.Options{Scan: 100})
	require.ErrorIs(t, err, bitcoin.ErrBadAnswer)
	require.ErrorContains(t, err, "in place of "+node.Hash(201))
}

// The chain stood still for a day until a block took the transaction: its median time is still
// that of the day before. Blocks after it are not searched.
func TestMedianTimeLags(t *testing.T) {
	t.Parallel()
	tx := wire.NewMsgTx(wire.TxVersion)
	tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{}, []byte{1}, nil))
	tx.AddTxOut(wire.NewTxOut(0, nil))
	txid := tx.TxHash().String()
	blockOf := func(param json.RawMessage) (hash string, height int64) {
		require.NoError(t, json.Unmarshal(param, &hash))
		_, err := fmt.Sscanf(hash[16:32], "%x", &height)
		require.NoError(t, err)
		return hash, height
	}
	for _, tip := range []int64{201, 203, 230, 250} {
		node := bitcointest.NewChain(tip)
		const day, start = 86_400, 1_600_000_000
		times := func(height int64) int64 {
			if height > 200 {
				return start + 200*600 + day + height
			}
			return start + height*600
		}
		block := node.Hash(201)
		n := core{wallet: noWallet, index: answer{}, alone: noIndex,
			inBlock: answer{block: answer{"hex": bitcointest.Hex(tx)}}, blocks: answer{block: answer{"hash": block, "tx": []string{txid}}}}
		node.Methods = n.methods(txid)
		node.Methods["getblockheader"] = func(params []json.RawMessage) (any, error) {
			hash, height := blockOf(params[0])
			h := answer{"hash": hash, "height": height, "time": times(height), "mediantime": times(max(0, height-5)), "confirmations": tip - height + 1}
			if height > 0 {
				h["previousblockhash"] = node.Hash(height - 1)
			}
			return h, nil
		}
		var blocks atomic.Int64
		// The blocks after it are read at the same time, perhaps all of them, so they wait until
		// the transaction was seen.
		seen := make(chan struct{})
		getBlock, getTransaction := node.Methods["getblock"], node.Methods["getrawtransaction"]
		node.Methods["getblock"] = func(params []json.RawMessage) (any, error) {
			blocks.Add(1)
			if _, height := blockOf(params[0]); height > 201 {
				<-seen
			}
			return getBlock(params)
		}
		node.Methods["getrawtransaction"] = func(params []json.RawMessage) (any, error) {
			if len(params) > 2 {
				close(seen)
			}
			return getTransaction(params)
		}
		found := find(t, client(t, node), anchortx.Wanted{TxID: txid, Since: times(201)}, 100)
		require.Equal(t, anchortx.Mined, found.State, "%d: %s", tip, found.Why)
		require.EqualValues(t, 201, found.Height)
		require.Less(t, blocks.Load(), int64(12), "of %d", tip)
	}
}

// The miner's clock is two hours behind the sender's, which is as much as nodes allow.
func TestClockOfAMiner(t *testing.T) {
	t.Parallel()
	tx := wire.NewMsgTx(wire.TxVersion)
	tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{}, []byte{1}, nil))
	tx.AddTxOut(wire.NewTxOut(0, nil))
	txid := tx.TxHash().String()
	node := bitcointest.NewChain(250)
	block := node.Hash(201)
	node.Methods = core{wallet: noWallet, index: answer{}, alone: noIndex,
		inBlock: answer{block: answer{"hex": bitcointest.Hex(tx)}}, blocks: answer{block: answer{"hash": block, "tx": []string{txid}}}}.methods(txid)
	c := client(t, node)
	header, err := c.BlockHeader(ctx, block)
	require.NoError(t, err)
	found := find(t, c, anchortx.Wanted{TxID: txid, Since: header.Time + 2*60*60}, 100)
	require.Equal(t, anchortx.Mined, found.State, found.Why)
	require.EqualValues(t, 201, found.Height)
}

func client(t *testing.T, node *bitcointest.Chain) *bitcoin.Client {
	c, err := bitcoin.Open(bitcoin.Options{URL: node.Serve(t)}, t.Logf)
	require.NoError(t, err)
	return c
}

func TestIsTxID(t *testing.T) {
	require.True(t, anchortx.IsTxID(other))
	for _, text := range []string{"", other[1:], other + "0", strings.Repeat("AB", 32), strings.Repeat("0x", 32)} {
		require.False(t, anchortx.IsTxID(text), text)
	}
}

func TestCarriesAnchor(t *testing.T) {
	root := strings.Repeat("ab", 32)
	short, long := root+":1:m", root+":1:"+strings.Repeat("m", 20)
	for _, payload := range []string{short, long} {
		tx := wire.NewMsgTx(wire.TxVersion)
		tx.AddTxOut(wire.NewTxOut(5, []byte{0x51}))
		script := snapshot.OpReturnScript(snapshot.Commitment(payload))
		tx.AddTxOut(wire.NewTxOut(0, script))
		hash := snapshot.AnchorHash(payload)
		require.True(t, anchortx.CarriesAnchor(tx, hash, root))
		require.True(t, anchortx.CarriesAnchor(tx, strings.ToUpper(hash), root), "nodes compare without case")
		require.False(t, anchortx.CarriesAnchor(tx, snapshot.AnchorHash("other"), root))
		if payload == short {
			require.False(t, anchortx.CarriesAnchor(tx, hash, root[1:]))
		}
		for _, wrong := range [][]byte{nil, {0x6a}, script[1:], script[:len(script)-1], append(script[:len(script):len(script)], 0)} {
			tx.TxOut[1].PkScript = wrong
			require.False(t, anchortx.CarriesAnchor(tx, hash, root), "%x", wrong)
		}
	}
}
