package snapshottool

import (
	"context"
	"errors"
	"io"
	"iter"
	"runtime"
	"slices"
	"sync"

	"ailee-recovery/internal/workers"
	"ailee-recovery/snapshot"
)

// A worker takes a part of the file at a time, of about chunkReports snapshots: as many as
// it may be ahead of the loop, so that it need not wait for the previous part. The size of
// the snapshots is not known at first.
const (
	chunkReports = 2048
	firstChunk   = 256 << 10
	minChunk     = 64 << 10
	maxChunk     = 8 << 20
)

// chunk is the part of the file [from, to).
type chunk struct{ from, to int64 }

// A worker hands over its reports in batches, so that the cost of handing over does not
// matter. A batch has at most batchReports reports, and ends at batchBytes of the file, so
// that results for large snapshots are not held back.
const (
	batchReports = 64
	batchBytes   = 256 << 10
	// batchesAhead has room for a part whose snapshots are half the size of the previous ones.
	batchesAhead = 2 * chunkReports / batchReports
)

// Batches checks the same snapshots as [Reports], on all cores, and yields in file order
// the batches that add makes of them. Workers call add with a batch, which is new or reset
// at first, and the next report, which is valid during the call. A batch is valid until the
// next one. The errors are those of [Reports]; they come after the batches before them.
func Batches[B any, P interface {
	*B
	Reset()
}](ctx context.Context, r io.ReaderAt, from, size int64, memory *snapshot.Memory, add func(batch *B, report *snapshot.Report)) iter.Seq2[*B, error] {
	again := &pool[B]{reset: func(b *B) { P(b).Reset() }}
	return batches(ctx, r, from, size, memory, (*snapshot.Checker).Sweep, again, add)
}

// checkRange is [snapshot.Checker.CheckRange] or [snapshot.Checker.Sweep].
type checkRange func(c *snapshot.Checker, ctx context.Context, r io.ReaderAt, from, to, size int64) iter.Seq2[*snapshot.Report, error]

func batches[B any](ctx context.Context, r io.ReaderAt, from, size int64, memory *snapshot.Memory, check checkRange, pool *pool[B], add func(*B, *snapshot.Report)) iter.Seq2[*B, error] {
	return func(yield func(*B, error) bool) {
		var reports, bytes int64 // so far
		chunks := func(yield func(chunk, error) bool) {
			length := int64(firstChunk)
			for at := from; at < size; at += length {
				if reports > 0 {
					length = min(max(bytes/reports*chunkReports, minChunk), maxChunk)
				} else if at > from {
					length = min(2*length, maxChunk)
				}
				if !yield(chunk{at, min(at+length, size)}, nil) {
					return
				}
			}
		}
		newChecker := func() workers.Worker[chunk, *batch[B]] {
			checker := snapshot.NewChecker(memory)
			return func(ctx context.Context, c chunk) iter.Seq2[*batch[B], error] {
				return inBatches(check(checker, ctx, r, c.from, c.to, size), pool, add)
			}
		}
		for b, err := range workers.Ordered(ctx, runtime.GOMAXPROCS(0), batchesAhead, chunks, newChecker) {
			if err != nil {
				yield(nil, err)
				return
			}
			reports += b.reports
			bytes += b.bytes
			if !yield(&b.of, nil) {
				return
			}
			pool.put(b)
		}
	}
}

// batch is what add made of some reports, with their number and size.
type batch[B any] struct {
	of             B
	reports, bytes int64
}

// pool holds batches for reuse. A nil pool makes new ones.
type pool[B any] struct {
	used  sync.Pool
	reset func(*B)
}

func (p *pool[B]) get() *batch[B] {
	if p != nil {
		if b, ok := p.used.Get().(*batch[B]); ok {
			return b
		}
	}
	return &batch[B]{}
}

func (p *pool[B]) put(b *batch[B]) {
	if p != nil {
		p.reset(&b.of)
		b.reports, b.bytes = 0, 0
		p.used.Put(b)
	}
}

func inBatches[B any](reports iter.Seq2[*snapshot.Report, error], pool *pool[B], add func(*B, *snapshot.Report)) iter.Seq2[*batch[B], error] {
	return func(yield func(*batch[B], error) bool) {
		b := pool.get()
		for report, err := range reports {
			if err != nil {
				if b.reports == 0 || yield(b, nil) {
					yield(nil, err)
				}
				return
			}
			add(&b.of, report)
			b.reports++
			b.bytes += report.Size
			if b.reports < batchReports && b.bytes < batchBytes {
				continue
			}
			if !yield(b, nil) {
				return
			}
			b = pool.get()
		}
		if b.reports > 0 {
			yield(b, nil)
		}
	}
}

// Reports checks, on all cores, every complete snapshot that a node sees in the first size
// bytes of r, starting at the offset from, which must be the start of a line. It yields the
// reports in file order, with Index 0. The checkers share the memory. The iteration ends
// after an error; the errors are those of [snapshot.Checker.Check].
func Reports(ctx context.Context, r io.ReaderAt, from, size int64, memory *snapshot.Memory) iter.Seq2[*snapshot.Report, error] {
	return func(yield func(*snapshot.Report, error) bool) {
		gather := func(some *[]*snapshot.Report, report *snapshot.Report) { *some = append(*some, report) }
		for some, err := range batches(ctx, r, from, size, memory, (*snapshot.Checker).CheckRange, nil, gather) {
			if err != nil {
				yield(nil, err)
				return
			}
			for _, report := range *some {
				if !yield(report, nil) {
					return
				}
			}
		}
	}
}

// Found is a snapshot in a file, or an attempt at one: a complete one, whether a node sees
// it or not, or a torn one, which has no report.
type Found struct {
	snapshot.Located
	Report *snapshot.Report // nil if torn
	// Merged is set on the first piece of a snapshot that a node sees, and that torn lines
	// merged from several.
	Merged *Merged
}

// Merged is a snapshot that a node sees, in place of which its pieces are found.
type Merged struct {
	snapshot.Located
	Report *snapshot.Report // nil if a line is too long to be read
}

// Torn reports whether the snapshot starts and does not end.
func (f Found) Torn() bool { return f.Report == nil }

// Everything yields all snapshots in the first size bytes of r, in file order and without
// overlaps: those of [Reports], and the torn and hidden pieces between them. A snapshot that
// torn lines merged from several is yielded as its pieces if the root and anchor of one of
// them hold, even if a torn line is too long to be read. The checker is for the pieces, and
// shares the memory. The iteration ends after an error; the errors are those of [Reports].
func Everything(ctx context.Context, r io.ReaderAt, size int64, memory *snapshot.Memory, checker *snapshot.Checker) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		p := pieces{ctx: ctx, r: r, size: size, checker: checker, found: yield}
		more := true
		for more && p.end < size {
			reports := Reports(ctx, r, p.end, size, memory)
			more = p.through(reports)
		}
	}
}

// through passes on everything found after end. It reports whether to go on after a line
// that is too long to be read.
func (p *pieces) through(reports iter.Seq2[*snapshot.Report, error]) (more bool) {
	for report, err := range reports {
		var long *snapshot.LineTooLongError
		switch {
		case errors.As(err, &long):
			return p.passLong(long)
		case err != nil:
			p.found(Found{}, err)
			return false
		case !p.whole(report):
			return false
		}
	}
	p.yield(p.end, p.size)
	p.end = p.size
	return false
}

// whole passes on a snapshot that a node sees, and what comes before it.
func (p *pieces) whole(report *snapshot.Report) (more bool) {
	if !p.yield(p.end, report.Offset) {
		return false
	}
	p.end = report.End()
	if slices.ContainsFunc(report.Findings, mayHide) {
		holds, err := p.anyHolds(report.Located)
		if err != nil {
			return p.found(Found{}, err) && false
		}
		if holds {
			p.merged = &Merged{report.Located, report}
			return p.yield(report.Offset, p.end)
		}
	}
	return p.found(Found{Located: report.Located, Report: report}, nil)
}

// passLong passes on the pieces of the snapshot with a line that is too long to be read, if
// the root and anchor of one of them hold: the line is torn then. Otherwise it cannot be
// known what the snapshot is.
func (p *pieces) passLong(line *snapshot.LineTooLongError) (more bool) {
	rest := io.NewSectionReader(p.r, p.end, p.size-p.end)
	for l, err := range snapshot.Forward(rest, rest.Size()) {
		l.Offset, l.BodyEnd = l.Offset+p.end, l.BodyEnd+p.end
		holds := false
		if err == nil && l.Offset <= line.Offset && line.Offset < l.End() {
			holds, err = p.anyHolds(l)
		}
		if err != nil {
			return p.found(Found{}, err) && false
		}
		if holds {
			more = p.yield(p.end, l.Offset)
			p.merged = &Merged{Located: l}
			more = more && p.yield(l.Offset, l.End())
			p.end = l.End()
			return more
		}
		break
	}
	return p.found(Found{}, line) && false
}

// pieces are the pieces of one file.
type pieces struct {
	ctx     context.Context
	r       io.ReaderAt
	size    int64
	checker *snapshot.Checker
	found   func(Found, error) bool // reports whether to go on
	end     int64                   // everything before it was passed on
	merged  *Merged                 // for the next piece
}

// yield passes on the pieces in [from, to), and reports whether to go on.
func (p *pieces) yield(from, to int64) bool {
	if from == to {
		return true
	}
	for piece, err := range snapshot.Pieces(p.r, from, to, p.size) {
		found := Found{Located: piece.Located, Merged: p.merged}
		p.merged = nil
		if err == nil && !piece.Torn {
			found.Report, err = p.checker.Check(p.ctx, p.r, piece.Located)
		}
		if !p.found(found, err) || err != nil {
			return false
		}
	}
	return true
}

// anyHolds reports whether a snapshot that a node sees contains one whose root and anchor
// hold.
func (p *pieces) anyHolds(outer snapshot.Located) (bool, error) {
	for l, err := range snapshot.Hidden(p.r, outer.Offset, outer.End(), p.size) {
		if err != nil {
			return false, err
		}
		report, err := p.checker.Check(p.ctx, p.r, l)
		if err != nil || report.Holding() {
			return err == nil, err
		}
	}
	return false, nil
}

// mayHide reports whether a snapshot with this finding can contain another one: there is a
// header after other bytes, or an end line before them.
func mayHide(f snapshot.Finding) bool {
	return f.Kind == snapshot.FusedHeader || f.Kind == snapshot.UnknownTag
}
