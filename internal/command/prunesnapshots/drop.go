package prunesnapshots

import (
	"context"
	"errors"
	"fmt"
	"io"

	"ailee-recovery/internal/exit"
	"ailee-recovery/snapshot"
)

// drop describes what a plan does not keep.
type drop struct {
	bytes     int64
	counted   bool  // snapshots was counted
	snapshots int64 // complete ones that a node sees, all older than those kept
	// The times of the oldest and newest of them, in Unix milliseconds; 0 if not known.
	firstTimestampMs, lastTimestampMs uint64

	hidden      int64 // complete ones that no node sees, after the newest of these
	firstHidden int64 // offset
}

// findDrop examines everything that is not kept. It counts the snapshots at the front,
// which are dropped because they are old, and after them those that a torn line hides. If
// all is set, it counts them whatever their size.
func (p *plan) findDrop(ctx context.Context, r io.ReaderAt, checker *snapshot.Checker, all bool) error {
	p.drop.bytes = p.size - p.bytes
	at, err := p.findFront(ctx, r, p.kept[0].offset, checker, all)
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

// countLimit is how many bytes of dropped snapshots are read to count them: to read all of
// a file of many gigabytes would take longer than to prune it.
const countLimit = 256 << 20

// findFront finds the snapshots before the offset front. It counts them if all is set or if
// they are no larger than countLimit. It returns the end of the last one.
func (p *plan) findFront(ctx context.Context, r io.ReaderAt, front int64, checker *snapshot.Checker, all bool) (end int64, err error) {
	var newest, oldest snapshot.Located
	if p.drop.counted = all || front <= countLimit; p.drop.counted {
		newest, oldest, err = p.countFront(ctx, r, front)
	} else {
		newest, oldest, err = endsOfFront(r, front)
	}
	if err != nil {
		return 0, err
	}
	if newest.Size == 0 && p.drop.counted {
		return 0, nil
	}
	for _, found := range []struct {
		l  snapshot.Located
		at *uint64
	}{{oldest, &p.drop.firstTimestampMs}, {newest, &p.drop.lastTimestampMs}} {
		if found.l.Size == 0 {
			continue
		}
		report, err := checker.Check(ctx, r, found.l)
		if err != nil {
			return 0, err
		}
		*found.at = report.TimestampMs
	}
	if newest.Size == 0 {
		return front, nil
	}
	return newest.End(), nil
}

// countFront counts the snapshots before front. If a returned Size is 0, there is none.
func (p *plan) countFront(ctx context.Context, r io.ReaderAt, front int64) (newest, oldest snapshot.Located, err error) {
	for l, err := range snapshot.Backward(r, front) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return newest, oldest, err
		}
		if p.drop.snapshots == 0 {
			newest = l
		}
		oldest = l
		p.drop.snapshots++
	}
	return newest, oldest, nil
}

// endsOfFront finds the oldest and the newest snapshot before front, reading at most
// countLimit bytes for each. If a returned Size is 0, it was not found.
func endsOfFront(r io.ReaderAt, front int64) (newest, oldest snapshot.Located, err error) {
	for l, err := range snapshot.Forward(r, countLimit) {
		if err != nil {
			return newest, oldest, err
		}
		oldest = l
		break
	}
	from := front - countLimit
	for l, err := range snapshot.Backward(io.NewSectionReader(r, from, countLimit), countLimit) {
		if err != nil {
			return newest, oldest, err
		}
		newest = snapshot.Located{Offset: from + l.Offset, Size: l.Size, BodyEnd: from + l.BodyEnd}
		break
	}
	return newest, oldest, nil
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

// refuseHidden returns the error if pruning would drop snapshots that no node sees, the
// first of them at the offset first.
func (p *pruning) refuseHidden(first int64) error {
	return exit.WrongData("to drop it, use --discard-hidden; to keep everything in one file: "+exit.Command("ailee_recover_snapshots", p.File, "OUT"),
		fmt.Errorf("%s: a torn line at byte %d hides a complete snapshot, which pruning would drop", p.File, first))
}
