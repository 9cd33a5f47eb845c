package diffsnapshots

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/internal/spill"
	"ailee-recovery/snapshot"
)

// pairs counts the snapshots of two files that belong together.
type pairs struct {
	byTime       bool // paired by time; otherwise by number
	count        int64
	different    int64    // pairs with different roots
	onlyA, onlyB int64    // snapshots that the other file has no counterpart for
	first        [2]entry // the first pair with different roots
}

// entry is a snapshot of a file. Encoded entries sort by time, and then in file order.
type entry struct {
	snapshot.Located
	timestampMs uint64
	root        [rootSize]byte
}

const (
	rootSize  = 32
	entrySize = 5*8 + rootSize
)

func (e *entry) append(dst []byte) []byte {
	for _, n := range []uint64{e.timestampMs, uint64(e.Index), uint64(e.Offset), uint64(e.Size), uint64(e.BodyEnd)} {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	return append(dst, e.root[:]...)
}

func parseEntry(record []byte) (e entry) {
	n := func(i int) uint64 { return binary.BigEndian.Uint64(record[8*i:]) }
	e.timestampMs = n(0)
	e.Index, e.Offset, e.Size, e.BodyEnd = int64(n(1)), int64(n(2)), int64(n(3)), int64(n(4))
	copy(e.root[:], record[5*8:])
	return e
}

// newFile makes a temporary file.
func newFile() (*os.File, error) { return durable.Unnamed(filepath.Join(os.TempDir(), "diff")) }

// list has the snapshots of a file, verified.
type list struct {
	inOrder *spill.Store // in file order
	byTime  *spill.Sorter
}

func (l *list) close() {
	_ = l.inOrder.Close()
	_ = l.byTime.Close()
}

// list verifies all snapshots of a file, on all cores.
func (d *diff) list(ctx context.Context, s *side) (*list, error) {
	l := &list{spill.NewStore(entrySize, newFile), spill.NewSorter(entrySize, newFile)}
	bar := terminal.BytesBar(d.out.Err, !d.out.Quiet(), "reading "+terminal.Text(s.arg), s.in.Size)
	defer bar.Done()
	var record []byte
	for report, err := range snapshottool.Reports(ctx, s.r, 0, s.in.Size, d.memory) {
		var large *snapshot.SectionTooLargeError
		if errors.As(err, &large) {
			return l, exit.Fail("run it again with more memory: --max-memory 1GiB, or compare two named snapshots, which needs no root: "+
				exit.Command(Name, d.sides[sideA].path+"@latest", d.sides[sideB].path+"@latest"), fmt.Errorf("%s: %w", s.path, err))
		}
		if err != nil {
			return l, s.explain(err)
		}
		e := entry{Located: report.Located, timestampMs: report.TimestampMs}
		e.Index = l.inOrder.Len() + 1
		if _, err := hex.Decode(e.root[:], []byte(report.Root)); err != nil {
			return l, err
		}
		record = e.append(record[:0])
		if err := l.inOrder.Add(record); err != nil {
			return l, err
		}
		if err := l.byTime.Add(record); err != nil {
			return l, err
		}
		bar.Add(report.Size)
	}
	if l.inOrder.Len() == 0 {
		return l, s.explain(snapshot.ErrNoSnapshot)
	}
	return l, nil
}

// pair finds out which snapshots of A and B belong together, and which of these pairs differ.
func (d *diff) pair(ctx context.Context) (p pairs, err error) {
	var lists [2]*list
	for i, s := range d.sides {
		l, err := d.list(ctx, s)
		defer l.close()
		if err != nil {
			return p, err
		}
		lists[i] = l
	}
	a, b := lists[0], lists[1]
	p = pairs{byTime: true}
	err = p.join(a.byTime.Sorted(), b.byTime.Sorted(), func(a, b []byte) int { return bytes.Compare(a[:8], b[:8]) })
	if err != nil || p.count > 0 {
		return p, err
	}
	p = pairs{}
	err = p.join(inOrder(a.inOrder), inOrder(b.inOrder), func(a, b []byte) int { return bytes.Compare(a[8:16], b[8:16]) })
	return p, err
}

// inOrder yields the records of a store.
func inOrder(s *spill.Store) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for r := s.From(0, s.Len()); ; {
			record, err := r.Next()
			if record == nil && err == nil {
				return
			}
			if !yield(record, err) || err != nil {
				return
			}
		}
	}
}

// join pairs the entries that two lists have in common. Both must be sorted in the given
// order.
func (p *pairs) join(listA, listB iter.Seq2[[]byte, error], order func(a, b []byte) int) error {
	nextA, stopA := iter.Pull2(listA)
	defer stopA()
	nextB, stopB := iter.Pull2(listB)
	defer stopB()
	a, err, moreA := nextA()
	if err != nil {
		return err
	}
	b, err, moreB := nextB()
	for err == nil && (moreA || moreB) {
		which := 0
		switch {
		case !moreB:
			which = -1
		case !moreA:
			which = 1
		default:
			which = order(a, b)
		}
		switch {
		case which < 0:
			p.onlyA++
		case which > 0:
			p.onlyB++
		default:
			p.add(a, b)
		}
		if which <= 0 {
			if a, err, moreA = nextA(); err != nil {
				return err
			}
		}
		if which >= 0 {
			b, err, moreB = nextB()
		}
	}
	return err
}

func (p *pairs) add(a, b []byte) {
	p.count++
	if bytes.Equal(a[5*8:], b[5*8:]) {
		return
	}
	if p.different++; p.different == 1 {
		p.first = [2]entry{parseEntry(a), parseEntry(b)}
	}
}
