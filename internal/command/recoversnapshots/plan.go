package recoversnapshots

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/internal/spill"
	"ailee-recovery/snapshot"
)

// plan describes what OUT will contain. The dry run and the real run share it. Whatever grows
// with the number of snapshots is kept in stores, which use files when there are many.
type plan struct {
	Options
	sources []*source
	memory  *snapshot.Memory
	checker *snapshot.Checker
	bar     terminal.Bar
	ahead   *ahead // nil in a dry run
	buffer  []byte

	records *spill.Store  // of all sources, one after the other, each in file order
	bySame  *spill.Sorter // time, same, number: to find records with the same bytes
	known   *spill.Store  // number, and number of the first with the same bytes; sorted by the former
	others  *spill.Store  // the other way round: number of the first, and number in another source
	spans   *spill.Store  // source, offset, size: what to copy, in order
	stores  []io.Closer
	last    span // not yet in spans

	snapshots, bytes int64
	pending          int64  // records that are valid or not depending on the snapshots before them
	newest           taken  // the last snapshot
	sharedTimes      int64  // how many have the time of another, not counting the first with each time
	firstShared      uint64 // the earliest of these times
}

// span is a range of a source's file. Its last line may get a newline.
type span struct {
	source       int
	offset, size int64
	newline      bool // to be added
}

// taken is a snapshot in its source.
type taken struct {
	source int
	record
}

const (
	numberSize = 8
	pairSize   = 2 * numberSize
	spanSize   = 32
)

func newPlan(o Options, sources []*source, bar terminal.Bar) *plan {
	p := &plan{Options: o, sources: sources, memory: o.Memory(), bar: bar, buffer: make([]byte, 64<<10)}
	p.checker = snapshot.NewChecker(p.memory)
	size := recordSize
	if o.AcceptEarlierAnchors {
		size += hashSize
	}
	p.records = p.newStore(size)
	p.bySame = p.newSorter(numberSize + sameSize + numberSize)
	p.known = p.newStore(pairSize)
	p.others = p.newStore(pairSize)
	p.spans = p.newStore(spanSize)
	return p
}

func (p *plan) newFile() (*os.File, error) { return durable.Unnamed(p.Output) }

func (p *plan) newStore(size int) *spill.Store {
	s := spill.NewStore(size, p.newFile)
	p.stores = append(p.stores, s)
	return s
}

func (p *plan) newSorter(size int) *spill.Sorter {
	s := spill.NewSorter(size, p.newFile)
	p.stores = append(p.stores, s)
	return s
}

func (p *plan) close() {
	for _, s := range p.stores {
		_ = s.Close()
	}
}

// make makes the plan.
func (p *plan) make(ctx context.Context) error {
	err := p.surveyAll(ctx)
	if aheadErr := p.ahead.end(); err == nil {
		err = aheadErr
	}
	if err != nil {
		return err
	}
	if err := p.findKnown(ctx); err != nil {
		return err
	}
	return p.merge(ctx)
}

func (p *plan) surveyAll(ctx context.Context) error {
	for _, s := range p.sources {
		if err := p.survey(ctx, s); err != nil {
			return inSource(s, err)
		}
	}
	return nil
}

// inSource adds the name of the source to an error from reading it.
func inSource(s *source, err error) error { return fmt.Errorf("%s: %w", s.name, err) }

// survey reads a source and notes each snapshot that is valid or may be.
func (p *plan) survey(ctx context.Context, s *source) error {
	s.first = p.records.Len()
	at := int64(0)
	for found, err := range snapshottool.Everything(ctx, s.in.Section(), s.in.Size, p.memory, p.checker) {
		if err != nil {
			return err
		}
		p.bar.Add(found.End() - at)
		at = found.End()
		switch {
		case found.Torn():
			s.addTorn(found.Offset)
		case p.candidate(found.Report):
			s.addTime(found.Report)
			if err := p.add(s, found.Report); err != nil {
				return err
			}
		default:
			s.addInvalid(found.Offset, found.Report.Verdict())
		}
	}
	s.end = p.records.Len()
	return nil
}

// candidate reports whether a snapshot is valid or may turn out to be.
func (p *plan) candidate(r *snapshot.Report) bool {
	v := r.Verdict()
	return v == snapshot.Valid || v == snapshot.PegOutMismatch && p.AcceptEarlierAnchors
}

func (p *plan) add(s *source, r *snapshot.Report) error {
	number := p.records.Len()
	rec := newRecord(r)
	p.ahead.add(s, &rec)
	if rec.flags&pending != 0 {
		p.pending++
	}
	buf := rec.append(nil)
	if p.AcceptEarlierAnchors {
		buf = append(buf, rec.anchor...)
	}
	if err := p.records.Add(buf); err != nil {
		return err
	}
	key := binary.BigEndian.AppendUint64(nil, rec.time)
	key = append(key, same(r)...)
	return p.bySame.Add(binary.BigEndian.AppendUint64(key, uint64(number)))
}

// sourceOf returns the index of the source that has a record.
func (p *plan) sourceOf(number int64) int {
	i, _ := slices.BinarySearchFunc(p.sources, number, func(s *source, n int64) int {
		if s.end <= n {
			return -1
		}
		return 1
	})
	return i
}

// findKnown finds the records whose bytes an earlier record has, and those that share their
// time with others.
//
// It compares records by their time and a digest of what was read of them anyway. All bytes are
// hashed only if these agree, which is rare if the sources have little in common.
func (p *plan) findKnown(ctx context.Context) error {
	const prefix = numberSize + sameSize
	byBytes := p.newSorter(prefix + sha256.Size + numberSize)
	group := make([]byte, 0, prefix+numberSize) // the first of the records that agree
	several, lastTime := false, uint64(0)
	for rec, err := range p.bySame.Sorted() {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if len(group) > 0 && string(group[:prefix]) == string(rec[:prefix]) {
			if !several {
				if err := p.addBytes(ctx, byBytes, group); err != nil {
					return err
				}
			}
			several = true
			if err := p.addBytes(ctx, byBytes, rec); err != nil {
				return err
			}
			continue
		}
		time := binary.BigEndian.Uint64(rec)
		if len(group) > 0 && time == lastTime {
			p.addShared(time)
		}
		group, several, lastTime = append(group[:0], rec...), false, time
	}
	return p.sameBytes(ctx, byBytes)
}

// addShared notes a snapshot that has the same time as a different one.
func (p *plan) addShared(time uint64) {
	if p.sharedTimes == 0 || time < p.firstShared {
		p.firstShared = time
	}
	p.sharedTimes++
}

// addBytes adds a record of bySame, together with the hash of the snapshot's bytes.
func (p *plan) addBytes(ctx context.Context, to *spill.Sorter, rec []byte) error {
	const prefix = numberSize + sameSize
	number := int64(binary.BigEndian.Uint64(rec[prefix:]))
	at, err := p.record(number)
	if err != nil {
		return err
	}
	s := p.sources[p.sourceOf(number)]
	sum := sha256.New()
	n, err := io.CopyBuffer(sum, io.NewSectionReader(s.in.Section(), at.offset, at.body), p.buffer)
	if err == nil && n < at.body {
		err = snapshot.ErrShrunk
	}
	if err = errors.Join(err, ctx.Err()); err != nil {
		return inSource(s, err)
	}
	return to.Add(slices.Concat(rec[:prefix], sum.Sum(nil), rec[prefix:]))
}

func (p *plan) record(number int64) (record, error) {
	buf := make([]byte, recordSize+hashSize)
	err := p.records.Read(number, buf)
	return parseRecord(buf), err
}

// sameBytes fills known and others.
func (p *plan) sameBytes(ctx context.Context, byBytes *spill.Sorter) error {
	const prefix = numberSize + sameSize
	const all = prefix + sha256.Size
	known, others := p.newSorter(pairSize), p.newSorter(pairSize)
	first, inSource := make([]byte, 0, all+numberSize), 0
	for rec, err := range byBytes.Sorted() {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		source := p.sourceOf(int64(binary.BigEndian.Uint64(rec[all:])))
		if len(first) == 0 || string(first[:all]) != string(rec[:all]) {
			if len(first) > 0 && string(first[:prefix]) == string(rec[:prefix]) {
				p.addShared(binary.BigEndian.Uint64(rec))
			}
			first, inSource = append(first[:0], rec...), source
			continue
		}
		if err := known.Add(slices.Concat(rec[all:], first[all:])); err != nil {
			return err
		}
		// Only the first in each source matters.
		if source == inSource {
			continue
		}
		inSource = source
		if err := others.Add(slices.Concat(first[all:], rec[all:])); err != nil {
			return err
		}
	}
	return errors.Join(p.known.AddAll(known.Sorted()), p.others.AddAll(others.Sorted()))
}
