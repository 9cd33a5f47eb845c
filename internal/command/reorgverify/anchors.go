package reorgverify

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"slices"

	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/input"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// snapshotAnchors is the result of comparing the anchors of all snapshots of a file with
// their records. An older anchor without a record is no fault by itself: one that was never
// broadcast has none. Many without a record may mean that the database was recreated.
type snapshotAnchors struct {
	total, missing, invalid, other uint64
	first, last                    snapshotAnchor // of the anchors without a record
}

// snapshotAnchor is the anchor of a snapshot.
type snapshotAnchor struct {
	hash     string
	root     uint64 // a digest of its state root
	snapshot int64  // its number
}

// maxAnchors bounds how many anchors of the file are held in memory. Tests set it.
var maxAnchors = 1 << 17

const (
	// maxHashBytes bounds the total length of the hashes that are held.
	maxHashBytes = 16 << 20
	// lookUpTo is about how many records can be read in the time of one look-up. With more
	// than one anchor per lookUpTo records, reading all records is faster.
	lookUpTo = 32
)

var errNoRecord = errors.New("no record")

var rootSeed = maphash.MakeSeed()

// compareAnchors compares the anchors of all snapshots of the file with the records.
func (s *survey) compareAnchors(ctx context.Context, checker *snapshot.Checker, in *input.Input, db *reorgdb.DB, bar terminal.Bar) error {
	defer bar.Done()
	s.snapshots = &snapshotAnchors{}
	var held []snapshotAnchor
	size, end := 0, int64(0)
	compare := func() error {
		err := s.compareHeld(ctx, db, held)
		held, size = held[:0], 0
		return err
	}
	for at, err := range checker.Anchors(ctx, in.Section(), in.Size) {
		if err != nil {
			return err
		}
		bar.Add(at.End() - end)
		end = at.End()
		if at.Anchor == nil {
			continue
		}
		held = append(held, snapshotAnchor{at.Anchor.Hash, maphash.String(rootSeed, at.Anchor.L2StateRoot), at.Index})
		if size += len(at.Anchor.Hash); len(held) == maxAnchors || size >= maxHashBytes {
			if err := compare(); err != nil {
				return err
			}
		}
	}
	if err := compare(); err != nil {
		return err
	}
	switch c := s.snapshots; {
	case c.missing == 1:
		s.add(notRecorded, false, "1 of %d anchors of the snapshot file has no record: %s, of snapshot %d", c.total, c.first.hash, c.first.snapshot)
	case c.missing > 1:
		s.add(notRecorded, false, "%d of %d anchors of the snapshot file have no record: the first is %s, of snapshot %d, the last %s, of snapshot %d",
			c.missing, c.total, c.first.hash, c.first.snapshot, c.last.hash, c.last.snapshot)
	}
	return nil
}

// compareHeld compares the anchors that are held: it looks up each if they are few, and
// otherwise reads all records.
func (s *survey) compareHeld(ctx context.Context, db *reorgdb.DB, held []snapshotAnchor) error {
	if uint64(len(held))*lookUpTo < s.kinds[reorgdb.AnchorKind] {
		for _, a := range held {
			record, ok, err := db.Anchor(a.hash)
			if err != nil && !errors.Is(err, reorgdb.ErrUnreadable) {
				return err
			}
			s.compareAnchor(a, record, ok)
		}
		return nil
	}
	slices.SortFunc(held, func(a, b snapshotAnchor) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.snapshot, b.snapshot))
	})
	before := len(reorgdb.AnchorKey(""))
	for r, err := range db.RecordsOf(ctx, reorgdb.AnchorKind) {
		if err != nil {
			return err
		}
		for ; len(held) > 0 && held[0].hash <= string(r.Key[before:]); held = held[1:] {
			var record reorgdb.Anchor
			err := errNoRecord
			if held[0].hash == string(r.Key[before:]) {
				record, err = reorgdb.ParseAnchor(r.Value)
			}
			s.compareAnchor(held[0], record, err == nil)
		}
		if len(held) == 0 {
			return nil
		}
	}
	for _, a := range held {
		s.compareAnchor(a, reorgdb.Anchor{}, false)
	}
	return nil
}

// compareAnchor compares an anchor of the file with its record, and counts it if it has none.
func (s *survey) compareAnchor(a snapshotAnchor, record reorgdb.Anchor, recorded bool) {
	c := s.snapshots
	c.total++
	if !recorded {
		if c.missing++; c.missing == 1 || a.snapshot < c.first.snapshot {
			c.first = a
		}
		if a.snapshot > c.last.snapshot {
			c.last = a
		}
		return
	}
	if record.Status == reorgdb.InvalidatedReorg || record.Status == reorgdb.FailedOrphaned {
		c.invalid++
	}
	if maphash.String(rootSeed, record.L2StateRoot) != a.root {
		c.other++
		s.add(otherRoot, false, "the record of anchor %s has state root %q, which is not the state root of snapshot %d", a.hash, record.L2StateRoot, a.snapshot)
	}
}
