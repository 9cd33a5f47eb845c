package bitcointest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/btcjson"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/stretchr/testify/require"
)

// walletScript is the script that locks the coins of every block.
var walletScript = sync.OnceValue(func() []byte {
	script, err := txscript.PayToAddrScript(miningAddress())
	if err != nil {
		panic(err)
	}
	return script
})

// signatureSize is how much signing adds to an input, in bytes.
const signatureSize = 108

// ErrCut cuts the connection instead of answering.
var ErrCut = errors.New("cut")

// Wallet is a server in front of a [Node]. It has the wallet calls of Bitcoin Core that btcd
// lacks, and refuses what Core's help does not allow. Its coins are the rewards of the node's
// blocks. The exported fields are set before it serves.
type Wallet struct {
	URL string
	// Name is the wallet's name; calls for another wallet are refused.
	Name string
	// Several says that other wallets are loaded too, so the node's own path is for none.
	Several bool
	// Old makes it answer and refuse like Bitcoin Core 0.21 instead of 30.
	Old bool
	// NoPSBT leaves psbtbumpfee out.
	NoPSBT bool
	// NotMarked is what bumpfee also says if it could not mark the old transaction as replaced.
	// The transaction is then not marked. "" if it could.
	NotMarked string

	node *Node

	mu            sync.Mutex
	before, after func(method string) error
	spoilt        func(method string, tx *wire.MsgTx)
	methods       []string // that were called
	unsent        bool     // bumpfee sends nothing
	replaced      map[string]*Recorded
	blocks        map[chainhash.Hash]*wire.MsgBlock
	seen          map[string]*wire.MsgTx // every transaction of the wallet
	replacedBy    map[string]string
}

// KeepUnsent makes bumpfee answer as always but send nothing, as with -walletbroadcast=0 or if
// the mempool refuses.
func (w *Wallet) KeepUnsent(keep bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unsent = keep
}

// NewWallet returns a wallet of the node.
func NewWallet(tb testing.TB, n *Node, name string) *Wallet {
	w := &Wallet{Name: name, node: n, blocks: map[chainhash.Hash]*wire.MsgBlock{}, seen: map[string]*wire.MsgTx{}, replacedBy: map[string]string{}}
	s := httptest.NewServer(w)
	tb.Cleanup(s.Close)
	w.URL = s.URL
	return w
}

// LoginURL returns the URL with the login in it.
func (w *Wallet) LoginURL() string { return withLogin(w.URL) }

// On sets what happens before and after a call is carried out; nil for nothing. A
// *btcjson.RPCError replaces the result; [ErrCut] cuts the connection.
func (w *Wallet) On(before, after func(method string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before, w.after = before, after
}

// Replace answers a method with a recorded answer; nil to carry the method out again.
func (w *Wallet) Replace(method string, by *Recorded) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.replaced == nil {
		w.replaced = map[string]*Recorded{}
	}
	w.replaced[method] = by
}

// Rename gives the wallet another name, as when another wallet is loaded in addition to one
// without a name.
func (w *Wallet) Rename(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Name = name
}

// Spoil sets a function that changes the transactions that methods make; nil for none.
func (w *Wallet) Spoil(change func(method string, tx *wire.MsgTx)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spoilt = change
}

// Methods returns the methods that were called since its last call.
func (w *Wallet) Methods() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.methods
	w.methods = nil
	return all
}

func (w *Wallet) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var c call
	if bytes.HasPrefix(body, []byte("[")) || json.Unmarshal(body, &c) != nil {
		w.forward(rw, r, body)
		return
	}
	w.mu.Lock()
	before, after := w.before, w.after
	w.methods = append(w.methods, c.Method)
	recorded := w.replaced[c.Method]
	w.mu.Unlock()
	if recorded != nil {
		recorded.Answer(rw, body)
		return
	}
	if before != nil {
		if err := before(c.Method); err != nil {
			answerError(rw, c, err)
			return
		}
	}
	room := httptest.NewRecorder()
	if own, ok := w.own()[c.Method]; ok {
		if err := w.named(r.URL.Path); err != nil {
			answerError(rw, c, err)
			return
		}
		result, err := own(c.Params)
		if err != nil {
			answerError(rw, c, err)
			return
		}
		answer(room, http.StatusOK, c, result, nil)
	} else {
		w.forward(room, r, body)
		if c.Method == "testmempoolaccept" {
			room = w.ofAge(room)
		}
		w.sync()
	}
	if after != nil {
		if err := after(c.Method); err != nil {
			answerError(rw, c, err)
			return
		}
	}
	rw.WriteHeader(room.Code)
	_, _ = rw.Write(room.Body.Bytes())
}

func answerError(rw http.ResponseWriter, c call, err error) {
	var rpc *btcjson.RPCError
	if !errors.As(err, &rpc) {
		panic(http.ErrAbortHandler)
	}
	status := http.StatusInternalServerError
	if rpc.Code == btcjson.ErrRPCMethodNotFound.Code {
		status = http.StatusNotFound
	}
	answer(rw, status, c, nil, rpc)
}

func answer(rw http.ResponseWriter, status int, c call, result any, rpc *btcjson.RPCError) {
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(map[string]any{"result": result, "error": rpc, "id": c.ID})
}

// forward passes a request on to btcd.
func (w *Wallet) forward(rw http.ResponseWriter, r *http.Request, body []byte) {
	req, err := http.NewRequest(http.MethodPost, w.node.URL, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Header = r.Header.Clone()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		rw.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	rw.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(rw, resp.Body)
}

// ofAge gives btcd's answer to testmempoolaccept the fields of a Bitcoin Core.
func (w *Wallet) ofAge(from *httptest.ResponseRecorder) *httptest.ResponseRecorder {
	var a struct {
		Result []map[string]any  `json:"result"`
		Error  *btcjson.RPCError `json:"error"`
		ID     json.RawMessage   `json:"id"`
	}
	if from.Code != http.StatusOK || json.Unmarshal(from.Body.Bytes(), &a) != nil || a.Error != nil {
		return from
	}
	for _, one := range a.Result {
		delete(one, "package-error")
		if reason := one["reject-reason"]; reason == "" {
			delete(one, "reject-reason")
		} else if !w.Old {
			one["reject-details"] = fmt.Sprintf("%v, in detail", reason)
		}
		if w.Old {
			delete(one, "wtxid")
		}
	}
	room := httptest.NewRecorder()
	answer(room, http.StatusOK, call{ID: a.ID}, a.Result, nil)
	return room
}

func (w *Wallet) named(path string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if path == "/wallet/"+w.Name || path == "/" && w.Name == "" && !w.Several {
		return nil
	}
	if path == "/" && w.Old {
		return btcjson.NewRPCError(btcjson.ErrRPCWalletNotSpecified, "Wallet file not specified (must request wallet RPC through /wallet/<filename> uri-path).")
	}
	if path == "/" {
		return btcjson.NewRPCError(btcjson.ErrRPCWalletNotSpecified, "Multiple wallets are loaded. Please select which wallet to use by requesting the RPC through the /wallet/<walletname> URI path.")
	}
	return btcjson.NewRPCError(btcjson.ErrRPCWalletNotFound, "Requested wallet does not exist or is not loaded")
}

func (w *Wallet) own() map[string]func([]json.RawMessage) (any, error) {
	own := map[string]func([]json.RawMessage) (any, error){
		"fundrawtransaction":           w.fund,
		"signrawtransactionwithwallet": w.signRaw,
		"gettransaction":               w.getTransaction,
		"bumpfee":                      func(p []json.RawMessage) (any, error) { return w.bump(p, true) },
	}
	if !w.NoPSBT {
		own["psbtbumpfee"] = func(p []json.RawMessage) (any, error) { return w.bump(p, false) }
	}
	return own
}

// sync looks for the wallet's own transactions in the mempool.
func (w *Wallet) sync() (pool map[string]*wire.MsgTx) {
	pool = map[string]*wire.MsgTx{}
	hashes, err := w.node.rpc.GetRawMempool()
	if err != nil {
		return pool
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range hashes {
		txid := h.String()
		if w.seen[txid] == nil {
			tx, err := w.node.rpc.GetRawTransaction(h)
			if err != nil {
				continue
			}
			w.seen[txid] = tx.MsgTx()
		}
		pool[txid] = w.seen[txid]
	}
	return pool
}

// chain returns the blocks of the active chain, the tip first.
func (w *Wallet) chain() []*wire.MsgBlock {
	at, err := w.node.rpc.GetBestBlockHash()
	if err != nil {
		panic(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var chain []*wire.MsgBlock
	for *at != (chainhash.Hash{}) {
		b := w.blocks[*at]
		if b == nil {
			if b, err = w.node.rpc.GetBlock(at); err != nil {
				panic(err)
			}
			w.blocks[*at] = b
		}
		chain = append(chain, b)
		at = &b.Header.PrevBlock
	}
	return chain
}

// coin is an unspent output of the wallet.
type coin struct {
	wire.OutPoint
	value int64
}

// coins returns the coins that can be spent, the oldest first, and which transaction in the chain
// spent each of the others.
func (w *Wallet) coins() (free []coin, spentBy map[wire.OutPoint]chainhash.Hash) {
	pool := w.sync()
	chain := w.chain()
	spentBy = map[wire.OutPoint]chainhash.Hash{}
	for _, b := range chain {
		for _, tx := range b.Transactions {
			for _, in := range tx.TxIn {
				spentBy[in.PreviousOutPoint] = tx.TxHash()
			}
		}
	}
	used := map[wire.OutPoint]bool{}
	for _, tx := range pool {
		for _, in := range tx.TxIn {
			used[in.PreviousOutPoint] = true
		}
	}
	for depth, b := range slices.Backward(chain) {
		for i, tx := range b.Transactions {
			if i == 0 && depth < Maturity {
				continue
			}
			for n, out := range tx.TxOut {
				at := wire.OutPoint{Hash: tx.TxHash(), Index: uint32(n)}
				if _, spent := spentBy[at]; bytes.Equal(out.PkScript, walletScript()) && !spent && !used[at] {
					free = append(free, coin{at, out.Value})
				}
			}
		}
	}
	return free, spentBy
}

// options decodes an object that may have only these fields.
func options(text json.RawMessage, allowed ...string) (map[string]any, error) {
	var o map[string]any
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, btcjson.NewRPCError(btcjson.ErrRPCType, "Expected type object")
	}
	for name := range o {
		if !slices.Contains(allowed, name) {
			return nil, btcjson.NewRPCError(btcjson.ErrRPCType, "Unexpected key "+name)
		}
	}
	return o, nil
}

// feeRate returns sat per vB.
func feeRate(o map[string]any) (float64, error) {
	rate, ok := o["fee_rate"].(float64)
	if !ok {
		return 0, btcjson.NewRPCError(btcjson.ErrRPCWallet, "Fee estimation failed. Fallbackfee is disabled. Wait a few blocks or enable -fallbackfee.")
	}
	if _, both := o["conf_target"]; both {
		return 0, btcjson.NewRPCError(btcjson.ErrRPCInvalidParameter, "Cannot specify both conf_target and fee_rate.")
	}
	return rate, nil
}

func (w *Wallet) fund(params []json.RawMessage) (any, error) {
	if len(params) != 3 || string(params[2]) != "false" {
		return nil, btcjson.NewRPCError(btcjson.ErrRPCDeserialization, "TX decode failed")
	}
	o, err := options(params[1], "fee_rate", "conf_target", "replaceable", "changePosition", "lockUnspents")
	if err != nil {
		return nil, err
	}
	rate, err := feeRate(o)
	if err != nil {
		return nil, err
	}
	tx := new(wire.MsgTx)
	raw := text(params[0])
	if err := tx.DeserializeNoWitness(bytes.NewReader(raw)); err != nil {
		return nil, btcjson.NewRPCError(btcjson.ErrRPCDeserialization, "TX decode failed")
	}
	free, _ := w.coins()
	if len(free) == 0 && w.Old {
		return nil, btcjson.NewRPCError(btcjson.ErrRPCWallet, "Insufficient funds")
	}
	if len(free) == 0 {
		return nil, btcjson.NewRPCError(btcjson.ErrRPCWallet, "The total exceeds your balance when the 0.00000118 transaction fee is included.")
	}
	in := wire.NewTxIn(&free[0].OutPoint, nil, nil)
	if o["replaceable"] == true {
		in.Sequence = wire.MaxTxInSequenceNum - 2
	}
	tx.AddTxIn(in)
	tx.AddTxOut(wire.NewTxOut(0, walletScript()))
	fee := int64(math.Ceil(rate * float64(tx.SerializeSize()+signatureSize)))
	change := len(tx.TxOut) - 1
	tx.TxOut[change].Value = free[0].value - fee
	if w.Old { // at another position than in newer versions
		slices.Reverse(tx.TxOut)
		change = 0
	}
	w.spoil("fundrawtransaction", tx)
	return map[string]any{"hex": encode(tx), "fee": json.RawMessage(btc(fee)), "changepos": change}, nil
}

func (w *Wallet) signRaw(params []json.RawMessage) (any, error) {
	tx := new(wire.MsgTx)
	if err := tx.Deserialize(bytes.NewReader(text(params[0]))); err != nil {
		return nil, btcjson.NewRPCError(btcjson.ErrRPCDeserialization, "TX decode failed")
	}
	sign(tx)
	w.spoil("signrawtransactionwithwallet", tx)
	if tx.TxIn[0].SignatureScript == nil {
		return map[string]any{"hex": encode(tx), "complete": false, "errors": []map[string]any{{"error": "Unable to sign input, invalid stack size (possibly missing key)"}}}, nil
	}
	return map[string]any{"hex": encode(tx), "complete": true}, nil
}

func (w *Wallet) spoil(method string, tx *wire.MsgTx) {
	w.mu.Lock()
	change := w.spoilt
	w.mu.Unlock()
	if change != nil {
		change(method, tx)
	}
}

func sign(tx *wire.MsgTx) {
	for i := range tx.TxIn {
		script, err := txscript.SignatureScript(tx, i, walletScript(), txscript.SigHashAll, miner(), true)
		if err != nil {
			panic(err)
		}
		tx.TxIn[i].SignatureScript = script
	}
}

func (w *Wallet) getTransaction(params []json.RawMessage) (any, error) {
	if len(params) != 1 {
		return nil, btcjson.NewRPCError(btcjson.ErrRPCInvalidParameter, "too many parameters")
	}
	var txid string
	_ = json.Unmarshal(params[0], &txid)
	tx, confirmations, err := w.find(txid)
	if err != nil {
		return nil, err
	}
	r := map[string]any{"txid": txid, "hex": encode(tx), "confirmations": confirmations, "walletconflicts": w.conflicts(tx)}
	if fee := w.fee(tx); fee > 0 {
		r["fee"] = json.RawMessage("-" + btc(fee))
	}
	if chain := w.chain(); confirmations > 0 {
		r["blockhash"], r["blockheight"] = chain[confirmations-1].BlockHash().String(), len(chain)-confirmations
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if writer := w.replacedBy[txid]; writer != "" {
		r["replaced_by_txid"] = writer
	}
	for old, writer := range w.replacedBy {
		if writer == txid {
			r["replaces_txid"] = old
		}
	}
	return r, nil
}

// find returns a transaction with its confirmations, which are below 0 if it conflicts with the
// chain.
func (w *Wallet) find(txid string) (*wire.MsgTx, int, error) {
	_, spentBy := w.coins()
	for depth, b := range w.chain() {
		for _, tx := range b.Transactions {
			if tx.TxID() == txid {
				return tx, depth + 1, nil
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	tx := w.seen[txid]
	if tx == nil {
		return nil, 0, btcjson.NewRPCError(btcjson.ErrRPCInvalidAddressOrKey, "Invalid or non-wallet transaction id")
	}
	for _, in := range tx.TxIn {
		if _, spent := spentBy[in.PreviousOutPoint]; spent {
			return tx, -1, nil
		}
	}
	return tx, 0, nil
}

func (w *Wallet) conflicts(tx *wire.MsgTx) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	found := []string{}
	for txid, other := range w.seen {
		for _, in := range other.TxIn {
			if txid != tx.TxID() && in.PreviousOutPoint == tx.TxIn[0].PreviousOutPoint {
				found = append(found, txid)
			}
		}
	}
	slices.Sort(found)
	return found
}

// fee returns what a transaction pays, 0 for a coinbase.
func (w *Wallet) fee(tx *wire.MsgTx) int64 {
	sum := int64(0)
	for _, in := range tx.TxIn {
		parent, _, err := w.find(in.PreviousOutPoint.Hash.String())
		if err != nil {
			return 0
		}
		sum += parent.TxOut[in.PreviousOutPoint.Index].Value
	}
	for _, out := range tx.TxOut {
		sum -= out.Value
	}
	return sum
}

func (w *Wallet) bump(params []json.RawMessage, send bool) (any, error) {
	if len(params) != 2 {
		return nil, btcjson.NewRPCError(btcjson.ErrRPCInvalidParameter, "no options")
	}
	o, err := options(params[1], "fee_rate", "conf_target", "replaceable")
	if err != nil {
		return nil, err
	}
	rate, err := feeRate(o)
	if err != nil {
		return nil, err
	}
	var txid string
	_ = json.Unmarshal(params[0], &txid)
	old, confirmations, err := w.find(txid)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	writer := w.replacedBy[txid]
	w.mu.Unlock()
	switch {
	case writer != "":
		return nil, btcjson.NewRPCError(btcjson.ErrRPCWallet, fmt.Sprintf("Cannot bump transaction %s which was already bumped by transaction %s", txid, writer))
	case confirmations < 0 && !w.Old:
		return nil, btcjson.NewRPCError(btcjson.ErrRPCMisc, old.TxIn[0].PreviousOutPoint.String()+" is already spent")
	case confirmations != 0:
		return nil, btcjson.NewRPCError(btcjson.ErrRPCWallet, "Transaction has been mined, or is conflicted with a mined transaction")
	}
	before := w.fee(old)
	tx := old.Copy()
	fee := int64(math.Ceil(rate * float64(tx.SerializeSize())))
	if fee < before+int64(tx.SerializeSize()) {
		return nil, btcjson.NewRPCError(btcjson.ErrRPCInvalidParameter, fmt.Sprintf("Insufficient total fee %s, must be at least %s (oldFee %s + incrementalFee)", btc(fee), btc(before+int64(tx.SerializeSize())), btc(before)))
	}
	for _, out := range tx.TxOut {
		if bytes.Equal(out.PkScript, walletScript()) {
			out.Value -= fee - before
		}
	}
	r := map[string]any{"origfee": json.RawMessage(btc(before)), "fee": json.RawMessage(btc(fee)), "errors": []string{}}
	if !send {
		r["psbt"] = "cHNidP8="
		return r, nil
	}
	sign(tx)
	w.spoil("bumpfee", tx)
	w.mu.Lock()
	unsent := w.unsent
	w.mu.Unlock()
	if !unsent {
		if _, err := w.node.rpc.SendRawTransaction(tx, true); err != nil {
			return nil, btcjson.NewRPCError(btcjson.ErrRPCWallet, err.Error())
		}
	}
	w.sync()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[tx.TxID()] = tx
	if w.NotMarked != "" {
		r["errors"] = []string{w.NotMarked}
	} else {
		w.replacedBy[txid] = tx.TxID()
	}
	r["txid"] = tx.TxID()
	return r, nil
}

// ReplacedBy returns the id of the transaction that bumpfee made to replace a transaction.
func (w *Wallet) ReplacedBy(txid string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.replacedBy[txid]
}

// DoubleSpend sends a transaction from the wallet that spends what another one spends, pays more,
// and has no other purpose. It returns its id.
func (w *Wallet) DoubleSpend(txid string) string {
	w.node.tb.Helper()
	tx, _, err := w.find(txid)
	require.NoError(w.node.tb, err)
	tx = tx.Copy()
	change := slices.IndexFunc(tx.TxOut, func(out *wire.TxOut) bool { return out.Value > 0 })
	tx.TxOut = tx.TxOut[change:][:1]
	tx.TxOut[0].Value -= 1_000_000
	sign(tx)
	id := w.node.Send(tx)
	w.sync()
	return id
}

// Waiting returns the ids of the transactions in the mempool.
func (n *Node) Waiting() (txids []string) {
	n.tb.Helper()
	hashes, err := n.rpc.GetRawMempool()
	require.NoError(n.tb, err)
	for _, h := range hashes {
		txids = append(txids, h.String())
	}
	return txids
}

// Mempool returns the transactions that wait to be mined, by their ids.
func (n *Node) Mempool() map[string]*wire.MsgTx {
	n.tb.Helper()
	hashes, err := n.rpc.GetRawMempool()
	require.NoError(n.tb, err)
	pool := map[string]*wire.MsgTx{}
	for _, h := range hashes {
		tx, err := n.rpc.GetRawTransaction(h)
		require.NoError(n.tb, err)
		pool[h.String()] = tx.MsgTx()
	}
	return pool
}

// Transactions returns the transactions of a block except the coinbase.
func (n *Node) Transactions(block string) []*wire.MsgTx {
	n.tb.Helper()
	b, err := n.rpc.GetBlock(n.parse(block))
	require.NoError(n.tb, err)
	return b.Transactions[1:]
}

func encode(tx *wire.MsgTx) string {
	var b bytes.Buffer
	_ = tx.Serialize(&b)
	return hex.EncodeToString(b.Bytes())
}

func text(param json.RawMessage) []byte {
	var s string
	_ = json.Unmarshal(param, &s)
	raw, _ := hex.DecodeString(s)
	return raw
}

// btc writes an amount of sat in BTC, as Bitcoin Core does.
func btc(sat int64) string { return fmt.Sprintf("%d.%08d", sat/1e8, sat%1e8) }
