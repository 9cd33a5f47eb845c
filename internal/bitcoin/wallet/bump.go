package wallet

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"net/http"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/btcjson"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"ailee-recovery/internal/bitcoin"
)

// increment is the least by which a wallet raises a fee rate, in sat per 1,000 vB.
const increment = 5000

// Bump is the planned replacement of a transaction.
type Bump struct {
	Old  string // transaction id
	Rate uint64 // sat per 1,000 vB
	Fee  int64  // sat
	// Said is what the wallet reported when it made the replacement, such as that it could not
	// mark the old transaction as replaced.
	Said []string
}

// Member is one of a group of wallet transactions of which at most one can be mined, because
// each replaces another, or spends what another spends.
type Member struct {
	Tx            *wire.MsgTx
	TxID          string
	State         State
	BlockHash     string // "" unless it is in a block
	Confirmations int64
	Fee           int64 // sat; 0 if the wallet does not say
	// ReplacedBy is the id of the transaction that the wallet made to replace it, "" for none.
	// That one may never have been sent.
	ReplacedBy string
	Others     []string // the ids of transactions that spend the same, whoever made them
}

// Spent says which transaction in the chain spends the inputs of a [Conflicted] member.
func (m *Member) Spent() string {
	if len(m.Others) == 0 {
		return "another transaction in the chain spends its inputs"
	}
	return strings.Join(m.Others, " or ") + " in the chain spends its inputs"
}

// Member asks for a transaction. It is nil if the wallet does not know it.
func (w *Wallet) Member(ctx context.Context, txid string) (*Member, error) {
	e, err := w.entry(ctx, txid)
	if e == nil || err != nil {
		return nil, err
	}
	tx, err := Decode(e.Hex)
	if err != nil || tx.TxID() != txid {
		return nil, bad("gettransaction", "another transaction")
	}
	m := &Member{Tx: tx, TxID: txid, BlockHash: e.BlockHash, Confirmations: *e.Confirmations, ReplacedBy: e.ReplacedBy}
	if e.Fee != nil {
		if m.Fee = -int64(*e.Fee); m.Fee < 0 {
			return nil, bad("gettransaction", "a fee below 0")
		}
	}
	for _, other := range append([]string{e.ReplacedBy, e.Replaces}, e.Conflicts...) {
		if other != "" && !slices.Contains(m.Others, other) {
			m.Others = append(m.Others, other)
		}
	}
	m.State, err = w.state(ctx, txid, e)
	return m, err
}

// Family returns a transaction, the ones that replaced it, that it replaced, or that conflict
// with it, and theirs in turn. It returns nothing if the wallet does not know the transaction.
// Transactions other than the first are included, and followed, only if ours says so.
func (w *Wallet) Family(ctx context.Context, txid string, ours func(*wire.MsgTx) bool) (all []*Member, err error) {
	seen := map[string]bool{}
	for queue := []string{txid}; len(queue) > 0; queue = queue[1:] {
		if seen[queue[0]] {
			continue
		}
		seen[queue[0]] = true
		m, err := w.Member(ctx, queue[0])
		if err != nil {
			return nil, err
		}
		if m == nil || len(all) > 0 && !ours(m.Tx) {
			continue
		}
		all = append(all, m)
		queue = append(queue, m.Others...)
	}
	return all, nil
}

// PlanBump finds out what replacing a transaction costs. If fees has no rate, the rate is the
// node's estimate, or the lowest one that is enough to replace the old transaction, if that is
// higher.
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
	b.Fee = feeOf(b.Rate, VSize(old))
	var r struct {
		Fee *amount `json:"fee"`
	}
	// This call changes nothing, and takes into account that the replacement may need more inputs.
	err := w.own.Call(ctx, "psbtbumpfee", []any{b.Old, b.options()}, &r)
	switch {
	case notThere(err):
	case err != nil:
		return nil, explain(err)
	case r.Fee == nil || *r.Fee < 0:
		return nil, bad("psbtbumpfee", "fee is missing")
	default:
		b.Fee = int64(*r.Fee)
	}
	return b, fees.Check(b.Fee)
}

// feeOf is what a transaction of a virtual size costs at a rate, rounded up, in sat. What does
// not fit in it is more than any fee may be.
func feeOf(rate uint64, vsize int64) int64 {
	high, low := bits.Mul64(rate, uint64(vsize))
	if high > 0 || low > math.MaxInt64-999 {
		return math.MaxInt64
	}
	return int64(low+999) / 1000
}

func (b *Bump) options() map[string]any { return Fees{Rate: b.Rate}.options() }

// fee returns what the wallet says it pays for a transaction, in sat.
func (w *Wallet) fee(ctx context.Context, txid string) (int64, error) {
	var r struct {
		Fee *amount `json:"fee"` // below 0
	}
	if err := w.own.Call(ctx, "gettransaction", []any{txid}, &r); err != nil {
		return 0, explain(err)
	}
	if r.Fee == nil || *r.Fee > 0 {
		return 0, bad("gettransaction", "no fee for a transaction of the wallet itself")
	}
	return -int64(*r.Fee), nil
}

// estimate returns the node's fee rate for a transaction to be mined within that many blocks,
// in sat per 1,000 vB, or 0 if it has no estimate.
func (w *Wallet) estimate(ctx context.Context, blocks int) (uint64, error) {
	var r struct {
		FeeRate amount `json:"feerate"` // for 1,000 vB
	}
	err := w.node.Call(ctx, "estimatesmartfee", []any{blocks}, &r)
	var rpc *btcjson.RPCError
	if errors.As(err, &rpc) || notThere(err) {
		return 0, nil // the lowest sufficient rate is known without it
	}
	if r.FeeRate < 0 {
		return 0, bad("estimatesmartfee", "a fee rate below 0")
	}
	return uint64(r.FeeRate), err
}

// notThere reports whether a node lacks a method, or does not allow it.
func notThere(err error) bool {
	var rpc *btcjson.RPCError
	var status *bitcoin.StatusError
	return errors.As(err, &rpc) && rpc.Code == btcjson.ErrRPCMethodNotFound.Code || errors.As(err, &status) && status.Code == http.StatusForbidden
}

// Bump has the wallet make a replacement, and returns its id and its fee in sat. The wallet
// does not say whether it was sent: it gives the same answer if it does not broadcast, or if
// the mempool refused the replacement. After an error that is [bitcoin.ErrOutcomeUnknown] there
// may be a replacement, after any other error not. A wallet replaces a transaction
// only once.
func (w *Wallet) Bump(ctx context.Context, b *Bump) (txid string, fee int64, err error) {
	const method = "bumpfee"
	var r struct {
		TxID   string   `json:"txid"`
		Fee    *amount  `json:"fee"`
		Errors []string `json:"errors"`
	}
	if err := w.own.Send(ctx, method, []any{b.Old, b.options()}, &r); err != nil {
		return "", 0, explain(err)
	}
	if hash, err := chainhash.NewHashFromStr(r.TxID); err != nil || hash.String() != r.TxID || r.Fee == nil || *r.Fee < 0 {
		return "", 0, fmt.Errorf("%w: %w", bitcoin.ErrOutcomeUnknown, bad(method, "no transaction id or fee"))
	}
	b.Said = r.Errors
	return r.TxID, int64(*r.Fee), nil
}
