package recoversnapshots

import (
	"context"
	"encoding/binary"

	"ailee-recovery/internal/spill"
	"ailee-recovery/snapshot"
)

// cursor iterates over the records of a source.
type cursor struct {
	source int
	number int64 // of the next record; end if there is none
	end    int64
	next   record
	// firstNumber is the number of the first record with the same bytes: number itself, or less.
	firstNumber int64
	// others are the numbers of the first record with the same bytes in each other source, if
	// next is the first of all.
	others []int64

	records           *spill.Reader
	known             pairs
	knownAs, otherOne [2]int64 // the next pair of known and of otherPairs
	otherPairs        pairs
}

// pairs reads pairs of numbers.
type pairs struct{ *spill.Reader }

// next returns the next pair, or {-1, -1} at the end.
func (p pairs) next() ([2]int64, error) {
	rec, err := p.Next()
	if err != nil || rec == nil {
		return [2]int64{-1, -1}, err
	}
	return [2]int64{int64(binary.BigEndian.Uint64(rec)), int64(binary.BigEndian.Uint64(rec[numberSize:]))}, nil
}

// pairsFrom reads the pairs of a store, starting at the first pair whose first number is at
// least number.
func pairsFrom(s *spill.Store, number int64) (pairs, error) {
	at, err := s.Find(binary.BigEndian.AppendUint64(nil, uint64(number)))
	return pairs{s.From(at, s.Len())}, err
}

func (p *plan) cursors() (all []*cursor, err error) {
	for i, s := range p.sources {
		c := &cursor{source: i, number: s.first - 1, end: s.end, records: p.records.From(s.first, s.end)}
		if c.known, err = pairsFrom(p.known, s.first); err != nil {
			return nil, err
		}
		if c.otherPairs, err = pairsFrom(p.others, s.first); err != nil {
			return nil, err
		}
		if c.knownAs, err = c.known.next(); err != nil {
			return nil, err
		}
		if c.otherOne, err = c.otherPairs.next(); err != nil {
			return nil, err
		}
		if err := c.advance(); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// advance moves to the next record.
func (c *cursor) advance() error {
	c.number++
	c.others = c.others[:0]
	rec, err := c.records.Next()
	if err != nil || rec == nil {
		return err
	}
	c.next, c.firstNumber = parseRecord(rec), c.number
	if c.knownAs[0] == c.number {
		c.firstNumber = c.knownAs[1]
		c.knownAs, err = c.known.next()
	}
	for err == nil && c.otherOne[0] == c.number {
		c.others = append(c.others, c.otherOne[1])
		c.otherOne, err = c.otherPairs.next()
	}
	return err
}

func (c *cursor) done() bool { return c.number >= c.end }

// isFirst reports whether no earlier record has the bytes of the next one.
func (c *cursor) isFirst() bool { return !c.done() && c.firstNumber == c.number }

// merge puts the records of all sources into one order and plans to copy them. The first
// record of each snapshot represents it, and is taken when no source has anything left
// before that snapshot. If there is no such snapshot, the sources contradict each other, and
// the source named first decides. Its next record is always a first record: an earlier record
// of the same snapshot would be in a source that is done, or before it in this source.
func (p *plan) merge(ctx context.Context) error {
	all, err := p.cursors()
	if err != nil {
		return err
	}
	earlier := snapshot.AnchorSet{}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.passKnown(all); err != nil {
			return err
		}
		c := p.pick(all)
		if c == nil {
			return p.flush()
		}
		if err := p.take(ctx, taken{c.source, c.next}, earlier); err != nil {
			return err
		}
		if err := c.advance(); err != nil {
			return err
		}
	}
}

// passKnown skips the records of snapshots that have already been taken or rejected.
func (p *plan) passKnown(all []*cursor) error {
	for _, c := range all {
		for !c.done() && c.firstNumber < c.number && all[p.sourceOf(c.firstNumber)].number > c.firstNumber {
			s := p.sources[c.source]
			s.known++
			s.knownBytes += c.next.size()
			if err := c.advance(); err != nil {
				return err
			}
		}
	}
	return nil
}

// pick returns the cursor whose record comes next, or nil if all are done.
func (p *plan) pick(all []*cursor) *cursor {
	var best, first *cursor
	for _, c := range all {
		if first == nil && !c.done() {
			first = c
		}
		if c.isFirst() && (best == nil || c.next.time < best.next.time) && p.ready(all, c) {
			best = c
		}
	}
	if best == nil {
		return first
	}
	return best
}

// ready reports whether no other source has anything left before the cursor's next snapshot.
func (p *plan) ready(all []*cursor, c *cursor) bool {
	for _, number := range c.others {
		if all[p.sourceOf(number)].number < number {
			return false
		}
	}
	return true
}

// take plans to copy a snapshot, if it is valid after the ones before it.
func (p *plan) take(ctx context.Context, t taken, earlier snapshot.AnchorSet) error {
	s := p.sources[t.source]
	if t.flags&pending != 0 && !p.AcceptPrunedAnchors {
		judge := snapshot.Judge{Checker: p.checker, AcceptEarlierAnchors: true}
		report, err := judge.Check(ctx, s.in.Section(), t.located())
		if err != nil {
			return inSource(s, err)
		}
		judged, err := judge.Accept(ctx, s.in.Section(), report, earlier)
		if err != nil {
			return inSource(s, err)
		}
		if judged.Verdict != snapshot.Valid {
			s.addInvalid(t.offset, judged.Verdict)
			return nil
		}
	}
	if p.pending > 0 {
		if err := p.checker.Add(earlier, t.anchor); err != nil {
			return err
		}
	}
	p.newest = t
	p.snapshots++
	p.bytes += t.body + 1
	s.taken++
	s.takenBytes += t.size()
	if t.flags&hidden != 0 {
		s.hidden++
	}
	return p.copy(span{t.source, t.offset, t.size(), t.flags&newline == 0})
}

// copy plans to copy a range, merging it with the previous one if they are adjacent.
func (p *plan) copy(next span) error {
	last := &p.last
	if last.source == next.source && last.offset+last.size == next.offset && !last.newline {
		last.size += next.size
		last.newline = next.newline
		return nil
	}
	if err := p.flush(); err != nil {
		return err
	}
	p.last = next
	return nil
}

// flush adds the last span to the store.
func (p *plan) flush() error {
	if p.last.size == 0 {
		return nil
	}
	added := uint64(0)
	if p.last.newline {
		added = 1
	}
	var buf []byte
	for _, n := range []uint64{uint64(p.last.source), uint64(p.last.offset), uint64(p.last.size), added} {
		buf = binary.BigEndian.AppendUint64(buf, n)
	}
	p.last = span{}
	return p.spans.Add(buf)
}

func parseSpan(buf []byte) span {
	number := func(i int) int64 { return int64(binary.BigEndian.Uint64(buf[8*i:])) }
	return span{int(number(0)), number(1), number(2), number(3) != 0}
}
