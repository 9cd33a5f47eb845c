package diffsnapshots

import (
	"context"
	"iter"

	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/snapshot"
)

// A and B, as array indices.
const (
	sideA = iota
	sideB
)

// numbers counts the differences in one section.
type numbers struct {
	added, removed, changed uint64
	amounts                 [2]snapshottool.Sum // of the records that differ, in A and in B
}

// total returns how many records differ.
func (n *numbers) total() uint64 { return n.added + n.removed + n.changed }

// compare compares one section. It goes through the lines of both sides, which are sorted in
// the same order, skips those that are in both, and passes on the others. Two lines with the
// same key are a record that changed.
func (d *diff) compare(ctx context.Context, section snapshot.Section) (err error) {
	var cursors [2]*cursor
	for i, s := range d.sides {
		cursors[i] = start(ctx, func(ctx context.Context) iter.Seq2[[]byte, error] { return s.lines(ctx, section) })
		defer cursors[i].stop()
	}
	one := single{diff: d, section: section}
	a, err := d.next(cursors, sideA)
	if err != nil {
		return err
	}
	b, err := d.next(cursors, sideB)
	for err == nil && (a != nil || b != nil) {
		which := 0
		switch {
		case b == nil:
			which = -1
		case a == nil:
			which = 1
		default:
			which = order(a, b, section)
		}
		if which < 0 {
			err = one.add(sideA, a)
		} else if which > 0 {
			err = one.add(sideB, b)
		}
		if err == nil && which <= 0 {
			a, err = d.next(cursors, sideA)
		}
		if err == nil && which >= 0 {
			b, err = d.next(cursors, sideB)
		}
	}
	if err != nil {
		return err
	}
	return one.flush()
}

func (d *diff) next(cursors [2]*cursor, i int) ([]byte, error) {
	line, err := cursors[i].next()
	return line, d.sides[i].explain(err)
}

// single holds a line that only one side has, until it is known whether the other side has
// another line with the same key.
type single struct {
	*diff
	section snapshot.Section
	held    bool
	side    int
	line    []byte
}

// add takes the next line that only one side has.
func (o *single) add(side int, line []byte) error {
	if o.held && o.side != side && string(keyOf(o.line, o.section)) == string(keyOf(line, o.section)) {
		o.held = false
		if side == sideA {
			return o.differs(o.section, line, o.line)
		}
		return o.differs(o.section, o.line, line)
	}
	err := o.flush()
	o.held, o.side, o.line = true, side, append(o.line[:0], line...)
	return err
}

// flush passes on the held line, if any.
func (o *single) flush() error {
	if !o.held {
		return nil
	}
	o.held = false
	if o.side == sideA {
		return o.differs(o.section, o.line, nil)
	}
	return o.differs(o.section, nil, o.line)
}

// amount returns the amount of a record that is summed up; a task has none.
func amount(record any) uint64 {
	switch v := record.(type) {
	case snapshot.Balance:
		return v.Balance
	case snapshot.Escrow:
		return v.Amount
	case snapshot.PegIn:
		return v.BtcAmount
	case snapshot.PegOut:
		return v.AileeBurnAmount
	}
	return 0
}
