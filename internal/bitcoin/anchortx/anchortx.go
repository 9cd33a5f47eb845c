// Package anchortx finds the Bitcoin transactions that carry anchors, and what is
// known of them for certain. It believes no transaction whose hash is not the id
// that was asked for.
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
	Height int64  // of the block where it should be; 0 where that is not known
	// Since is a time before which it was not sent, in Unix seconds; 0 where none is
	// known.
	Since int64
	// Carries reports whether a transaction carries the anchor: where this one is nowhere,
	// one that it replaced or that replaced it is found in its place. nil for no other.
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
	// Tx is nil unless it is mined or in the mempool. It may be another one than was
	// wanted, with the same anchor.
	Tx *wire.MsgTx
	// Height, BlockHash and Confirmations, at least 1, are those of the block of one
	// that is mined.
	Height        int64
	BlockHash     string
	Confirmations int64
	// Why its state could not be determined, or why it can never be mined; "" otherwise.
	Why string
}

// IsTxID reports whether text is a transaction id: 64 lower-case hex digits.
func IsTxID(text string) bool {
	return len(text) == 64 && strings.Trim(text, "0123456789abcdef") == ""
}

// ForRecord is what an anchor record knows of its transaction: the anchor's hash and state
// root, the height, 0 where that is not known, and when it was broadcast, in Unix
// milliseconds.
func ForRecord(txid, hash, root string, height, broadcastMs uint64) Wanted {
	return Wanted{TxID: txid, Height: clamp(height), Since: clamp(broadcastMs / 1000),
		Carries: func(tx *wire.MsgTx) bool { return CarriesAnchor(tx, hash, root) }}
}

func clamp(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// String says where a transaction is, as in "transaction X is …", or why that is not known.
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

// DefaultScan is how many blocks are looked through if nothing else is said:
// about a week.
const DefaultScan = 1000

// inFlight is how many requests are under way at once. Bitcoin Core answers four at
// a time by default: one is left for others.
const inFlight = 3

// Options say how to look.
type Options struct {
	Wallet string // the wallet that is asked, "" for the one that is loaded
	Scan   int64  // how many blocks may be looked through
}

// Find looks for transactions: in a wallet of the node, if one is loaded; in its
// mempool and transaction index; in the block at the height given; and last in the
// blocks from the time given on. One is [Absent] only where the index or
// these blocks leave no room for it, and the node has the whole chain. The errors
// are those of the client, where the node does not answer at all or cannot be
// believed.
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
	own      *bitcoin.Client // for the calls that concern the wallet
	wallet   *wallet.Wallet
	limit    int64 // blocks
	info     bitcoin.ChainInfo
	index    index
	noWallet atomic.Bool
	places   []place
	medians  map[int]int64 // times by height, Unix seconds
}

// place is what is known of one transaction so far.
type place struct {
	Wanted
	Found
	inWallet  bool   // the wallet knows it, and what spends the same
	dead      string // why it can never be mined, "" where that is not known
	noMempool bool   // the node said that it is not in its mempool
	covered   bool   // nor anywhere in the active chain
	gap       string // why that is not known
	scanned   span   // the blocks to look through for it
}

func (p *place) found() bool { return p.State == Mined || p.State == InMempool }

// index is what a node says of its transaction index.
type index int

const (
	noIndex     index = iota // none, or not complete
	fullIndex                // up to the tip
	indexUnsaid              // the node has no getindexinfo: btcd, which says it when asked for a transaction
)

// lookForIndex asks for the transaction index. Bitcoin Core has getindexinfo from
// 0.21 on.
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

// unanswered reports whether the node leaves a question open that it may answer in
// another way: it refuses the method or knows nothing.
func unanswered(err error) bool {
	var rpc *btcjson.RPCError
	var status *bitcoin.StatusError
	return errors.As(err, &rpc) || errors.As(err, &status) && status.Code == http.StatusForbidden
}

// notFound returns the node's words where it says that it has no such transaction.
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

// verbose is the part of a transaction that gettransaction and getrawtransaction
// both have. A transaction without a block has no blockhash, or an empty one;
// confirmations may be missing, 0 or -1 then and are not looked at: the block's
// header has them.
type verbose struct {
	Hex       string `json:"hex"`
	BlockHash string `json:"blockhash"`
}

// inWallet asks the wallet, which knows the block. It may hold what is in no
// mempool: such an answer is none.
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
// replaced this one, or the original, which may be mined after it was replaced.
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

// inMempoolOrIndex asks for the transaction alone: nodes look into the mempool,
// then into the index.
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

// atHeight looks into the block at the height where it should be.
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

// inBlock looks into a block. Only Bitcoin Core takes the block's hash with the
// transaction's.
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

// inActive takes a block for the transaction's if it is in the active chain.
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

// parse decodes a transaction and compares its hash.
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
