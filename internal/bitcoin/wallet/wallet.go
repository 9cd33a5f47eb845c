// Package wallet makes, checks and sends transactions with the wallet of a Bitcoin node:
// Bitcoin Core 0.21 or later, or anything that answers like it. It sends no argument that one
// of these releases does not know.
package wallet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/btcsuite/btcd/btcjson"
	"github.com/btcsuite/btcd/wire/v2"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/exit"
)

// Wallet is a wallet of a node. Its methods are safe for concurrent use. Their errors carry a
// hint; those that the node returned are a *btcjson.RPCError in its words.
type Wallet struct {
	node *bitcoin.Client
	own  *bitcoin.Client // for wallet calls
}

// Open returns the wallet with that name, or for "" the loaded one. It makes no call.
func Open(node *bitcoin.Client, name string) (*Wallet, error) {
	own, err := node.Wallet(name)
	if err != nil {
		return nil, err
	}
	return &Wallet{node, own}, nil
}

// Fees say what a transaction may cost.
type Fees struct {
	Rate       uint64 // sat per 1,000 vB; 0 for the node's estimate
	ConfTarget int    // blocks, for the estimate
	Max        int64  // sat; more is refused
}

// options returns the fees in the form that the wallet's calls take.
func (f Fees) options() map[string]any {
	if f.Rate > 0 {
		return map[string]any{"fee_rate": float64(f.Rate) / 1000} // sat/vB
	}
	return map[string]any{"conf_target": f.ConfTarget}
}

// Check refuses a fee in sat that is too high.
func (f Fees) Check(fee int64) error {
	if fee > f.Max {
		return exit.Failf("raise --max-fee, or take a lower --fee-rate or a longer --conf-target", "the fee of %d sat is above the %d sat of --max-fee", fee, f.Max)
	}
	return nil
}

// State is what a node knows about a transaction.
type State int

// The states.
const (
	Absent     State = iota // neither in the mempool nor, as far as the wallet knows, in the chain
	Known                   // in the mempool or in the active chain
	Conflicted              // another one in the chain spends its inputs, so it can never be mined
)

// entry is what the wallet says about a transaction.
type entry struct {
	Confirmations *int64   `json:"confirmations"` // below 0 if a conflicting one is in the chain
	BlockHash     string   `json:"blockhash"`
	Fee           *amount  `json:"fee"` // below 0
	Hex           string   `json:"hex"`
	Replaces      string   `json:"replaces_txid"`
	ReplacedBy    string   `json:"replaced_by_txid"`
	Conflicts     []string `json:"walletconflicts"`
}

// entry asks for the entry of a transaction. It is nil if the wallet does not know it.
func (w *Wallet) entry(ctx context.Context, txid string) (*entry, error) {
	const method = "gettransaction"
	var e entry
	err := w.own.Call(ctx, method, []any{txid}, &e)
	var rpc *btcjson.RPCError
	switch {
	case errors.As(err, &rpc) && rpc.Code == btcjson.ErrRPCInvalidAddressOrKey:
		return nil, nil
	case err != nil:
		return nil, explain(err)
	case e.Confirmations == nil:
		return nil, bad(method, "confirmations is missing")
	}
	return &e, nil
}

// Find looks for a transaction of the wallet.
func (w *Wallet) Find(ctx context.Context, txid string) (State, error) {
	e, err := w.entry(ctx, txid)
	if err != nil {
		return Absent, err
	}
	return w.state(ctx, txid, e)
}

// state returns the state of a transaction, given the wallet's entry for it, which may be nil.
func (w *Wallet) state(ctx context.Context, txid string, e *entry) (State, error) {
	switch {
	case e != nil && *e.Confirmations > 0:
		return Known, nil
	case e != nil && *e.Confirmations < 0:
		return Conflicted, nil
	}
	// The wallet also keeps transactions that have left the mempool.
	var text string
	err := w.node.Call(ctx, "getrawtransaction", []any{txid}, &text)
	var rpc *btcjson.RPCError
	switch {
	case errors.As(err, &rpc) && rpc.Code == btcjson.ErrRPCNoTxInfo:
		return Absent, nil
	case err != nil:
		return Absent, explain(err)
	}
	return w.outOfStale(ctx, txid)
}

// outOfStale returns the state of a transaction that the node has. A transaction index also has
// transactions from blocks that have left the active chain, even if they are in no mempool. The
// details are asked for only here, and a refusal means nothing.
func (w *Wallet) outOfStale(ctx context.Context, txid string) (State, error) {
	var r struct {
		BlockHash     string `json:"blockhash"` // missing in the mempool
		Confirmations int64  `json:"confirmations"`
	}
	err := w.node.Call(ctx, "getrawtransaction", []any{txid, 1}, &r)
	var rpc *btcjson.RPCError
	switch {
	case err != nil && !errors.As(err, &rpc):
		return Absent, explain(err)
	case err == nil && r.BlockHash != "" && r.Confirmations < 1:
		return Absent, nil
	}
	return Known, nil
}

// Dead reports whether an [Absent] transaction can never be mined, because others in the chain
// spend what it spends.
func (w *Wallet) Dead(ctx context.Context, tx *wire.MsgTx) (bool, error) {
	for _, in := range tx.TxIn {
		parent, err := w.entry(ctx, in.PreviousOutPoint.Hash.String())
		if err != nil {
			return false, err
		}
		if parent == nil || *parent.Confirmations == 0 {
			continue
		}
		out, err := w.output(ctx, in.PreviousOutPoint, false)
		if err != nil {
			return false, err
		}
		if out == nil || *parent.Confirmations < 0 {
			return true, nil
		}
	}
	return false, nil
}

// output is an unspent output.
type output struct {
	Value *amount `json:"value"`
}

// output asks for an unspent output. It is nil if it is spent or does not exist.
func (w *Wallet) output(ctx context.Context, at wire.OutPoint, mempool bool) (*output, error) {
	const method = "gettxout"
	var text json.RawMessage
	if err := w.node.Call(ctx, method, []any{at.Hash.String(), at.Index, mempool}, &text); err != nil {
		return nil, explain(err)
	}
	var out *output
	if err := json.Unmarshal(text, &out); err != nil || out != nil && (out.Value == nil || *out.Value < 0) {
		return nil, bad(method, "no value")
	}
	return out, nil
}

// Send sends a transaction. After an error that is [bitcoin.ErrOutcomeUnknown] it
// may have been sent; after any other it was not.
func (w *Wallet) Send(ctx context.Context, tx *wire.MsgTx) error {
	var txid string
	err := w.node.Send(ctx, "sendrawtransaction", []any{Encode(tx)}, &txid)
	var rpc *btcjson.RPCError
	if errors.As(err, &rpc) && rpc.Code == btcjson.ErrRPCVerifyAlreadyInChain {
		return nil
	}
	return explain(err)
}

// amount is an amount in sat. Nodes write it in BTC, and below 0 if the wallet pays it. It is
// exact: no amount comes near 2^53 sat.
type amount int64

// maxMoney is more BTC than will ever exist.
const maxMoney = 21_000_000

func (a *amount) UnmarshalJSON(text []byte) error {
	var btc float64
	if err := json.Unmarshal(text, &btc); err != nil {
		return err
	}
	if math.Abs(btc) > maxMoney {
		return fmt.Errorf("an amount of %s BTC", text)
	}
	*a = amount(math.Round(btc * 1e8))
	return nil
}

// bad returns the error for an answer that cannot be right.
func bad(method, format string, args ...any) error {
	return exit.Fail("check that --bitcoin-rpc names a Bitcoin Core node with a wallet", // an answer to a wallet call that no wallet would give
		fmt.Errorf("%s: %w: %s", method, bitcoin.ErrBadAnswer, fmt.Sprintf(format, args...)))
}
