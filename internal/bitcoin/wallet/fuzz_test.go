package wallet_test

import (
	"encoding/json"
	"math/big"
	"testing"

	"github.com/btcsuite/btcd/btcjson"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/bitcoin/wallet"
)

// changedMethods are those whose answer FuzzAnswers changes. The last one is not there, too.
var changedMethods = []string{"fundrawtransaction", "gettxout", "signrawtransactionwithwallet", "testmempoolaccept", "gettransaction",
	"getrawtransaction", "bumpfee", "estimatesmartfee", "psbtbumpfee"}

// FuzzAnswers changes the result of one of the calls that are made of a wallet. Whatever it is,
// no transaction is made that is not the one asked for, and none that costs more than it may,
// or less than nothing.
func FuzzAnswers(f *testing.F) {
	old := funded(nil)
	signed := funded(nil)
	signed.TxIn[0].SignatureScript = []byte{1, 2}
	sound := map[string]any{
		"fundrawtransaction":           map[string]any{"hex": wallet.Encode(funded(nil)), "fee": 0.000002, "changepos": 1},
		"gettxout":                     map[string]any{"value": 0.00001},
		"signrawtransactionwithwallet": map[string]any{"hex": wallet.Encode(signed), "complete": true},
		"testmempoolaccept":            []any{map[string]any{"txid": signed.TxID(), "allowed": true}},
		"gettransaction":               map[string]any{"confirmations": 0, "fee": -0.000001, "hex": wallet.Encode(old)},
		"getrawtransaction":            wallet.Encode(old),
		"bumpfee":                      map[string]any{"txid": signed.TxID(), "fee": 0.000002},
		"estimatesmartfee":             map[string]any{"feerate": 0.00001},
		"psbtbumpfee":                  map[string]any{"fee": 0.0000015},
	}
	for i, method := range changedMethods {
		text, err := json.Marshal(sound[method])
		require.NoError(f, err)
		f.Add(uint8(i), text)
	}
	for _, r := range bitcointest.AllRecorded(f) {
		calls, batch := r.Calls()
		var answer struct{ Result json.RawMessage }
		if batch || len(calls) == 0 || json.Unmarshal([]byte(r.Response), &answer) != nil {
			continue
		}
		for i, method := range changedMethods {
			if calls[0].Method == method {
				f.Add(uint8(i), []byte(answer.Result))
			}
		}
	}
	for _, text := range []string{`{"feerate":1e300}`, `{"fee":-1e300,"confirmations":0}`, `{"value":-1}`, `{"value":92233720368.54775808}`} {
		for i := range changedMethods {
			f.Add(uint8(i), []byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, result []byte) {
		if !json.Valid(result) {
			return // FuzzAnswers of the client is about that
		}
		answers := methods{}
		for method, answer := range sound {
			answers[method] = answer
		}
		changed := int(which) % (len(changedMethods) + 1)
		if changed == len(changedMethods) {
			answers["psbtbumpfee"] = btcjson.ErrRPCMethodNotFound
			answers["estimatesmartfee"] = json.RawMessage(result)
		} else {
			answers[changedMethods[changed]] = json.RawMessage(result)
		}
		w, _ := open(t, answers)
		const most = spent - change
		if tx, err := w.Build(t.Context(), script, wallet.Fees{Rate: 2000, Max: most}); err == nil {
			require.GreaterOrEqual(t, tx.Fee, int64(0))
			require.LessOrEqual(t, tx.Fee, int64(most))
			ours, paid := 0, int64(0)
			for _, out := range tx.TxOut {
				if out.Value == 0 && string(out.PkScript) == string(script) {
					ours++
				}
				paid += out.Value
			}
			require.Equal(t, 1, ours)
			require.LessOrEqual(t, len(tx.TxOut), 2)
			require.Equal(t, tx.Change, paid)
		}
		for _, rate := range []uint64{0, 2000} {
			b, err := w.PlanBump(t.Context(), old, wallet.Fees{Rate: rate, Max: 10_000})
			if err != nil {
				continue
			}
			require.GreaterOrEqual(t, b.Fee, int64(0))
			require.LessOrEqual(t, b.Fee, int64(10_000))
			if changed == len(changedMethods) {
				want := new(big.Int).Mul(new(big.Int).SetUint64(b.Rate), big.NewInt(wallet.VSize(old)))
				want.Add(want, big.NewInt(999)).Quo(want, big.NewInt(1000))
				require.Equal(t, want.String(), big.NewInt(b.Fee).String())
			}
			if txid, fee, err := w.Bump(t.Context(), b); err == nil {
				require.Len(t, txid, 64)
				require.GreaterOrEqual(t, fee, int64(0))
			}
		}
		if m, err := w.Member(t.Context(), old.TxID()); err == nil && m != nil {
			require.Equal(t, old.TxID(), m.Tx.TxID())
			require.GreaterOrEqual(t, m.Fee, int64(0))
		}
		_, _ = w.Find(t.Context(), old.TxID())
		_, _ = w.Dead(t.Context(), old)
		_, _ = w.Family(t.Context(), old.TxID(), func(tx *wire.MsgTx) bool { return tx.TxID() == old.TxID() })
	})
}
