package prunesnapshots

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/input"
	"ailee-recovery/internal/swap"
	"ailee-recovery/snapshot"
)

// inPlace replaces the file. Before that, it completes what killed runs left.
func (p *pruning) inPlace(ctx context.Context) (err error) {
	r, err := swap.Lock(p.File, p.Watch, p.out.Warn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	killed := p.notesOfKilled(ctx)
	if err := r.Finish(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	for _, n := range killed {
		p.writeNote(n)
	}
	c := &content{pruning: p}
	if err := r.Replace(ctx, c); err != nil {
		return err
	}
	p.carried += r.Carried
	c.noted.DroppedBytes = p.plan.drop.bytes
	p.writeNote(c.noted)
	return p.report()
}

// warnOfEarlierRuns warns of what the real run would complete first.
func (p *pruning) warnOfEarlierRuns() error {
	names, err := swap.Left(p.File)
	for _, name := range names {
		p.out.Warn("an earlier run was killed and left %s: the next one completes it first", name)
	}
	return err
}

// content is the part of the file that is kept, and what is appended to the file meanwhile:
// a [swap.Content].
type content struct {
	*pruning
	noted   note
	sum     uint64 // of the part that is kept, when it was planned
	seed    maphash.Seed
	pieces  []swap.Piece
	written int64
}

// Plan implements [swap.Content].
func (c *content) Plan(ctx context.Context, old *os.File) (bool, error) {
	info, err := old.Stat()
	if err != nil {
		return false, err
	}
	c.in = input.Regular(ctx, old, info.Size())
	c.carried, c.pieces, c.written = 0, nil, 0
	if c.noted, err = c.makePlan(ctx); err != nil {
		return false, err
	}
	if c.plan.drop.bytes == 0 && !c.plan.newline {
		return false, nil
	}
	for _, s := range c.plan.kept {
		c.add(s)
	}
	c.seed = maphash.MakeSeed()
	c.sum, err = c.digest(ctx, old, func(p swap.Piece) int64 { return p.Offset })
	return true, err
}

func (c *content) add(s span) {
	c.pieces = append(c.pieces, swap.Piece{Offset: s.offset, Size: s.size, At: c.written})
	c.written += s.size
}

// digest returns the digest of the pieces in a file, each at the offset that at returns.
func (c *content) digest(ctx context.Context, f *os.File, at func(swap.Piece) int64) (uint64, error) {
	var hash maphash.Hash
	hash.SetSeed(c.seed)
	buf := make([]byte, 1<<20)
	for _, p := range c.pieces {
		for done := int64(0); done < p.Size; {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			n, err := f.ReadAt(buf[:min(int64(len(buf)), p.Size-done)], at(p)+done)
			hash.Write(buf[:n])
			if done += int64(n); errors.Is(err, io.EOF) && done < p.Size {
				return 0, fmt.Errorf("%s: %w", f.Name(), swap.ErrChanged)
			} else if err != nil && !errors.Is(err, io.EOF) {
				return 0, err
			}
		}
	}
	return hash.Sum64(), nil
}

// Copy implements [swap.Content].
func (c *content) Copy(ctx context.Context, to, _ *os.File) error {
	err := c.write(ctx, to)
	if errors.Is(err, durable.ErrShort) {
		return fmt.Errorf("%s: %w", c.File, swap.ErrChanged)
	}
	if err != nil {
		return err
	}
	sum, err := c.digest(ctx, to, func(p swap.Piece) int64 { return p.At })
	if err != nil {
		return err
	}
	if sum != c.sum {
		return fmt.Errorf("%s: %w", c.File, swap.ErrChanged)
	}
	return c.asPlanned(ctx, to)
}

// asPlanned makes sure that the copy has the planned number of snapshots and nothing else:
// the plan and the digest read the file at different times.
func (c *content) asPlanned(ctx context.Context, to *os.File) error {
	count, end := int64(0), int64(0)
	for l, err := range snapshot.Forward(to, c.plan.output()) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if l.Offset != end {
			break
		}
		count, end = count+1, l.End()
	}
	if count != c.plan.snapshots || end != c.plan.output() {
		return fmt.Errorf("%s: %w", c.File, swap.ErrChanged)
	}
	if c.plan.newline {
		c.written++
	}
	return nil
}

// Check implements [swap.Content].
func (c *content) Check(ctx context.Context, to, _ *os.File) error { return c.check(ctx, to) }

// Pieces implements [swap.Content].
func (c *content) Pieces() []swap.Piece { return c.pieces }

// Tail implements [swap.Content]. It copies complete snapshots, and drops the bytes between
// them.
func (c *content) Tail(ctx context.Context, to, old *os.File, size int64) (int64, error) {
	from, before := c.plan.end, c.written
	if size < from {
		return 0, fmt.Errorf("%s: %w", c.File, swap.ErrChanged)
	}
	tail := io.NewSectionReader(old, from, size-from)
	// Snapshots that follow each other are copied at once: with one call for each, a node
	// that keeps appending small ones would be faster.
	var run span
	flush := func() error {
		if run.size == 0 {
			return nil
		}
		err := durable.CopyRange(ctx, to, old, run.offset, run.size, func(int64) {})
		c.add(run)
		run = span{}
		return err
	}
	for l, err := range snapshot.Scan(tail, tail.Size()) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return 0, err
		}
		if l.Hidden && c.DiscardHidden {
			continue
		}
		if l.Hidden {
			return 0, c.refuseHidden(from + l.Offset)
		}
		l.Offset += from
		l.BodyEnd += from
		if l.Offset != run.offset+run.size {
			if err := flush(); err != nil {
				return 0, err
			}
			run.offset = l.Offset
		}
		run.size += l.Size
		c.plan.latest, c.plan.newline = l, !l.Newline()
		c.plan.end = l.End()
		c.plan.bytes += l.Size
		c.plan.snapshots++
		c.carried += l.Size
		if c.plan.newline {
			if err := flush(); err != nil {
				return 0, err
			}
			if _, err := to.WriteString("\n"); err != nil {
				return 0, exit.Fail("", err)
			}
			c.written++
		}
	}
	if err := flush(); err != nil {
		return 0, err
	}
	c.plan.size = size
	c.plan.drop.bytes = size - c.plan.bytes
	return c.written - before, nil
}
