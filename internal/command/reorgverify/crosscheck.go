package reorgverify

import (
	"context"
	"errors"

	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/input"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// crossCheck compares a snapshot file with the database. For the latest snapshot it checks
// the record of its anchor, and of each anchor that its peg-outs name. Then it compares the
// anchors of all snapshots.
func (s *survey) crossCheck(ctx context.Context, o Options, db *reorgdb.DB, bar func(size int64) terminal.Bar) error {
	in, err := input.OpenRegular(ctx, o.Snapshot)
	if err != nil {
		return err
	}
	defer in.Close()
	r := in.Section()
	latest, err := snapshot.Latest(r, in.Size)
	if err != nil {
		return snapshottool.Reader{}.Unless(err, in)
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
	return s.compareAnchors(ctx, checker, in, db, bar(in.Size))
}

// named checks the record of an anchor that a snapshot names.
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
