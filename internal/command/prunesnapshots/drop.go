package prunesnapshots

import (
	"context"
	"errors"
	"fmt"
	"io"

	"ailee-recovery/internal/exit"
	"ailee-recovery/snapshot"
)

// drop is what a plan does not keep.
type drop struct {
	bytes     int64
	snapshots int64 // complete ones that a node sees, all older than those that are kept
	// The times of the oldest and newest of them, in Unix milliseconds.
	firstTimestampMs, lastTimestampMs uint64

	hidden      int64 // complete ones that no node sees, after the newest of those
	firstHidden int64 // offset
}

// findDrop looks through all that is not kept: the snapshots at the front, which are
// dropped because they are old, are counted, and so are those that a torn line hides
// after them.
func (p *plan) findDrop(ctx context.Context, r io.ReaderAt, checker *snapshot.Checker) error {
	p.drop.bytes = p.size - p.bytes
	at, err := p.countFront(ctx, r, p.kept[0].offset, checker)
	if err != nil {
		return err
	}
	for _, s := range p.kept {
		if err := p.findHidden(ctx, r, at, s.offset); err != nil {
			return err
		}
		at = s.offset + s.size
	}
	return p.findHidden(ctx, r, at, p.size)
}

// countFront counts the snapshots before the offset front, and returns where they end.
func (p *plan) countFront(ctx context.Context, r io.ReaderAt, front int64, checker *snapshot.Checker) (end int64, err error) {
	var newest, oldest snapshot.Located
	for l, err := range snapshot.Backward(r, front) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return 0, err
		}
		if p.drop.snapshots == 0 {
			newest = l
		}
		oldest = l
		p.drop.snapshots++
	}
	if p.drop.snapshots == 0 {
		return 0, nil
	}
	first, err := checker.Check(ctx, r, oldest)
	if err != nil {
		return 0, err
	}
	last := first
	if newest != oldest {
		if last, err = checker.Check(ctx, r, newest); err != nil {
			return 0, err
		}
	}
	p.drop.firstTimestampMs, p.drop.lastTimestampMs = first.TimestampMs, last.TimestampMs
	return newest.End(), nil
}

// findHidden looks for hidden snapshots in a gap between complete ones.
func (p *plan) findHidden(ctx context.Context, r io.ReaderAt, from, to int64) error {
	for l, err := range snapshot.Hidden(r, from, to, p.size) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if p.drop.hidden == 0 {
			p.drop.firstHidden = l.Offset
		}
		p.drop.hidden++
	}
	return nil
}

// refuseHidden is the outcome when pruning would drop snapshots that no node sees, the
// first at the offset first.
func (p *pruning) refuseHidden(first int64) error {
	return exit.WrongData("--discard-hidden drops it; to get it out first: "+exit.Command("ailee_extract_snapshots", "--salvage", p.File, "DIR"),
		fmt.Errorf("%s: a torn line at byte %d hides a complete snapshot, which pruning would drop", p.File, first))
}
