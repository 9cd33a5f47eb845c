package wallet

import (
	"context"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/btcjson"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/exit"
)

// increment is by how much a wallet raises a fee at least, in sat per 1,000 vB.
const increment = 5000

// Bump is a transaction's replacement that is planned.
type Bump struct {
	Old  string // transaction id
	Rate uint64 // sat per 1,000 vB
	Fee  int64  // sat
}

// Stuck returns a transaction of the wallet that waits to be mined. It is an error
// when the wallet does not know it, and when it is in the chain.
func (w *Wallet) Stuck(ctx context.Context, txid string) (*wire.MsgTx, error) {
	e, err := w.entry(ctx, txid)
	switch {
	case err != nil:
		return nil, err
	case e == nil:
		return nil, exit.Failf("name the wallet that sent it: --wallet NAME", "the wallet does not know the transaction %s", txid)
	case *e.Confirmations > 0:
		return nil, exit.Failf("there is nothing to replace: bring the records up to date with ailee_resync_blocks --anchors",
			"the transaction %s is in the chain, with %d confirmation(s)", txid, *e.Confirmations)
	}
	tx, err := Decode(e.Hex)
	if err != nil || tx.TxID() != txid {
		return nil, bad("gettransaction", "another transaction")
	}
	return tx, nil
}

// Replacement returns the id of the transaction that has replaced another one, the
// latest if that was replaced in turn, and "" for none. It counts only if ours says
// so.
func (w *Wallet) Replacement(ctx context.Context, txid string, ours func(*wire.MsgTx) bool) (string, error) {
	latest := ""
	seen := map[string]bool{}
	for queue := []string{txid}; len(queue) > 0; queue = queue[1:] {
		if seen[queue[0]] {
			continue
		}
		seen[queue[0]] = true
		e, err := w.entry(ctx, queue[0])
		if err != nil {
			return "", err
		}
		if e == nil {
			continue
		}
		if queue[0] != txid {
			tx, err := Decode(e.Hex)
			if err != nil || tx.TxID() != queue[0] {
				return "", bad("gettransaction", "another transaction")
			}
			if !ours(tx) {
				continue
			}
			state, err := w.Find(ctx, queue[0])
			if err != nil {
				return "", err
			}
			if state == Known {
				latest = queue[0]
			}
		}
		if e.ReplacedBy != "" {
			queue = append(queue, e.ReplacedBy)
		}
		queue = append(queue, e.Conflicts...)
	}
	return latest, nil
}

// PlanBump says what replacing a transaction costs. Without a rate it is what the
// node estimates, or the least that is more than before where that is higher.
func (w *Wallet) PlanBump(ctx context.Context, old *wire.MsgTx, fees Fees) (*Bump, error) {
	b := &Bump{Old: old.TxID(), Rate: fees.Rate}
	if b.Rate == 0 {
		before, err := w.fee(ctx, b.Old)
		if err != nil {
			return nil, err
		}
		estimate, err := w.estimate(ctx, fees.ConfTarget)
		if err != nil {
			return nil, err
		}
		least := (uint64(before)*1000+uint64(VSize(old))-1)/uint64(VSize(old)) + increment
		b.Rate = max(least, estimate)
	}
	b.Fee = (int64(b.Rate)*VSize(old) + 999) / 1000
	var r struct {
		Fee *float64 `json:"fee"` // BTC
	}
	// It changes nothing, and knows the fee of a replacement that takes more inputs.
	err := w.own.Call(ctx, "psbtbumpfee", []any{b.Old, b.options()}, &r)
	var rpc *btcjson.RPCError
	switch {
	case errors.As(err, &rpc) && rpc.Code == btcjson.ErrRPCMethodNotFound.Code:
	case err != nil:
		return nil, explain(err)
	case r.Fee == nil:
		return nil, bad("psbtbumpfee", "fee is missing")
	default:
		b.Fee = satoshi(*r.Fee)
	}
	return b, fees.check(b.Fee)
}

func (b *Bump) options() map[string]any { return Fees{Rate: b.Rate}.options() }

// fee is what the wallet says it pays for a transaction, in sat.
func (w *Wallet) fee(ctx context.Context, txid string) (int64, error) {
	var r struct {
		Fee *float64 `json:"fee"` // BTC, below 0
	}
	if err := w.own.Call(ctx, "gettransaction", []any{txid}, &r); err != nil {
		return 0, explain(err)
	}
	if r.Fee == nil || *r.Fee > 0 {
		return 0, bad("gettransaction", "no fee of a transaction of the wallet's own")
	}
	return -satoshi(*r.Fee), nil
}

// estimate returns the node's fee rate for a transaction that is to be mined within
// so many blocks, in sat per 1,000 vB, 0 where it has none.
func (w *Wallet) estimate(ctx context.Context, blocks int) (uint64, error) {
	var r struct {
		FeeRate float64 `json:"feerate"` // BTC per 1,000 vB
	}
	err := w.node.Call(ctx, "estimatesmartfee", []any{blocks}, &r)
	var rpc *btcjson.RPCError
	if errors.As(err, &rpc) {
		return 0, nil // the least it takes is known without
	}
	if r.FeeRate < 0 {
		return 0, bad("estimatesmartfee", "a fee rate below 0")
	}
	return uint64(satoshi(r.FeeRate)), err
}

// Bump replaces the transaction, and returns the new one's id and fee in sat. After
// an error that is [bitcoin.ErrOutcomeUnknown] it may be replaced; after any other
// it is not. A wallet replaces a transaction once only.
func (w *Wallet) Bump(ctx context.Context, b *Bump) (txid string, fee int64, err error) {
	const method = "bumpfee"
	var r struct {
		TxID string   `json:"txid"`
		Fee  *float64 `json:"fee"` // BTC
	}
	if err := w.own.Send(ctx, method, []any{b.Old, b.options()}, &r); err != nil {
		return "", 0, explain(err)
	}
	if hash, err := chainhash.NewHashFromStr(r.TxID); err != nil || hash.String() != r.TxID || r.Fee == nil {
		return "", 0, fmt.Errorf("%w: %w", bitcoin.ErrOutcomeUnknown, bad(method, "no transaction id or fee"))
	}
	return r.TxID, satoshi(*r.Fee), nil
}
