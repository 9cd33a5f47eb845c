package snapshottool

import (
	"context"
	"io"
	"iter"
	"runtime"
	"slices"

	"ailee-recovery/internal/workers"
	"ailee-recovery/snapshot"
)

// chunkSize is how much of a file one worker takes at a time.
const chunkSize = 8 << 20

// chunk is the part of the file [from, to).
type chunk struct{ from, to int64 }

// reportsAhead is how many reports a worker may be ahead of the loop.
const reportsAhead = 256

// Reports checks, on all cores, every complete snapshot that a node sees in the first size
// bytes of r, and yields the reports in file order, with Index 0. The checkers share the
// memory. The iteration ends after an error; the errors are those of
// [snapshot.Checker.Check].
func Reports(ctx context.Context, r io.ReaderAt, size int64, memory *snapshot.Memory) iter.Seq2[*snapshot.Report, error] {
	chunks := func(yield func(chunk, error) bool) {
		for from := int64(0); from < size; from += chunkSize {
			if !yield(chunk{from, min(from+chunkSize, size)}, nil) {
				return
			}
		}
	}
	newChecker := func() workers.Worker[chunk, *snapshot.Report] {
		checker := snapshot.NewChecker(memory)
		return func(ctx context.Context, c chunk) iter.Seq2[*snapshot.Report, error] {
			return checker.CheckRange(ctx, r, c.from, c.to, size)
		}
	}
	return workers.Ordered(ctx, runtime.GOMAXPROCS(0), reportsAhead, chunks, newChecker)
}

// Found is what was meant as a snapshot: a complete one, whether a node sees it or not,
// or a torn one, of which there is no report.
type Found struct {
	snapshot.Located
	Report *snapshot.Report // nil for a torn one
}

// Torn tells whether it starts and does not end.
func (f Found) Torn() bool { return f.Report == nil }

// Everything yields all that was meant as a snapshot in the first size bytes of r, in file
// order and without overlaps: what [Reports] has, and the pieces between. One that a node
// sees, and that torn lines made of several, comes as its pieces where the root and anchor
// of one of them hold. The checker is for the pieces, and shares the memory. The iteration
// ends after an error, as that of [Reports].
func Everything(ctx context.Context, r io.ReaderAt, size int64, memory *snapshot.Memory, checker *snapshot.Checker) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		p := pieces{ctx: ctx, r: r, size: size, checker: checker}
		end := int64(0)
		for report, err := range Reports(ctx, r, size, memory) {
			if err != nil {
				yield(Found{}, err)
				return
			}
			if report.Offset > end && !p.yield(end, report.Offset, yield) {
				return
			}
			end = report.End()
			fused, err := p.anyHolds(report)
			switch {
			case err != nil:
				yield(Found{}, err)
				return
			case fused && !p.yield(report.Offset, end, yield):
				return
			case !fused && !yield(Found{report.Located, report}, nil):
				return
			}
		}
		if end < size {
			p.yield(end, size, yield)
		}
	}
}

// pieces are those of one file.
type pieces struct {
	ctx     context.Context
	r       io.ReaderAt
	size    int64
	checker *snapshot.Checker
}

// yield passes on the pieces in [from, to), and tells whether to go on.
func (p *pieces) yield(from, to int64, yield func(Found, error) bool) bool {
	for piece, err := range snapshot.Pieces(p.r, from, to, p.size) {
		found := Found{Located: piece.Located}
		if err == nil && !piece.Torn {
			found.Report, err = p.checker.Check(p.ctx, p.r, piece.Located)
		}
		if !yield(found, err) || err != nil {
			return false
		}
	}
	return true
}

// anyHolds tells whether a snapshot that a node sees has one within whose root and anchor
// hold.
func (p *pieces) anyHolds(outer *snapshot.Report) (bool, error) {
	if !slices.ContainsFunc(outer.Findings, mayHide) {
		return false, nil
	}
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

// mayHide tells whether a snapshot with such a finding can have another one within: a
// header behind other bytes, or an end line before them.
func mayHide(f snapshot.Finding) bool {
	return f.Kind == snapshot.FusedHeader || f.Kind == snapshot.UnknownTag
}
