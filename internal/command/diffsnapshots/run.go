package diffsnapshots

import (
	"context"
	"errors"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/snapshot"
)

// Run compares. The error carries the exit code.
func Run(ctx context.Context, o Options, out *cli.IO) error {
	out.Buffer()
	d := &diff{Options: o, out: out, memory: o.Memory()}
	err := d.run(ctx)
	var known *exit.Error
	if err != nil && ctx.Err() == nil && !errors.As(err, &known) {
		return exit.Fail(durable.Hint(err), err)
	}
	return err
}

// diff is one run.
type diff struct {
	Options
	out    *cli.IO
	memory *snapshot.Memory
	sides  [2]*side

	numbers [len(snapshot.Sections)]numbers
}

func (d *diff) run(ctx context.Context) error {
	for i, arg := range []string{d.A, d.B} {
		s := newSide(arg, d.memory)
		if err := s.open(ctx, d.sides[sideA]); err != nil {
			return err
		}
		defer s.close()
		d.sides[i] = s
	}
	a, b := d.sides[sideA], d.sides[sideB]
	var which [2]snapshot.Located
	var err error
	if a.index == 0 && b.index == 0 {
		p, err := d.pair(ctx)
		if err != nil {
			return err
		}
		if err := d.sayPairs(p); err != nil {
			return err
		}
		if p.different == 0 {
			return d.finish(endDocument{}, false)
		}
		for i, e := range p.first {
			which[i], d.sides[i].index = e.Located, e.Index
		}
	} else {
		for i, s := range d.sides {
			if which[i], err = s.find(ctx); err != nil {
				return err
			}
		}
	}
	for i, s := range d.sides {
		if err := s.check(ctx, which[i]); err != nil {
			return err
		}
	}
	return d.snapshots(ctx)
}

// snapshots compares the records of the two snapshots.
func (d *diff) snapshots(ctx context.Context) error {
	if err := d.head(); err != nil {
		return err
	}
	different := uint64(0)
	for _, section := range d.Sections {
		if err := d.compare(ctx, section); err != nil {
			return err
		}
		different += d.numbers[section].total()
	}
	// The root depends on the order of records that repeat a key.
	roots := [2]string{d.sides[sideA].report.Root, d.sides[sideB].report.Root}
	reordered := different == 0 && roots[0] != roots[1] && roots[0] != "" && roots[1] != "" && len(d.Sections) == len(snapshot.Sections)
	return d.endSnapshots(different, reordered)
}
