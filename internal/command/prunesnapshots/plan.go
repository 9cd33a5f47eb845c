package prunesnapshots

import (
	"context"
	"errors"
	"io"
	"slices"

	"ailee-recovery/snapshot"
)

// span is a range of the file.
type span struct{ offset, size int64 }

// plan says what is kept. The dry run and the real run share it. The file is read
// backward for it.
type plan struct {
	kept      []span // oldest first; neighbours are joined
	snapshots int64  // how many are kept
	bytes     int64  // their size
	first     int64  // the size of the oldest one
	latest    snapshot.Located
	newline   bool  // the latest one lacks its newline
	end       int64 // of the latest one; what follows is a tail
	size      int64 // of the file when it was planned

	report *snapshot.Report // of the newest valid snapshot
	valid  bool             // at least one of the kept snapshots is valid
	// latestValid says that the latest snapshot at the time of planning is valid.
	latestValid bool
	discard     int64 // offset of a dropped valid snapshot if no kept one is valid, otherwise -1
	drop        drop
}

// output returns the size of the result.
func (p *plan) output() int64 {
	if p.newline {
		return p.bytes + 1
	}
	return p.bytes
}

// newPlan plans to keep the last keep snapshots. If countAll is set, it counts the
// dropped ones, however large they are. The error wraps [snapshot.ErrNoSnapshot] if
// the file has none.
func newPlan(ctx context.Context, r io.ReaderAt, size, keep int64, judge snapshot.Judge, countAll bool) (*plan, error) {
	p := &plan{size: size, discard: -1}
	for l, err := range snapshot.Backward(r, size) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return nil, err
		}
		if p.snapshots == 0 {
			p.latest, p.end, p.newline = l, l.End(), !l.Newline()
		}
		p.snapshots++
		p.bytes += l.Size
		p.first = l.Size
		if n := len(p.kept); n > 0 && p.kept[n-1].offset == l.End() {
			p.kept[n-1].offset = l.Offset
			p.kept[n-1].size += l.Size
		} else {
			p.kept = append(p.kept, span{l.Offset, l.Size})
		}
		if p.snapshots == keep {
			break
		}
	}
	if p.snapshots == 0 {
		return nil, snapshot.ErrNoSnapshot
	}
	slices.Reverse(p.kept)
	if err := p.findDrop(ctx, r, judge.Checker, countAll); err != nil {
		return nil, err
	}
	return p, p.findValid(ctx, r, judge)
}

// findValid finds the newest valid snapshot, which is nearly always the latest.
func (p *plan) findValid(ctx context.Context, r io.ReaderAt, judge snapshot.Judge) error {
	newest, err := judge.NewestValid(ctx, r, p.end)
	switch {
	case errors.Is(err, snapshot.ErrNoSnapshot):
		return nil
	case err != nil:
		return err
	}
	p.report, p.latestValid = newest, newest.Offset == p.latest.Offset
	if newest.Offset >= p.kept[0].offset {
		p.valid = true
	} else {
		p.discard = newest.Offset
	}
	return nil
}
