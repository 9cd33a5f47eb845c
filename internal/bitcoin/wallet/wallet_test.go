package wallet_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/btcjson"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/bitcoin/wallet"
	"ailee-recovery/internal/exit"
)

// methods are a node's answers by method. A func takes the parameters; an error is an error of
// the node; anything else is the result.
type methods map[string]any

// open returns a wallet of a node that answers that way, and the calls that the node gets.
func open(t *testing.T, answers methods) (*wallet.Wallet, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var calls []string
	chain := bitcointest.NewChain(100)
	chain.Methods = map[string]func([]json.RawMessage) (any, error){}
	for method, answer := range answers {
		chain.Methods[method] = func(params []json.RawMessage) (any, error) {
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, fmt.Sprintf("%s %s", method, params))
			if f, ok := answer.(func(params []json.RawMessage) any); ok {
				answer := f(params)
				err, _ := answer.(error)
				return answer, err
			}
			err, _ := answer.(error)
			return answer, err
		}
	}
	client, err := bitcoin.Open(bitcoin.Options{URL: chain.Serve(t), User: "u", Password: "p"}, t.Logf)
	require.NoError(t, err)
	w, err := wallet.Open(client, "")
	require.NoError(t, err)
	return w, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return calls
	}
}

func refused(code btcjson.RPCErrorCode, words string) error { return btcjson.NewRPCError(code, words) }

// unknown is how a wallet and a node without an index answer for an unknown transaction.
var unknown = refused(btcjson.ErrRPCInvalidAddressOrKey, "Invalid or non-wallet transaction id")

// transaction returns one that spends the first output of a made-up transaction; number makes it
// unique.
func transaction(number int) *wire.MsgTx {
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&chainhash.Hash{1, byte(number)}, 0), nil, nil))
	tx.AddTxOut(wire.NewTxOut(int64(number), []byte{0x51}))
	return tx
}

func requireHint(t *testing.T, err error, message, hint string) {
	t.Helper()
	require.ErrorContains(t, err, message)
	var e *exit.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, exit.Failed, e.Code)
	require.Contains(t, e.Hint, hint)
}

// TestEncode: a transaction survives hex and back, and nothing else is a transaction.
func TestEncode(t *testing.T) {
	tx := transaction(1)
	text := wallet.Encode(tx)
	back, err := wallet.Decode(text)
	require.NoError(t, err)
	require.Equal(t, tx.TxID(), back.TxID())
	for _, wrong := range []string{"", "zz", text + "00", text[:len(text)-2], text[:len(text)-1], wallet.Encode(wire.NewMsgTx(2))} {
		_, err := wallet.Decode(wrong)
		require.Error(t, err, wrong)
	}
	require.EqualValues(t, len(text)/2, wallet.VSize(tx))
	// A byte of witness counts for a quarter, rounded up.
	tx.TxIn[0].Witness = wire.TxWitness{{1, 2, 3}}
	require.EqualValues(t, len(text)/2+2, wallet.VSize(tx), "marker, flag, and 5 bytes")
	require.Greater(t, len(wallet.Encode(tx)), len(text))
}

// indexed is how a node with a transaction index answers getrawtransaction for a transaction in a
// block; below 0, it gives no details.
func indexed(confirmations int) func([]json.RawMessage) any {
	return func(params []json.RawMessage) any {
		switch {
		case len(params) == 1:
			return "00"
		case confirmations < 0:
			return refused(btcjson.ErrRPCMisc, "x")
		}
		return map[string]any{"hex": "00", "blockhash": strings.Repeat("ab", 32), "confirmations": confirmations}
	}
}

// inMempool is how it answers for a transaction that is in no block.
func inMempool(params []json.RawMessage) any {
	if len(params) == 1 {
		return "00"
	}
	return map[string]any{"hex": "00"}
}

// TestFind: what the wallet says, then what the mempool says.
func TestFind(t *testing.T) {
	txid := transaction(1).TxID()
	for name, c := range map[string]struct {
		answers methods
		want    wallet.State
	}{
		"in the chain":                 {methods{"gettransaction": map[string]any{"confirmations": 1}}, wallet.Known},
		"another in the chain":         {methods{"gettransaction": map[string]any{"confirmations": -1}}, wallet.Conflicted},
		"in the mempool":               {methods{"gettransaction": map[string]any{"confirmations": 0}, "getrawtransaction": inMempool}, wallet.Known},
		"in another's mempool":         {methods{"gettransaction": unknown, "getrawtransaction": inMempool}, wallet.Known},
		"out of the mempool":           {methods{"gettransaction": map[string]any{"confirmations": 0}, "getrawtransaction": refused(btcjson.ErrRPCNoTxInfo, "No such mempool transaction")}, wallet.Absent},
		"in a block that was replaced": {methods{"gettransaction": map[string]any{"confirmations": 0}, "getrawtransaction": indexed(0)}, wallet.Absent},
		"in a block, of another":       {methods{"gettransaction": unknown, "getrawtransaction": indexed(1)}, wallet.Known},
		"no details":                   {methods{"gettransaction": unknown, "getrawtransaction": indexed(-1)}, wallet.Known},
		"never there":                  {methods{"gettransaction": unknown, "getrawtransaction": refused(btcjson.ErrRPCNoTxInfo, "No such mempool transaction")}, wallet.Absent},
		"confirmations is missing":     {methods{"gettransaction": map[string]any{}}, -1},
		"the wallet refuses":           {methods{"gettransaction": refused(btcjson.ErrRPCWalletNotFound, "Requested wallet does not exist")}, -1},
		"the mempool refuses":          {methods{"gettransaction": unknown, "getrawtransaction": refused(btcjson.ErrRPCMisc, "x")}, -1},
	} {
		w, _ := open(t, c.answers)
		state, err := w.Find(t.Context(), txid)
		require.Equal(t, c.want < 0, err != nil, "%s: %v", name, err)
		if err == nil {
			require.Equal(t, c.want, state, name)
		}
	}
}

// TestDead: a transaction is dead only if the chain spends its inputs, or has another
// transaction in place of one that it spends from.
func TestDead(t *testing.T) {
	parent := func(confirmations int) any { return map[string]any{"confirmations": confirmations} }
	for name, c := range map[string]struct {
		parent, out any
		want        bool
	}{
		"the output is there":           {parent(1), map[string]any{"value": 1.5}, false},
		"spent in the chain":            {parent(1), nil, true},
		"the parent is dead":            {parent(-1), map[string]any{"value": 1.5}, true},
		"the parent is in no block":     {parent(0), nil, false},
		"the wallet knows of no parent": {unknown, nil, false},
	} {
		w, calls := open(t, methods{"gettransaction": c.parent, "gettxout": c.out})
		dead, err := w.Dead(t.Context(), transaction(1))
		require.NoError(t, err, name)
		require.Equal(t, c.want, dead, name)
		if len(calls()) > 1 {
			require.Contains(t, calls()[1], " 0 false]", "what waits in the mempool kills nothing")
		}
	}
	w, _ := open(t, methods{"gettransaction": parent(1), "gettxout": map[string]any{}})
	_, err := w.Dead(t.Context(), transaction(1))
	require.ErrorIs(t, err, bitcoin.ErrBadAnswer)
}

// TestMember: only the transaction that was asked for is accepted.
func TestMember(t *testing.T) {
	tx := transaction(1)
	w, _ := open(t, methods{"gettransaction": map[string]any{"confirmations": 3, "hex": wallet.Encode(tx)}})
	found, err := w.Member(t.Context(), tx.TxID())
	require.NoError(t, err)
	require.Equal(t, tx.TxID(), found.TxID)
	require.EqualValues(t, 3, found.Confirmations)
	_, err = w.Member(t.Context(), transaction(2).TxID())
	require.ErrorIs(t, err, bitcoin.ErrBadAnswer)
	w, _ = open(t, methods{"gettransaction": unknown})
	found, err = w.Member(t.Context(), tx.TxID())
	require.NoError(t, err)
	require.Nil(t, found)
}

// TestFamily follows replacements and conflicts in both directions, also in cycles, and only
// through transactions that are ours.
func TestFamily(t *testing.T) {
	first, second, third, foreign := transaction(1), transaction(2), transaction(3), transaction(9)
	entry := func(tx *wire.MsgTx, confirmations int, replaces, replacedBy string, conflicts ...string) map[string]any {
		return map[string]any{"confirmations": confirmations, "hex": wallet.Encode(tx), "replaces_txid": replaces, "replaced_by_txid": replacedBy, "walletconflicts": conflicts, "fee": -0.00000012}
	}
	ours := func(tx *wire.MsgTx) bool { return tx.TxOut[0].Value < 9 }
	find := func(entries map[string]map[string]any) ([]*wallet.Member, error) {
		w, _ := open(t, methods{
			"gettransaction": func(params []json.RawMessage) any {
				var txid string
				_ = json.Unmarshal(params[0], &txid)
				if e, ok := entries[txid]; ok {
					return e
				}
				return unknown
			},
			"getrawtransaction": refused(btcjson.ErrRPCNoTxInfo, "No such mempool transaction"),
		})
		return w.Family(t.Context(), first.TxID(), ours)
	}
	a, b, c, x := first.TxID(), second.TxID(), third.TxID(), foreign.TxID()
	states := map[string]wallet.State{}
	for name, c := range map[string]struct {
		entries map[string]map[string]any
		want    map[string]wallet.State
	}{
		"unknown":                  {nil, map[string]wallet.State{}},
		"by none":                  {map[string]map[string]any{a: entry(first, 0, "", "")}, map[string]wallet.State{a: wallet.Absent}},
		"itself in the chain":      {map[string]map[string]any{a: entry(first, 5, "", "")}, map[string]wallet.State{a: wallet.Known}},
		"by one":                   {map[string]map[string]any{a: entry(first, -1, "", b), b: entry(second, 1, a, "")}, map[string]wallet.State{a: wallet.Conflicted, b: wallet.Known}},
		"by one that is gone":      {map[string]map[string]any{a: entry(first, 0, "", b), b: entry(second, 0, a, "")}, map[string]wallet.State{a: wallet.Absent, b: wallet.Absent}},
		"by one, and that in turn": {map[string]map[string]any{a: entry(first, -1, "", b), b: entry(second, -1, "", c), c: entry(third, 1, "", "")}, map[string]wallet.State{a: wallet.Conflicted, b: wallet.Conflicted, c: wallet.Known}},
		"it replaces one":          {map[string]map[string]any{a: entry(first, -1, b, ""), b: entry(second, 1, "", a)}, map[string]wallet.State{a: wallet.Conflicted, b: wallet.Known}},
		"as a conflict":            {map[string]map[string]any{a: entry(first, -1, "", "", b), b: entry(second, 1, "", "", a)}, map[string]wallet.State{a: wallet.Conflicted, b: wallet.Known}},
		"by one of another's":      {map[string]map[string]any{a: entry(first, -1, "", x), x: entry(foreign, 1, "", b), b: entry(second, 1, "", "")}, map[string]wallet.State{a: wallet.Conflicted}},
	} {
		family, err := find(c.entries)
		require.NoError(t, err, name)
		clear(states)
		for i, m := range family {
			require.EqualValues(t, 12, m.Fee)
			require.Equal(t, m.TxID, m.Tx.TxID())
			require.Equal(t, i == 0, m.TxID == a)
			states[m.TxID] = m.State
		}
		require.Equal(t, c.want, states, name)
	}
	_, err := find(map[string]map[string]any{a: entry(first, 0, "", b), b: entry(third, 1, "", "")})
	require.ErrorIs(t, err, bitcoin.ErrBadAnswer)
}

// TestPlanBump: the rate is the lowest that a wallet accepts, the estimate, or the one that was
// asked for.
func TestPlanBump(t *testing.T) {
	tx := transaction(1)
	size := wallet.VSize(tx)
	require.EqualValues(t, 61, size)
	fee := func(btc float64) map[string]any { return map[string]any{"confirmations": 0, "fee": btc} }
	noPSBT := btcjson.ErrRPCMethodNotFound
	const most = 1_000_000
	for name, c := range map[string]struct {
		answers methods
		fees    wallet.Fees
		want    wallet.Bump
	}{
		"asked for":       {methods{"psbtbumpfee": noPSBT}, wallet.Fees{Rate: 10_000}, wallet.Bump{Rate: 10_000, Fee: 610}},
		"rounded up":      {methods{"psbtbumpfee": noPSBT}, wallet.Fees{Rate: 10_001}, wallet.Bump{Rate: 10_001, Fee: 611}},
		"the wallet says": {methods{"psbtbumpfee": map[string]any{"fee": 0.00000777}}, wallet.Fees{Rate: 10_000}, wallet.Bump{Rate: 10_000, Fee: 777}},
		// 61 sat for 61 vB are 1,000 sat per 1,000 vB; 62 are 1,017.
		"the least":           {methods{"psbtbumpfee": noPSBT, "gettransaction": fee(-0.00000061), "estimatesmartfee": map[string]any{"feerate": 0.00001}}, wallet.Fees{}, wallet.Bump{Rate: 6000, Fee: 366}},
		"the least, rounded":  {methods{"psbtbumpfee": noPSBT, "gettransaction": fee(-0.00000062), "estimatesmartfee": map[string]any{}}, wallet.Fees{}, wallet.Bump{Rate: 6017, Fee: 368}},
		"without an estimate": {methods{"psbtbumpfee": noPSBT, "gettransaction": fee(-0.00000061), "estimatesmartfee": refused(btcjson.ErrRPCMisc, "none")}, wallet.Fees{}, wallet.Bump{Rate: 6000, Fee: 366}},
		"the node's estimate": {methods{"psbtbumpfee": noPSBT, "gettransaction": fee(-0.00000061), "estimatesmartfee": map[string]any{"feerate": 0.0002}}, wallet.Fees{}, wallet.Bump{Rate: 20_000, Fee: 1220}},
	} {
		w, _ := open(t, c.answers)
		c.fees.Max = most
		c.want.Old = tx.TxID()
		bump, err := w.PlanBump(t.Context(), tx, c.fees)
		require.NoError(t, err, name)
		require.Equal(t, c.want, *bump, name)
	}
	for limit, refuses := range map[int64]bool{610: false, 609: true} {
		w, _ := open(t, methods{"psbtbumpfee": noPSBT})
		_, err := w.PlanBump(t.Context(), tx, wallet.Fees{Rate: 10_000, Max: limit})
		require.Equal(t, refuses, err != nil)
		if refuses {
			requireHint(t, err, "the fee of 610 sat is above the 609 sat of --max-fee", "--max-fee")
		}
	}
	for name, answers := range map[string]methods{
		"no fee":          {"psbtbumpfee": map[string]any{}, "gettransaction": fee(-0.000001), "estimatesmartfee": map[string]any{}},
		"a fee above 0":   {"psbtbumpfee": noPSBT, "gettransaction": fee(0.000001), "estimatesmartfee": map[string]any{}},
		"an odd estimate": {"psbtbumpfee": noPSBT, "gettransaction": fee(-0.000001), "estimatesmartfee": map[string]any{"feerate": -1}},
	} {
		w, _ := open(t, answers)
		_, err := w.PlanBump(t.Context(), tx, wallet.Fees{Max: most})
		require.ErrorIs(t, err, bitcoin.ErrBadAnswer, name)
	}
}

// TestBump: after an answer that does not name a new transaction, the old one may have been
// replaced.
func TestBump(t *testing.T) {
	txid := transaction(2).TxID()
	bump := func(answer any) (string, int64, error) {
		w, calls := open(t, methods{"bumpfee": answer})
		txid, fee, err := w.Bump(t.Context(), &wallet.Bump{Old: transaction(1).TxID(), Rate: 12_500})
		require.Equal(t, []string{`bumpfee ["` + transaction(1).TxID() + `" {"fee_rate":12.5}]`}, calls())
		return txid, fee, err
	}
	for _, errors := range []any{nil, []string{}, []string{"could not mark it"}} {
		got, fee, err := bump(map[string]any{"txid": txid, "fee": 0.00001234, "origfee": 0.00001, "errors": errors})
		require.NoError(t, err)
		require.Equal(t, txid, got)
		require.EqualValues(t, 1234, fee)
	}
	for _, answer := range []any{map[string]any{"txid": txid}, map[string]any{"fee": 1}, map[string]any{"txid": txid[:63], "fee": 1}, map[string]any{"txid": strings.ToUpper(txid), "fee": 1}} {
		_, _, err := bump(answer)
		require.ErrorIs(t, err, bitcoin.ErrOutcomeUnknown)
		require.ErrorIs(t, err, bitcoin.ErrBadAnswer)
	}
	_, _, err := bump(refused(btcjson.ErrRPCMisc, "Insufficient total fee 0.1, must be at least 0.2"))
	require.NotErrorIs(t, err, bitcoin.ErrOutcomeUnknown)
}

// TestSend: a transaction that is already in the chain counts as sent; one that the node refuses
// does not.
func TestSend(t *testing.T) {
	w, calls := open(t, methods{"sendrawtransaction": "txid"})
	require.NoError(t, w.Send(t.Context(), transaction(1)))
	require.Equal(t, []string{`sendrawtransaction ["` + wallet.Encode(transaction(1)) + `"]`}, calls())
	for _, odd := range []any{nil, 7, map[string]any{}} {
		w, _ = open(t, methods{"sendrawtransaction": odd})
		require.ErrorIs(t, w.Send(t.Context(), transaction(1)), bitcoin.ErrOutcomeUnknown, "no id, no word that it was sent")
	}
	w, _ = open(t, methods{"sendrawtransaction": refused(btcjson.ErrRPCVerifyAlreadyInChain, "Transaction already in block chain")})
	require.NoError(t, w.Send(t.Context(), transaction(1)))
	w, _ = open(t, methods{"sendrawtransaction": refused(btcjson.ErrRPCTxRejected, "min relay fee not met, 100 < 141")})
	err := w.Send(t.Context(), transaction(1))
	requireHint(t, err, "min relay fee not met", "--fee-rate")
	require.NotErrorIs(t, err, bitcoin.ErrOutcomeUnknown)
}

// TestHints: a refusal is reported in the node's words, with what to do next.
func TestHints(t *testing.T) {
	for _, c := range []struct {
		code        btcjson.RPCErrorCode
		words, hint string
	}{
		{-13, "Error: Please enter the wallet passphrase", "walletpassphrase"},
		{-18, "Requested wallet does not exist or is not loaded", "loadwallet NAME"},
		{-19, "Wallet file not specified", "listwallets"},
		{-6, "not enough", "send coins"},
		{-4, "Insufficient funds", "send coins"},
		{-12, "Error: Keypool ran out", "keypoolrefill"},
		{-4, "Transaction needs a change address, but we can't generate it.", "keypoolrefill"},
		{-4, "Fee estimation failed. Fallbackfee is disabled.", "--fee-rate SAT_VB"},
		{-32601, "Method not found", "has no wallet"},
		{-26, "min relay fee not met", "another fee rate"},
		{-25, "bad-txns-inputs-missingorspent", "policy"},
		// The code decides, whatever words come with it.
		{-13, "insufficient funds: rescan, private keys, bip 125", "walletpassphrase"},
		{-18, "the wallet has no private keys and insufficient funds", "loadwallet NAME"},
		{-19, "insufficient funds, keypool", "listwallets"},
		{-6, "fee estimation failed, keypool, too large", "send coins"},
		{-12, "insufficient funds, less than", "keypoolrefill"},
		{-32601, "insufficient funds: wallet commands", "has no wallet"},
		{-26, "insufficient funds: fee exceeds maximum, private keys", "another fee rate"},
		{-25, "insufficient funds, already spent, private keys", "policy"},
		{-5, "insufficient funds: already spent", "name the wallet that sent it"},
		{-3, "insufficient funds", "Bitcoin Core 0.21"},
		{-22, "too large", "Bitcoin Core 0.21"},
		{-77, "insufficient funds", ""},
		// Messages of Bitcoin Core 22 to 31 that were not recorded.
		{-4, "New fee rate (0.00001000 BTC/kvB) is lower than the minimum fee rate (0.00005000 BTC/kvB) to get into the mempool", "higher fee rate"},
		{-4, "Fee rate (1.000 sat/vB) is lower than the minimum fee rate setting (5.000 sat/vB)", "higher fee rate"},
		{-8, "Insufficient total fee 0.00000141, must be at least 0.00000282 (oldFee 0.00000141 + incrementalFee 0.00000141)", "higher fee rate"},
		{-4, "Specified or calculated fee 0.2 is too high (cannot be higher than -maxtxfee 0.1)", "lower fee rate"},
		{-4, "Unable to create transaction. Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)", "lower fee rate"},
		{-26, "mempool min fee not met, 100 < 1000", "another fee rate"},
		{-26, "mempool full", "higher fee rate"},
		{-26, "insufficient fee, rejecting replacement", "another fee rate"},
		{-26, "txn-mempool-conflict", "no other transaction"},
		{-26, "too-long-mempool-chain, too many unconfirmed ancestors [limit: 25]", "several coins"},
		{-4, "Transaction has too long of a mempool chain", "several coins"},
		{-8, "Transaction has descendants in the mempool", "several coins"},
		{-4, "Transaction is not BIP 125 replaceable", "cannot be replaced"},
		{-4, "Transaction contains inputs that don't belong to this wallet", "the wallet that sent it"},
		{-4, "bumpfee is not available with wallets that have private keys disabled. Use psbtbumpfee instead.", "private keys: --wallet NAME"},
		{-4, "Error: Private keys are disabled for this wallet", "private keys: --wallet NAME"},
		{-4, "Error: This wallet has no available keys", "private keys: --wallet NAME"},
		{-4, "Can't sign transaction.", "private keys: --wallet NAME"},
		{-4, "Missing solving data for estimating transaction size", "private keys: --wallet NAME"},
		{-4, "Wallet is currently rescanning. Abort existing rescan or wait.", "has been rescanned"},
		{-4, "Transaction too large", "coins are too small"},
		{-4, "The inputs size exceeds the maximum weight. Please try sending a smaller amount or manually consolidating your wallet's UTXOs", "coins are too small"},
		{-8, "Invalid conf_target, must be between 1 and 1008", "--conf-target"},
		{-3, "Unexpected key fee_rate", "Bitcoin Core 0.21"},
		{-4, "nobody knows", "getbalances"},
		{-1, "nobody knows", "node's log"},
	} {
		w, _ := open(t, methods{"sendrawtransaction": refused(c.code, c.words)})
		err := w.Send(t.Context(), transaction(1))
		requireHint(t, err, c.words, c.hint)
		var rpc *btcjson.RPCError
		require.True(t, errors.As(err, &rpc))
		require.Equal(t, c.code, rpc.Code)
	}
}

// TestRecordedHints: refusals by real Bitcoin Cores, in their words, with what to do next.
func TestRecordedHints(t *testing.T) {
	const wait, coins, resync = "several coins", "send coins", "ailee_resync_blocks --anchors"
	for name, hint := range map[string]string{
		"d1-fundrawtransaction-error-4-fee-estimation-failed-fallbackfee-is-disabled":        "set the fee rate",
		"d2-fundrawtransaction-error-19-multiple-wallets-are-loaded-please-select":           "name one of them",
		"d3-fundrawtransaction-error-18-requested-wallet-does-not-exist-or":                  "loadwallet",
		"prune3-fundrawtransaction-error-18-no-wallet-is-loaded-load-a":                      "loadwallet",
		"d5a-fundrawtransaction-error-4-the-total-exceeds-your-balance-when":                 coins,
		"m3-fundrawtransaction-error-4-the-total-exceeds-your-balance-when":                  coins,
		"v29-fundrawtransaction-error-4-insufficient-funds":                                  coins,
		"m3d-fundrawtransaction-error-4-fee-exceeds-maximum-configured-by-user":              "maxtxfee",
		"u6-fundrawtransaction-error-4-unconfirmed-utxos-are-available-but-spending":         wait,
		"d5e-signrawtransactionwithwallet-error-13-error-please-enter-the-wallet-passphrase": "walletpassphrase",
		"m5-psbtbumpfee-error-13-error-please-enter-the-wallet-passphrase":                   "walletpassphrase",
		"e2-psbtbumpfee-error-8-transaction-has-descendants-in-the-wallet":                   wait,
		"probe-psbtbumpfee-conflicted":                                                       resync,
		"probe-psbtbumpfee-unknown":                                                          "--wallet NAME",
		"probe-bumpfee-already-bumped":                                                       resync,
		"probe-bumpfee-conflicted":                                                           resync,
		"probe-bumpfee-unknown":                                                              "--wallet NAME",
		"probe-sendrawtransaction-bad-hex":                                                   "Bitcoin Core 0.21",
		"probe-sendrawtransaction-inputs-spent":                                              "no other transaction spends",
		"probe-sendrawtransaction-min-relay-fee":                                             "another fee rate",
		"v29-probe-sendrawtransaction-replaced":                                              "another fee rate",
		"probe-wrong-type":                                                                   "Bitcoin Core 0.21",
		"probe-unknown-method":                                                               "has no wallet",
		"probe-warming-up-wallet":                                                            "is starting",
		"wl-fundrawtransaction-http403":                                                      "rpcwhitelist",
	} {
		r := bitcointest.OneRecorded(t, name)
		s := httptest.NewServer(r)
		client, err := bitcoin.Open(bitcoin.Options{URL: s.URL}, t.Logf)
		require.NoError(t, err)
		w, err := wallet.Open(client, "")
		require.NoError(t, err)
		var answer struct{ Error *btcjson.RPCError }
		words := ""
		if json.Unmarshal([]byte(r.Response), &answer) == nil {
			words = answer.Error.Message
		}
		_, buildErr := w.Build(t.Context(), []byte{0x6a}, wallet.Fees{Rate: 1})
		requireHint(t, buildErr, words, hint)
		_, _, bumpErr := w.Bump(t.Context(), &wallet.Bump{Old: transaction(1).TxID()})
		requireHint(t, bumpErr, words, hint)
		requireHint(t, w.Send(t.Context(), transaction(1)), words, hint)
		s.Close()
	}
	for name, hint := range map[string]string{
		"f1-testmempoolaccept-ok-rejected-datacarrier":       "datacarrier=1",
		"lc-testmempoolaccept-ok-rejected-too-large-cluster": wait,
		"probe-testmempoolaccept-inputs-spent":               "no other transaction spends",
		"probe-testmempoolaccept-min-relay-fee":              "another fee rate",
		"probe-testmempoolaccept-replacement-fee-too-low":    "another fee rate",
		"probe-testmempoolaccept-already-in-mempool":         "policy",
	} {
		var answer []map[string]any
		bitcointest.OneRecorded(t, name).Result(t, &answer)
		_, _, err := build(t, nil, nil, methods{"testmempoolaccept": func(signed string) any {
			answer[0]["txid"] = signed
			return answer
		}})
		requireHint(t, err, "the node would refuse the transaction: "+answer[0]["reject-reason"].(string), hint)
	}
	for _, name := range []string{"probe-sendrawtransaction-again-in-mempool", "probe-sendrawtransaction-mined", "d6-sendrawtransaction-ok"} {
		s := httptest.NewServer(bitcointest.OneRecorded(t, name))
		client, err := bitcoin.Open(bitcoin.Options{URL: s.URL}, t.Logf)
		require.NoError(t, err)
		w, err := wallet.Open(client, "")
		require.NoError(t, err)
		require.NoError(t, w.Send(t.Context(), transaction(1)), name)
		s.Close()
	}
}

// What the transaction that [build] makes spends, and what is left.
const spent, change = 1000, 800

var script = []byte{0x6a, 1, 7}

// funded returns the transaction that a wallet makes, edited.
func funded(edit func(tx *wire.MsgTx)) *wire.MsgTx {
	tx := transaction(1)
	tx.TxIn[0].Sequence = wire.MaxTxInSequenceNum - 2
	tx.TxOut = []*wire.TxOut{wire.NewTxOut(0, script), wire.NewTxOut(change, []byte{0x51})}
	if edit != nil {
		edit(tx)
	}
	return tx
}

// build has a wallet build a transaction, which is edited when it is funded and when it is
// signed. An answer that is a func gets the id of the signed transaction.
func build(t *testing.T, fund, sign func(tx *wire.MsgTx), changes methods) (*wallet.Transaction, []string, error) {
	t.Helper()
	signed := funded(nil)
	signed.TxIn[0].SignatureScript = []byte{1, 2}
	if sign != nil {
		sign(signed)
	}
	answers := methods{
		"fundrawtransaction":           map[string]any{"hex": wallet.Encode(funded(fund)), "fee": 0.000002, "changepos": 1},
		"gettxout":                     map[string]any{"value": 0.00001},
		"signrawtransactionwithwallet": map[string]any{"hex": wallet.Encode(signed), "complete": true},
		"testmempoolaccept":            []any{map[string]any{"txid": signed.TxID(), "allowed": true}},
	}
	for method, answer := range changes {
		if f, ok := answer.(func(signed string) any); ok {
			answer = f(signed.TxID())
		}
		answers[method] = answer
	}
	w, calls := open(t, answers)
	tx, err := w.Build(t.Context(), script, wallet.Fees{Rate: 2000, Max: spent - change})
	return tx, calls(), err
}

// TestBuild: the transaction is the one that was asked for, or Build fails.
func TestBuild(t *testing.T) {
	tx, calls, err := build(t, nil, nil, nil)
	require.NoError(t, err)
	require.EqualValues(t, []int64{200, 800}, []int64{tx.Fee, tx.Change})
	require.Equal(t, []byte{1, 2}, tx.TxIn[0].SignatureScript)
	require.Contains(t, calls[0], `{"fee_rate":2,"replaceable":true} false]`)

	for message, c := range map[string]struct {
		fund, sign func(tx *wire.MsgTx)
		changes    methods
	}{
		"output 2 was not asked for":                           {fund: func(tx *wire.MsgTx) { tx.AddTxOut(wire.NewTxOut(1, []byte{0x51})) }},
		"output 1 was not asked for":                           {fund: func(tx *wire.MsgTx) { tx.TxOut[1].Value = 0 }},
		"output 0 was not asked for":                           {fund: func(tx *wire.MsgTx) { tx.TxOut[0].PkScript = []byte{0x6a, 1, 8} }},
		"2 outputs with the commitment":                        {fund: func(tx *wire.MsgTx) { tx.AddTxOut(tx.TxOut[0]) }},
		"0 outputs with the commitment":                        {fund: func(tx *wire.MsgTx) { tx.TxOut[0] = tx.TxOut[1]; tx.TxOut = tx.TxOut[:1] }, changes: methods{}},
		"that cannot be replaced":                              {fund: func(tx *wire.MsgTx) { tx.TxIn[0].Sequence = wire.MaxTxInSequenceNum - 1 }},
		"a fee of 200 sat for a transaction that pays 201 sat": {fund: func(tx *wire.MsgTx) { tx.TxOut[1].Value-- }},
		"spends an output that is already spent":               {changes: methods{"gettxout": nil}},
		"another transaction than the one to sign":             {sign: func(tx *wire.MsgTx) { tx.TxOut[1].Value-- }},
		"the wallet cannot sign the transaction: no key":       {changes: methods{"signrawtransactionwithwallet": map[string]any{"complete": false, "errors": []any{map[string]any{"error": "no key"}}}}},
		"is about another transaction":                         {changes: methods{"testmempoolaccept": []any{map[string]any{"txid": transaction(5).TxID(), "allowed": true}}}},
		"the fee of 300 sat is above the 200 sat":              {fund: func(tx *wire.MsgTx) { tx.TxOut[1].Value -= 100 }, changes: methods{"gettxout": map[string]any{"value": 0.00001}}},
	} {
		if strings.HasPrefix(message, "0 outputs") {
			c.changes["fundrawtransaction"] = map[string]any{"hex": wallet.Encode(funded(c.fund)), "fee": 0.000002, "changepos": 0}
		}
		if strings.HasPrefix(message, "the fee of") {
			c.changes["fundrawtransaction"] = map[string]any{"hex": wallet.Encode(funded(c.fund)), "fee": 0.000003, "changepos": 1}
		}
		_, calls, err := build(t, c.fund, c.sign, c.changes)
		require.ErrorContains(t, err, message)
		for _, call := range calls {
			require.NotContains(t, call, "sendrawtransaction")
		}
	}
	signed := funded(nil)
	signed.TxIn[0].SignatureScript = []byte{1, 2}
	for want, answer := range map[string]map[string]any{
		"the node would refuse the transaction: dust":                  {"reject-reason": "dust", "reject-details": "dust"},
		"the node would refuse the transaction: dust: output 1":        {"reject-reason": "dust", "reject-details": "output 1"},
		"the node would refuse the transaction: package-not-validated": {"package-error": "package-not-validated"},
	} {
		answer["txid"], answer["allowed"] = signed.TxID(), false
		_, _, err := build(t, nil, nil, methods{"testmempoolaccept": []any{answer}})
		require.EqualError(t, err, want)
	}
}
