package anchortx_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/anchortx"
	"ailee-recovery/internal/bitcoin/wallet"
)

// FuzzTransaction: a transaction that can be read is written back to the same bytes, and looking
// for a commitment in it never panics.
func FuzzTransaction(f *testing.F) {
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Index: 7}, []byte{0x51}, nil))
	tx.AddTxOut(wire.NewTxOut(0, append([]byte{0x6a, 0x4c, 80}, make([]byte, 80)...)))
	f.Add(wallet.Encode(tx))
	tx.TxOut[0].PkScript = append([]byte{0x6a, 37}, append([]byte("AILEE"), make([]byte, 32)...)...)
	tx.TxIn[0].Witness = wire.TxWitness{{1, 2}}
	f.Add(wallet.Encode(tx))
	for _, cut := range []string{"6a", "6a4c", "6a4c50", "6a05", ""} {
		tx.TxOut[0].PkScript, _ = hex.DecodeString(cut)
		f.Add(wallet.Encode(tx))
	}
	f.Fuzz(func(t *testing.T, text string) {
		tx, err := wallet.Decode(text)
		if err != nil {
			return
		}
		require.Equal(t, strings.ToLower(text), wallet.Encode(tx))
		require.Positive(t, wallet.VSize(tx))
		hash := strings.Repeat("ab", 32)
		anchortx.CarriesAnchor(tx, hash, hash)
		for _, out := range tx.TxOut {
			anchortx.Carries(tx, out.PkScript)
		}
	})
}

// FuzzFind: whatever a node answers, no transaction is accepted whose hash is not its id.
func FuzzFind(f *testing.F) {
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{}, nil, nil))
	txid, raw := tx.TxID(), wallet.Encode(tx)
	const hash = "00000000000000000000000000000000000000000000000000000000000000aa"
	info := `"chain":"main","blocks":3,"headers":3,"bestblockhash":"` + hash + `","mediantime":5,"hash":"` + hash + `","height":3,"time":5,"previousblockhash":"` + hash + `","confirmations":2`
	f.Add([]byte(`{`+info+`}`), []byte(`{"txid":"`+txid+`","hex":"`+raw+`","blockhash":"`+hash+`","confirmations":2}`))
	f.Add([]byte(`{`+info+`,"tx":["`+txid+`"]}`), []byte(`"`+raw+`"`))
	f.Add([]byte(`{`+info+`}`), []byte(`null`))
	f.Add([]byte(`{`+info+`}`), []byte(`{"hex":"zz"}`))
	var chain, transaction atomic.Pointer[[]byte]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var calls []struct {
			Method string
			ID     json.RawMessage
		}
		text := new(bytes.Buffer)
		_, _ = text.ReadFrom(r.Body)
		batch := bytes.HasPrefix(text.Bytes(), []byte("["))
		if !batch {
			text = bytes.NewBufferString("[" + text.String() + "]")
		}
		_ = json.Unmarshal(text.Bytes(), &calls)
		var answers []string
		for _, call := range calls {
			result := *chain.Load()
			switch call.Method {
			case "getblockhash":
				result = []byte(`"` + hash + `"`)
			case "gettransaction", "getrawtransaction":
				result = *transaction.Load()
			}
			answers = append(answers, `{"result":`+string(result)+`,"error":null,"id":`+string(call.ID)+`}`)
		}
		all := strings.Join(answers, ",")
		if batch {
			all = "[" + all + "]"
		}
		_, _ = w.Write([]byte(all))
	}))
	f.Cleanup(server.Close)
	f.Fuzz(func(t *testing.T, ofChain, ofTransaction []byte) {
		chain.Store(&ofChain)
		transaction.Store(&ofTransaction)
		// A client keeps its connections as long as the process runs. Here there are many clients.
		defer server.CloseClientConnections()
		c, err := bitcoin.Open(bitcoin.Options{URL: server.URL, User: "u", Password: "p"}, func(string, ...any) {})
		require.NoError(t, err)
		found, err := anchortx.Find(context.Background(), c, []anchortx.Wanted{{TxID: txid, Height: 2}, {TxID: strings.Repeat("cd", 32), Since: 4}}, anchortx.Options{Scan: 3})
		if err != nil {
			return
		}
		require.Len(t, found, 2)
		for i, id := range []string{txid, strings.Repeat("cd", 32)} {
			if found[i].Tx != nil {
				require.Equal(t, id, found[i].Tx.TxID())
			}
			require.Equal(t, found[i].State == anchortx.Mined, found[i].Confirmations > 0)
			require.NotEmpty(t, found[i].String())
		}
	})
}
