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

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/workers"
)

const (
	// clockSlack is how far a block's time may be behind the clock, in seconds: what
	// nodes allow it to be ahead.
	clockSlack = 2 * 60 * 60
	// medianLag is by how many blocks a median time is behind: it is reached when the
	// sixth of eleven blocks has reached the time.
	medianLag = 5
)

// span is a range of heights, both ends included.
type span struct{ first, last int64 }

// scan looks through blocks for all that was not found otherwise, each block once.
func (s *search) scan(ctx context.Context) error {
	s.medians = map[int]int64{}
	var spans []span
	missing := map[string][]*place{}
	for i := range s.places {
		p := &s.places[i]
		if p.found() || p.covered {
			continue
		}
		first, err := s.firstSince(ctx, p.Since)
		if err != nil {
			return err
		}
		last := min(first+s.limit-1, s.info.Blocks)
		p.scanned = span{first, last}
		p.covered = last == s.info.Blocks && (p.Since > 0 || first == 0)
		if !p.covered {
			p.gap = fmt.Sprintf("the node has no complete transaction index, and it is not in the %d block(s) from height %d on", last-first+1, first)
		}
		if first <= last {
			spans = append(spans, p.scanned)
		}
		missing[p.TxID] = append(missing[p.TxID], p)
	}
	for _, sp := range merged(spans) {
		var hashes []string
		err := s.client.BlockHashes(ctx, sp.first, sp.last, func(_ int64, hash string) error {
			hashes = append(hashes, hash)
			return nil
		})
		if err != nil {
			return err
		}
		if err := s.scanBlocks(ctx, sp.first, hashes, missing); err != nil {
			return err
		}
	}
	return nil
}

// scanBlocks takes what it finds out of missing, and ends when nothing is left.
func (s *search) scanBlocks(ctx context.Context, first int64, hashes []string, missing map[string][]*place) error {
	var mu sync.Mutex
	group, ctx := workers.WithContext(ctx)
	group.SetLimit(inFlight)
	left := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(missing)
	}
	for i, hash := range hashes {
		if left() == 0 || ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			ids, err := s.txids(ctx, hash)
			if err != nil && !unanswered(err) {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				// A block that was pruned, mostly.
				s.lacks(first + int64(i))
				return nil
			}
			for _, id := range ids {
				for _, p := range missing[id] {
					if err := s.inBlock(ctx, p, hash); err != nil {
						return err
					}
					if !p.found() {
						p.covered, p.gap = false, "the node does not give it out"
					}
				}
				delete(missing, id)
			}
			return nil
		})
	}
	return group.Wait()
}

// lacks notes that a block could not be looked through.
func (s *search) lacks(height int64) {
	for i := range s.places {
		if p := &s.places[i]; p.scanned.first <= height && height <= p.scanned.last {
			p.covered, p.gap = false, fmt.Sprintf("the node does not give out the block at height %d", height)
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

// firstSince returns the lowest height at which a block made at or after the time
// can be. Without a time it is where the latest blocks begin that may be looked
// through.
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

// merged returns the spans in order, those that touch as one. Their ends are in the
// order of their beginnings: all have the same limit.
func merged(spans []span) []span {
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

// conclude judges what was not found.
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
				p.Why = "the chain changed meanwhile"
			case s.info.InitialBlockDownload || s.info.Headers > s.info.Blocks:
				p.Why = "the node is still loading blocks"
			case tip.Time < p.Since:
				p.Why = "the node has no block since it was sent"
			case !p.covered:
				p.Why = p.gap
			case !p.noMempool:
				p.Why = "the node does not tell what is in its mempool"
			default:
				p.State = Absent
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
		return fmt.Errorf("%w: no hex", bitcoin.ErrBadAnswer)
	}
	r := bytes.NewReader(raw)
	if err := decode(r); err != nil {
		return fmt.Errorf("%w: %w", bitcoin.ErrBadAnswer, err)
	}
	if r.Len() > 0 {
		return fmt.Errorf("%w: bytes behind its end", bitcoin.ErrBadAnswer)
	}
	return nil
}
