package reorgverify

import (
	"context"
	"time"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/reorgdb"
)

// onChain is the result of comparing with a Bitcoin node.
type onChain struct {
	tip             int64
	compared        uint64 // block hashes
	different       uint64 // block hashes, those at counted heights included
	lowestDifferent int64  // height
	confirmed       int    // anchors
	proven          int
}

// compareChain compares what is stored with the node's active chain: the block hashes, and
// the confirmed anchors with their transactions.
func (s *survey) compareChain(ctx context.Context, o Options, c *bitcoin.Client, db *reorgdb.DB) error {
	info, err := c.Tip(ctx)
	if err != nil {
		return err
	}
	if behind := info.Behind(time.Now()); behind != "" {
		s.add(noAnswer, false, "the Bitcoin node may be behind the chain: %s", behind)
	}
	s.chain = &onChain{tip: info.Blocks}
	if err := s.compareBlocks(ctx, c, db); err != nil {
		return err
	}
	return s.proveAnchors(ctx, o, c, db)
}

// compareBlocks compares the stored block hashes.
func (s *survey) compareBlocks(ctx context.Context, c *bitcoin.Client, db *reorgdb.DB) error {
	var wrong wrongRange
	err := reorgtool.CompareBlocks(ctx, c, db, s.chain.tip, func(n int, different []reorgtool.Different, counted []reorgtool.Counted) error {
		s.chain.compared += uint64(n)
		if len(different) > 0 && !wrong.any {
			s.chain.lowestDifferent = int64(different[0].Height)
		}
		s.chain.different += uint64(len(different) + len(counted))
		for _, d := range different {
			if !wrong.extend(d.Height) {
				wrong.report(s)
				wrong = wrongRange{first: d, to: d.Height, any: true}
			}
		}
		for _, r := range reorgtool.CountedRanges(counted) {
			s.add(countedHeights, true, "%s: %s", r, reorgtool.CountedWhy)
		}
		return nil
	})
	if err != nil {
		return err
	}
	wrong.report(s)
	if above := s.blocks - s.chain.compared; above > 0 {
		s.add(noAnswer, false, "%d block hash(es) up to height %d are above the Bitcoin node's tip at %d", above, s.highest, s.chain.tip)
	}
	return nil
}

// wrongRange is a range of consecutive heights whose hashes are not the chain's. The zero
// value is no range.
type wrongRange struct {
	first reorgtool.Different
	to    uint64
	any   bool
}

// extend adds a height to the range if it follows on it, and reports whether it did.
func (w *wrongRange) extend(height uint64) bool {
	if !w.any || height != w.to+1 {
		return false
	}
	w.to = height
	return true
}

// report adds the range as one finding, if there is one.
func (w *wrongRange) report(s *survey) {
	switch {
	case !w.any:
	case w.to == w.first.Height:
		s.add(wrongHash, true, "the block hash at height %d is %q, but %s in the active chain", w.to, w.first.Hash, w.first.Chain)
	default:
		s.add(wrongHash, true, "the block hashes at heights %d to %d are not those of the active chain: the first is %q, but %s in the active chain",
			w.first.Height, w.to, w.first.Hash, w.first.Chain)
	}
}

// proveAnchors looks for the transaction of every confirmed anchor.
func (s *survey) proveAnchors(ctx context.Context, o Options, c *bitcoin.Client, db *reorgdb.DB) error {
	return reorgtool.ProveAnchors(ctx, c, db, o.Find, func(_ reorgdb.Anchor, p reorgtool.Proof) {
		s.chain.confirmed++
		switch p.Kind {
		case reorgtool.Proven:
			s.chain.proven++
		case reorgtool.NotTold:
			s.add(noAnswer, false, "%s", p.Text)
		case reorgtool.NotCommitted:
			s.add(notCommitted, true, "%s", p.Text)
		case reorgtool.OtherHeight, reorgtool.OtherTx:
			s.add(wrongHeight, true, "%s", p.Text)
		default:
			s.add(notAnchored, true, "%s", p.Text)
		}
	})
}
