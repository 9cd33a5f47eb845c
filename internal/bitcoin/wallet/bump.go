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

// increment is by how much a wallet raises a fee at least, in sat per 1,000 vB.
const increment = 5000

// Bump is a transaction's replacement that is planned.
type Bump struct {
	Old  string // transaction id
	Rate uint64 // sat per 1,000 vB
	Fee  int64  // sat
	// Said is what the wallet had to say of the one that it has made, such as that it could
	// not mark the old one as replaced.
	Said []string
}

// Member is one of the transactions of the wallet of which at most one can be mined:
// each replaces another, or spends what another spends.
type Member struct {
	Tx            *wire.MsgTx
	TxID          string
	State         State
	BlockHash     string // "" unless it is in a block
	Confirmations int64
	Fee           int64 // sat; 0 where the wallet does not say
	// ReplacedBy is what the wallet has made in its place, "" for nothing. It may never
	// have been sent.
	ReplacedBy string
	Others     []string // the ids of those that spend the same, whoever made them
}

// Spent says what is in the chain in the place of a member that is [Conflicted].
func (m *Member) Spent() string {
	if len(m.Others) == 0 {
		return "another transaction in the chain spends its inputs"
	}
	return strings.Join(m.Others, " or ") + " in the chain spends its inputs"
}

// Member asks for a transaction; nil where the wallet does not know it.
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

// Family returns a transaction and those that replaced it, that it replaced, or that are in
// conflict with it, and theirs in turn; nothing where the wallet does not know it. Others
// than the first count, and lead on, only if ours says so.
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
	b.Fee = feeOf(b.Rate, VSize(old))
	var r struct {
		Fee *amount `json:"fee"`
	}
	// It changes nothing, and knows the fee of a replacement that takes more inputs.
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

// fee is what the wallet says it pays for a transaction, in sat.
func (w *Wallet) fee(ctx context.Context, txid string) (int64, error) {
	var r struct {
		Fee *amount `json:"fee"` // below 0
	}
	if err := w.own.Call(ctx, "gettransaction", []any{txid}, &r); err != nil {
		return 0, explain(err)
	}
	if r.Fee == nil || *r.Fee > 0 {
		return 0, bad("gettransaction", "no fee of a transaction of the wallet's own")
	}
	return -int64(*r.Fee), nil
}

// estimate returns the node's fee rate for a transaction that is to be mined within
// so many blocks, in sat per 1,000 vB, 0 where it has none.
func (w *Wallet) estimate(ctx context.Context, blocks int) (uint64, error) {
	var r struct {
		FeeRate amount `json:"feerate"` // for 1,000 vB
	}
	err := w.node.Call(ctx, "estimatesmartfee", []any{blocks}, &r)
	var rpc *btcjson.RPCError
	if errors.As(err, &rpc) || notThere(err) {
		return 0, nil // the least it takes is known without
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

// Bump lets the wallet make a replacement, and returns its id and fee in sat. Whether it
// was sent the wallet does not say: it answers the same where it does not broadcast, and
// where the mempool refused it. After an error that is [bitcoin.ErrOutcomeUnknown] there
// may be a replacement; after any other there is none. A wallet replaces a transaction once
// only.
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
