package reorgverify

import (
	"context"
	"errors"

	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/input"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// crossCheck compares a snapshot file with the database: for the latest snapshot the
// record of its anchor, and of each anchor that its peg-outs name, and then the anchors of
// all.
func (s *survey) crossCheck(ctx context.Context, o Options, db *reorgdb.DB, bar func(size int64) terminal.Bar) error {
	in, err := input.OpenRegular(ctx, o.Snapshot)
	if err != nil {
		return err
	}
	defer in.Close()
	r := in.Section()
	latest, err := snapshot.Latest(r, in.Size)
	if err != nil {
		return err
	}
	checker := snapshot.NewChecker(o.Memory())
	report, err := checker.Check(ctx, r, latest)
	if err != nil {
		return err
	}
	if report.Anchor == nil {
		s.add(noSnapshot, true, "%s: the latest snapshot has no anchor", o.Snapshot)
	} else if err := s.named(db, report.Anchor.Hash, "the latest snapshot's anchor"); err != nil {
		return err
	}
	for rec, err := range checker.Records(ctx, r, report, snapshot.PegOuts) {
		if err != nil {
			return err
		}
		pegOut := rec.Value().(snapshot.PegOut)
		if pegOut.AnchorCommitmentHash == "" {
			s.add(missingAnchor, true, "peg-out %s names no anchor", pegOut.PegID)
			continue
		}
		if err := s.named(db, pegOut.AnchorCommitmentHash, "peg-out "+pegOut.PegID+" names an anchor that"); err != nil {
			return err
		}
	}
	return s.compareAnchors(ctx, o, checker, in, db, bar(in.Size))
}

// snapshotAnchors is what comparing the anchors of all snapshots of a file shows. An
// older one without a record is no fault by itself: what was never broadcast has none.
// Many without one may be a database that was made anew.
type snapshotAnchors struct {
	total, missing, invalid, other uint64
	first, last                    snapshot.Anchored // of those without a record
}

// compareAnchors looks up the anchor of every snapshot of the file.
func (s *survey) compareAnchors(ctx context.Context, o Options, checker *snapshot.Checker, in *input.Input, db *reorgdb.DB, bar terminal.Bar) error {
	defer bar.Done()
	c := &snapshotAnchors{}
	s.snapshots = c
	end := int64(0)
	for at, err := range checker.Anchors(ctx, in.Section(), in.Size) {
		if err != nil {
			return err
		}
		bar.Add(at.End() - end)
		end = at.End()
		if at.Anchor == nil {
			continue
		}
		c.total++
		record, ok, err := db.Anchor(at.Anchor.Hash)
		switch {
		case errors.Is(err, reorgdb.ErrUnreadable), err == nil && !ok:
			if c.missing++; c.missing == 1 {
				c.first = at
			}
			c.last = at
		case err != nil:
			return err
		case record.Status == reorgdb.InvalidatedReorg, record.Status == reorgdb.FailedOrphaned:
			c.invalid++
		}
		if ok && record.L2StateRoot != at.Anchor.L2StateRoot {
			c.other++
			s.add(otherRoot, false, "the record of the anchor %s has the state root %q, snapshot %d has %q", at.Anchor.Hash, record.L2StateRoot, at.Index, at.Anchor.L2StateRoot)
		}
	}
	switch {
	case c.missing == 1:
		s.add(notRecorded, false, "1 of %d anchors of the snapshot file has no record: %s, of snapshot %d", c.total, c.first.Anchor.Hash, c.first.Index)
	case c.missing > 1:
		s.add(notRecorded, false, "%d of %d anchors of the snapshot file have no record: the first is %s, of snapshot %d, the last %s, of snapshot %d",
			c.missing, c.total, c.first.Anchor.Hash, c.first.Index, c.last.Anchor.Hash, c.last.Index)
	}
	return nil
}

// named looks up an anchor that a snapshot names.
func (s *survey) named(db *reorgdb.DB, hash, who string) error {
	a, ok, err := db.Anchor(hash)
	switch {
	case errors.Is(err, reorgdb.ErrUnreadable), err == nil && !ok:
		s.add(missingAnchor, true, "%s has no record: %s", who, hash)
	case err != nil:
		return err
	case a.Status == reorgdb.InvalidatedReorg, a.Status == reorgdb.FailedOrphaned:
		s.add(invalidated, true, "%s is %s: %s", who, a.Status, hash)
	}
	return nil
}
