// Package anchortx finds the Bitcoin transactions that carry anchors, and what is known about
// them for certain. It checks that the hash of each transaction is the id that was asked for.
package anchortx

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/btcsuite/btcd/btcjson"
	"github.com/btcsuite/btcd/wire/v2"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/wallet"
	"ailee-recovery/internal/workers"
)

// Wanted is a transaction to find.
type Wanted struct {
	TxID   string // see [IsTxID]
	Height int64  // of the block where it should be; 0 if unknown
	// Since is a time before which it was not sent, in Unix seconds; 0 if unknown.
	Since int64
	// Carries reports whether a transaction carries the anchor: if this transaction is nowhere,
	// one that it replaced or that replaced it is found instead. With nil, no other is.
	Carries func(*wire.MsgTx) bool
}

// State is where a transaction is.
type State string

// The states.
const (
	Unknown   State = "unknown" // it could not be determined
	Absent    State = "absent"  // neither in the active chain nor in the mempool
	InMempool State = "mempool"
	Mined     State = "mined" // in the active chain
)

// Found is what was found out.
type Found struct {
	State State
	// Tx is nil unless the transaction is mined or in the mempool. It may be another
	// transaction than the wanted one, with the same anchor.
	Tx *wire.MsgTx
	// Height, BlockHash and Confirmations, at least 1, describe the block of a mined
	// transaction.
	Height        int64
	BlockHash     string
	Confirmations int64
	// Why says why the state could not be determined, or why the transaction can never be
	// mined; "" otherwise.
	Why string
}

// IsTxID reports whether text is a transaction id: 64 lower-case hex digits.
func IsTxID(text string) bool {
	return len(text) == 64 && strings.Trim(text, "0123456789abcdef") == ""
}

// ForRecord returns the transaction to find for an anchor record, from the transaction's id, the
// anchor's hash and state root, the height, 0 if unknown, and the time of the broadcast, in
// Unix milliseconds.
func ForRecord(txid, hash, root string, height, broadcastMs uint64) Wanted {
	return Wanted{TxID: txid, Height: clamp(height), Since: clamp(broadcastMs / 1000),
		Carries: func(tx *wire.MsgTx) bool { return CarriesAnchor(tx, hash, root) }}
}

func clamp(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// String says where a transaction is, as in "transaction X is …", or why that is unknown.
func (f Found) String() string {
	switch f.State {
	case Mined:
		return fmt.Sprintf("in the block at height %d, %d confirmation(s)", f.Height, f.Confirmations)
	case InMempool:
		return "in the mempool, not in a block"
	case Absent:
		const nowhere = "neither in the active chain nor in the mempool"
		if f.Why != "" {
			return nowhere + ", and can never be mined: " + f.Why
		}
		return nowhere
	}
	return "in an unknown state: " + f.Why
}

// DefaultScan is how many blocks are searched by default: about a week.
const DefaultScan = 1000

// inFlight is how many requests are made at the same time. Bitcoin Core answers four at a time
// by default: one is left for others.
const inFlight = 3

// Options say how to search.
type Options struct {
	Wallet string // the wallet to ask, "" for the loaded one
	Scan   int64  // how many blocks may be searched
}

// Find looks for transactions: in a wallet of the node, if one is loaded; in its mempool and
// transaction index; in the block at the given height; and last in the blocks since the given
// time. A transaction is [Absent] only if it is neither in the index nor in any block where it
// could be, and the node has the whole chain. The errors are those of the client, if the node
// does not answer at all or cannot be trusted.
func Find(ctx context.Context, c *bitcoin.Client, wanted []Wanted, o Options) ([]Found, error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	s := &search{client: c, limit: o.Scan, places: make([]place, len(wanted)), medians: map[int]int64{}}
	var err error
	if s.own, err = c.Wallet(o.Wallet); err != nil {
		return nil, err
	}
	if s.wallet, err = wallet.Open(c, o.Wallet); err != nil {
		return nil, err
	}
	if s.info, err = c.Tip(ctx); err != nil {
		return nil, err
	}
	if err := s.lookForIndex(ctx); err != nil {
		return nil, err
	}
	group, inner := workers.WithContext(ctx)
	group.SetLimit(inFlight)
	for i, w := range wanted {
		s.places[i].Wanted = w
		group.Go(func() error { return s.direct(inner, &s.places[i]) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := s.scan(ctx); err != nil {
		return nil, err
	}
	if err := s.scanInstead(ctx); err != nil {
		return nil, err
	}
	return s.conclude(ctx)
}

// search is one run of [Find].
type search struct {
	client   *bitcoin.Client
	own      *bitcoin.Client // for wallet calls
	wallet   *wallet.Wallet
	limit    int64 // blocks
	info     bitcoin.ChainInfo
	index    index
	noWallet atomic.Bool
	places   []place
	medians  map[int]int64 // median times by height, Unix seconds
}

// place is what is known about one transaction so far.
type place struct {
	Wanted
	Found
	inWallet  bool   // the wallet knows the transaction, and any that spend the same
	dead      string // why it can never be mined, "" if that is unknown
	noMempool bool   // the node said that it is not in its mempool
	covered   bool   // it is known not to be in the active chain
	gap       string // why that is unknown
	scanned   span   // the blocks to search for it
}

func (p *place) found() bool { return p.State == Mined || p.State == InMempool }

// index is what a node says about its transaction index.
type index int

const (
	noIndex     index = iota // none, or incomplete
	fullIndex                // up to the tip
	indexUnsaid              // the node has no getindexinfo: btcd, which tells when asked for a transaction
)

// lookForIndex asks about the transaction index. Bitcoin Core has getindexinfo since 0.21.
func (s *search) lookForIndex(ctx context.Context) error {
	var r struct {
		TxIndex struct {
			Synced bool `json:"synced"`
		} `json:"txindex"`
	}
	err := s.client.Call(ctx, "getindexinfo", nil, &r)
	var rpc *btcjson.RPCError
	switch {
	case err == nil && r.TxIndex.Synced:
		s.index = fullIndex
	case errors.As(err, &rpc) && rpc.Code == btcjson.ErrRPCMethodNotFound.Code:
		s.index = indexUnsaid
	case err != nil && !unanswered(err):
		return err
	}
	return nil
}

// unanswered reports whether the node refused the method or knows nothing, so that the question
// may still be answered in another way.
func unanswered(err error) bool {
	var rpc *btcjson.RPCError
	var status *bitcoin.StatusError
	return errors.As(err, &rpc) || errors.As(err, &status) && status.Code == http.StatusForbidden
}

// notFound returns the node's words if it says that it has no such transaction.
func notFound(err error) (words string, ok bool) {
	var rpc *btcjson.RPCError
	if errors.As(err, &rpc) && rpc.Code == btcjson.ErrRPCNoTxInfo {
		return rpc.Message, true
	}
	return "", false
}

// direct asks for one transaction in every way that needs no search.
func (s *search) direct(ctx context.Context, p *place) error {
	for _, look := range []func(context.Context, *place) error{s.inWallet, s.inMempoolOrIndex, s.instead, s.atHeight} {
		if err := look(ctx, p); err != nil || p.found() {
			return err
		}
	}
	return nil
}

// verbose has the fields that gettransaction and getrawtransaction have in common. A
// transaction without a block has no blockhash, or an empty one. Its confirmations may then be
// missing, 0 or -1, and are ignored: the block's header has them.
type verbose struct {
	Hex       string `json:"hex"`
	BlockHash string `json:"blockhash"`
}

// inWallet asks the wallet, which knows the block. The wallet may also have transactions that
// are in no mempool, so an answer without a block proves nothing.
func (s *search) inWallet(ctx context.Context, p *place) error {
	if s.noWallet.Load() {
		return nil
	}
	var r verbose
	err := s.own.Call(ctx, "gettransaction", []any{p.TxID}, &r)
	if err != nil {
		if !unanswered(err) {
			return err
		}
		if _, other := notFound(err); !other {
			s.noWallet.Store(true)
		}
		return nil
	}
	p.inWallet = true
	if r.BlockHash == "" {
		return nil
	}
	return s.settle(ctx, p, r)
}

// instead asks the wallet for another transaction with the same anchor: one that has
// replaced this one, or the original, which may be mined even after it was replaced.
func (s *search) instead(ctx context.Context, p *place) error {
	if !p.inWallet {
		return nil
	}
	carries := p.Carries
	if carries == nil {
		carries = func(*wire.MsgTx) bool { return false }
	}
	family, err := s.wallet.Family(ctx, p.TxID, carries)
	if err != nil || len(family) == 0 {
		if err != nil && !unanswered(err) {
			return err
		}
		return nil
	}
	for _, m := range family[1:] {
		switch {
		case m.State == wallet.Known && m.BlockHash != "":
			if err := s.inActive(ctx, p, m.Tx, m.BlockHash); err != nil || p.found() {
				return err
			}
		case m.State == wallet.Known && m.Confirmations == 0:
			p.Found = Found{State: InMempool, Tx: m.Tx}
			return nil
		}
	}
	if family[0].State == wallet.Conflicted {
		p.dead, p.covered, p.noMempool = family[0].Spent(), true, true
	}
	return nil
}

// inMempoolOrIndex asks for the transaction by its id alone: nodes look in the mempool, then in
// the index.
func (s *search) inMempoolOrIndex(ctx context.Context, p *place) error {
	var r verbose
	err := s.client.Call(ctx, "getrawtransaction", []any{p.TxID, 1}, &r)
	words, absent := notFound(err)
	switch {
	case absent:
		p.noMempool = true
		p.covered = s.index == fullIndex || s.index == indexUnsaid && !strings.Contains(words, "txindex")
		return nil
	case err != nil && unanswered(err):
		return nil
	case err != nil:
		return err
	case r.BlockHash != "":
		// The index may name a block that has left the active chain.
		p.noMempool, p.covered = true, s.index == fullIndex
		return s.settle(ctx, p, r)
	}
	if p.Tx, err = parse(p.TxID, r.Hex); err == nil {
		p.State = InMempool
	}
	return err
}

// atHeight looks in the block at the height where the transaction should be.
func (s *search) atHeight(ctx context.Context, p *place) error {
	if p.covered && p.noMempool || p.Wanted.Height <= 0 || p.Wanted.Height > s.info.Blocks || p.Wanted.Height < s.info.PruneHeight {
		return nil
	}
	hash, err := s.client.BlockHash(ctx, p.Wanted.Height)
	if bitcoin.AboveTip(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.inBlock(ctx, p, hash)
}

// inBlock looks in a block. Only Bitcoin Core accepts the block's hash together with the
// transaction's id.
func (s *search) inBlock(ctx context.Context, p *place, hash string) error {
	var r verbose
	err := s.client.Call(ctx, "getrawtransaction", []any{p.TxID, 1, hash}, &r)
	if err == nil {
		r.BlockHash = hash
		return s.settle(ctx, p, r)
	}
	if _, absent := notFound(err); absent {
		return nil
	} else if !unanswered(err) {
		return err
	}
	block, err := s.block(ctx, hash)
	if err != nil {
		if unanswered(err) {
			return nil
		}
		return err
	}
	for _, tx := range block.Transactions {
		if tx.TxHash().String() == p.TxID {
			return s.inActive(ctx, p, tx, hash)
		}
	}
	return nil
}

// block reads a block.
func (s *search) block(ctx context.Context, hash string) (*wire.MsgBlock, error) {
	var text string
	if err := s.client.Call(ctx, "getblock", []any{hash, 0}, &text); err != nil {
		return nil, err
	}
	block := new(wire.MsgBlock)
	if err := deserialize(text, block.Deserialize); err != nil {
		return nil, fmt.Errorf("block %s: %w", hash, err)
	}
	if got := block.BlockHash().String(); got != hash {
		return nil, fmt.Errorf("%w: block %s in place of %s", bitcoin.ErrBadAnswer, got, hash)
	}
	return block, nil
}

func (s *search) settle(ctx context.Context, p *place, r verbose) error {
	tx, err := parse(p.TxID, r.Hex)
	if err != nil {
		return err
	}
	return s.inActive(ctx, p, tx, r.BlockHash)
}

// inActive records the transaction as mined in the block, if the block is in the active chain.
func (s *search) inActive(ctx context.Context, p *place, tx *wire.MsgTx, hash string) error {
	h, err := s.client.BlockHeader(ctx, hash)
	if err != nil {
		// btcd has no header of a block that has left the active chain.
		if unanswered(err) {
			return nil
		}
		return err
	}
	if h.Confirmations > 0 {
		p.Found = Found{State: Mined, Tx: tx, Height: h.Height, BlockHash: hash, Confirmations: h.Confirmations}
	}
	return nil
}

// parse decodes a transaction and checks its hash.
func parse(txid, text string) (*wire.MsgTx, error) {
	var tx wire.MsgTx
	if err := deserialize(text, tx.Deserialize); err != nil {
		return nil, fmt.Errorf("transaction %s: %w", txid, err)
	}
	if got := tx.TxHash().String(); got != txid {
		return nil, fmt.Errorf("%w: transaction %s in place of %s", bitcoin.ErrBadAnswer, got, txid)
	}
	return &tx, nil
}
