package anchortx

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"sort"
	"sync"

	"github.com/btcsuite/btcd/wire/v2"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/workers"
)

const (
	// clockSlack is how far a block's time may be behind the clock, in seconds. It is as much
	// as nodes allow it to be ahead.
	clockSlack = 2 * 60 * 60
	// medianLag is how many blocks a median time lags behind: it reaches a time when the sixth
	// of eleven blocks has reached it.
	medianLag = 5
)

// span is a range of heights, both ends included.
type span struct{ first, last int64 }

// scan searches blocks for everything that was not found otherwise, each block once.
func (s *search) scan(ctx context.Context) error {
	missing := map[string][]*place{}
	var spans []span
	for i := range s.places {
		p := &s.places[i]
		if p.found() || p.covered {
			continue
		}
		const unseen = "the node has no complete transaction index, and the transaction is not in the %d block(s) starting at height %d"
		if err := s.span(ctx, p, unseen); err != nil {
			return err
		}
		spans = append(spans, p.scanned)
		missing[p.TxID] = append(missing[p.TxID], p)
	}
	left := func() int { return len(missing) }
	return lookThrough(ctx, s, spans, left, s.txids, func(ctx context.Context, hash string, ids []string) error {
		for _, id := range ids {
			for _, p := range missing[id] {
				if err := s.inBlock(ctx, p, hash); err != nil {
					return err
				}
				if !p.found() {
					p.covered, p.gap = false, "the node does not return it"
				}
			}
			delete(missing, id)
		}
		return nil
	})
}

// scanInstead searches blocks for other transactions that carry the anchors of transactions
// that are nowhere, if no wallet knows of them.
func (s *search) scanInstead(ctx context.Context) error {
	var missing []*place
	var spans []span
	for i := range s.places {
		p := &s.places[i]
		if p.found() || p.Carries == nil || p.inWallet || !p.covered || !p.noMempool {
			continue
		}
		const unseen = "it is nowhere; another transaction may carry its anchor, but none does in the %d block(s) starting at height %d"
		if err := s.span(ctx, p, unseen); err != nil {
			return err
		}
		spans = append(spans, p.scanned)
		missing = append(missing, p)
	}
	left := func() int { return len(missing) }
	return lookThrough(ctx, s, spans, left, s.block, func(ctx context.Context, hash string, block *wire.MsgBlock) error {
		for _, tx := range block.Transactions {
			for _, p := range missing {
				if !p.Carries(tx) {
					continue
				}
				if err := s.inActive(ctx, p, tx, hash); err != nil {
					return err
				}
			}
		}
		missing = slices.DeleteFunc(missing, func(p *place) bool { return p.found() })
		return nil
	})
}

// span notes which blocks are to be searched for a transaction, and what remains unknown
// afterwards if these are not all blocks.
func (s *search) span(ctx context.Context, p *place, unseen string) error {
	first, err := s.firstSince(ctx, p.Since)
	if err != nil {
		return err
	}
	whole := p.Since > 0 || first == 0
	if pruned := s.info.PruneHeight; first < pruned {
		first, whole = pruned, false
		unseen += ", and those below were pruned"
	}
	last := min(first+s.limit-1, s.info.Blocks)
	p.scanned, p.gap = span{first, last}, ""
	if p.covered = whole && last == s.info.Blocks; !p.covered {
		p.gap = fmt.Sprintf(unseen, max(0, last-first+1), first)
	}
	return nil
}

// lookThrough reads something from each block in the spans and passes it to take, as long as
// something is left to look for. It notes the blocks that the node does not return. Reading is
// concurrent; left and take are called one at a time.
func lookThrough[T any](ctx context.Context, s *search, spans []span, left func() int, read func(ctx context.Context, hash string) (T, error),
	take func(ctx context.Context, hash string, got T) error) error {
	var mu sync.Mutex
	guarded := func() int {
		mu.Lock()
		defer mu.Unlock()
		return left()
	}
	return s.walk(ctx, spans, guarded, func(ctx context.Context, height int64, hash string) error {
		got, err := read(ctx, hash)
		if err != nil && !unanswered(err) {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			s.lacks(height)
			return nil
		}
		return take(ctx, hash, got)
	})
}

// walk visits the blocks in all spans, each once and several at a time, until nothing is left
// to look for.
func (s *search) walk(ctx context.Context, spans []span, left func() int, visit func(ctx context.Context, height int64, hash string) error) error {
	for _, sp := range merged(spans) {
		if left() == 0 {
			return nil
		}
		var hashes []string
		err := s.client.BlockHashes(ctx, sp.first, sp.last, func(_ int64, hash string) error {
			hashes = append(hashes, hash)
			return nil
		})
		if err != nil {
			return err
		}
		group, ctx := workers.WithContext(ctx)
		group.SetLimit(inFlight)
		for i, hash := range hashes {
			if left() == 0 || ctx.Err() != nil {
				break
			}
			group.Go(func() error { return visit(ctx, sp.first+int64(i), hash) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// lacks notes that a block could not be searched.
func (s *search) lacks(height int64) {
	for i := range s.places {
		if p := &s.places[i]; p.scanned.first <= height && height <= p.scanned.last {
			p.covered, p.gap = false, fmt.Sprintf("the node does not return the block at height %d", height)
		}
	}
}

// txids returns the ids of a block's transactions.
func (s *search) txids(ctx context.Context, hash string) ([]string, error) {
	var r struct {
		Hash string   `json:"hash"`
		Tx   []string `json:"tx"`
	}
	if err := s.client.Call(ctx, "getblock", []any{hash, 1}, &r); err != nil {
		return nil, err
	}
	if r.Hash != hash || len(r.Tx) == 0 {
		return nil, fmt.Errorf("%w: getblock without the block's hash or transactions", bitcoin.ErrBadAnswer)
	}
	return r.Tx, nil
}

// firstSince returns the lowest height of any block that may have been made at or after the
// time. Without a time, it is the start of the latest blocks that may be searched.
func (s *search) firstSince(ctx context.Context, since int64) (int64, error) {
	if since <= 0 {
		return max(0, s.info.Blocks-s.limit+1), nil
	}
	var failed error
	reached := sort.Search(int(s.info.Blocks)+1, func(height int) bool {
		if failed != nil {
			return true
		}
		median, known := s.medians[height]
		if !known {
			median, failed = s.client.MedianTime(ctx, int64(height))
			s.medians[height] = median
		}
		return median >= since-clockSlack
	})
	return max(0, int64(reached)-medianLag), failed
}

// merged returns the spans in order, with adjacent ones merged. Their ends are in the same
// order as their starts, since all have the same limit.
func merged(spans []span) []span {
	spans = slices.DeleteFunc(spans, func(sp span) bool { return sp.first > sp.last })
	slices.SortFunc(spans, func(a, b span) int { return int(a.first - b.first) })
	var out []span
	for _, sp := range spans {
		if n := len(out) - 1; n >= 0 && sp.first <= out[n].last+1 {
			out[n].last = sp.last
		} else {
			out = append(out, sp)
		}
	}
	return out
}

// conclude determines the state of everything that was not found.
func (s *search) conclude(ctx context.Context) ([]Found, error) {
	found := make([]Found, len(s.places))
	tip, err := s.client.BlockHeader(ctx, s.info.BestBlockHash)
	left := unanswered(err)
	if err != nil && !left {
		return nil, err
	}
	for i := range s.places {
		p := &s.places[i]
		if !p.found() {
			p.State, p.Why = Unknown, ""
			switch {
			case left || tip.Confirmations < 1:
				p.Why = "the chain changed in the meantime"
			case s.info.InitialBlockDownload || s.info.Headers > s.info.Blocks:
				p.Why = "the node is still loading blocks"
			case tip.Time < p.Since:
				p.Why = "the node has no block from after it was sent"
			case !p.covered:
				p.Why = p.gap
			case !p.noMempool:
				p.Why = "the node does not say what is in its mempool"
			default:
				p.State, p.Why = Absent, p.dead
			}
		}
		found[i] = p.Found
	}
	return found, nil
}

// deserialize decodes hex, all of it.
func deserialize(text string, decode func(io.Reader) error) error {
	raw, err := hex.DecodeString(text)
	if err != nil {
		return fmt.Errorf("%w: not hex", bitcoin.ErrBadAnswer)
	}
	r := bytes.NewReader(raw)
	if err := decode(r); err != nil {
		return fmt.Errorf("%w: %w", bitcoin.ErrBadAnswer, err)
	}
	if r.Len() > 0 {
		return fmt.Errorf("%w: bytes after its end", bitcoin.ErrBadAnswer)
	}
	return nil
}
