package snapshot

import (
	"context"
	"io"
	"iter"
	"runtime"

	"ailee-recovery/internal/workers"
)

const (
	// oneByOne is how many bytes at the end of a file are checked one snapshot at a time.
	// The snapshot that is looked for is nearly always there.
	oneByOne = 1 << 20
	// A chunk is what one core checks at a time: a quarter of its share, so that all cores
	// finish at about the same time.
	minChunk, maxChunk = 4 * blockSize, 128 * blockSize
	chunksPerCore      = 4
	// reportsAhead is how many reports a core may be ahead of the loop.
	reportsAhead = 256
)

// part is consecutive snapshots: their reports in file order. The sequence ends after an
// error.
type part = iter.Seq2[*Report, error]

// partsBack checks the complete snapshots of the first before bytes of r whose header line
// starts at lowest or after it, and the last one in any case. They come in parts, the last
// part of the file first. The first parts are single snapshots. Each part after them is as
// large as all parts before it together and is checked on all cores: no more is read than
// about twice what is needed.
func (c *Checker) partsBack(ctx context.Context, r io.ReaderAt, before, lowest int64) iter.Seq[part] {
	return func(yield func(part) bool) {
		to := before
		for l, err := range Backward(r, before) {
			if err == nil && l.Offset < lowest && to < before {
				return
			}
			if !yield(c.single(ctx, r, l, err)) || err != nil {
				return
			}
			if to = l.Offset; before-to >= oneByOne {
				break
			}
		}
		if before-to < oneByOne {
			return // there are no others
		}
		for to > lowest {
			from := max(lowest, to-(before-to))
			if !yield(c.onAllCores(ctx, r, from, to, before)) {
				return
			}
			to = from
		}
	}
}

// single is the part with one snapshot, or the error from looking for it.
func (c *Checker) single(ctx context.Context, r io.ReaderAt, l Located, err error) part {
	return func(yield func(*Report, error) bool) {
		if err != nil {
			yield(nil, err)
			return
		}
		yield(c.Check(ctx, r, l))
	}
}

// onAllCores is [Checker.CheckRange] with checkers that share the memory of c. Meanwhile,
// c may be used.
func (c *Checker) onAllCores(ctx context.Context, r io.ReaderAt, from, to, size int64) part {
	cores := runtime.GOMAXPROCS(0)
	step := (to - from) / int64(cores*chunksPerCore)
	step = min(max(step-step%blockSize, minChunk), maxChunk)
	chunks := func(yield func(int64, error) bool) {
		for at := from; at < to; at += step {
			if !yield(at, nil) {
				return
			}
		}
	}
	newChecker := func() workers.Worker[int64, *Report] {
		checker := NewChecker(c.memory)
		return func(ctx context.Context, at int64) iter.Seq2[*Report, error] {
			return checker.CheckRange(ctx, r, at, min(at+step, to), size)
		}
	}
	return workers.Ordered(ctx, cores, reportsAhead, chunks, newChecker)
}

// earlierAnchors returns those of the wanted anchor hashes that belong to a complete
// snapshot whose own root and anchor hold, and whose header line starts in [lowest,
// before). It reads backward until all are found.
func (c *Checker) earlierAnchors(ctx context.Context, r io.ReaderAt, before, lowest int64, wanted AnchorSet) (AnchorSet, error) {
	found, err := foundIn(c.partsBack(ctx, r, before, lowest), wanted)
	if err == nil || ctx.Err() != nil {
		return found, err
	}
	// An unreadable snapshot matters only if it comes after the last one that is needed,
	// which a part does not show, since it is read from its start.
	return foundIn(c.backward(ctx, r, before, lowest), wanted)
}

// backward is [Checker.partsBack] with a part for each snapshot.
func (c *Checker) backward(ctx context.Context, r io.ReaderAt, before, lowest int64) iter.Seq[part] {
	return func(yield func(part) bool) {
		for l, err := range Backward(r, before) {
			if err == nil && l.Offset < lowest || !yield(c.single(ctx, r, l, err)) || err != nil {
				return
			}
		}
	}
}

// foundIn returns those of the wanted anchor hashes that hold in the parts. It reads until
// all are found.
func foundIn(parts iter.Seq[part], wanted AnchorSet) (AnchorSet, error) {
	found := AnchorSet{}
	if len(wanted) == 0 {
		return found, nil
	}
	for reports := range parts {
		for rep, err := range reports {
			if err != nil {
				return nil, err
			}
			if !rep.Holding() || !wanted.Has([]byte(rep.Anchor.Hash)) {
				continue
			}
			found[rep.Anchor.Hash] = struct{}{}
			if len(found) == len(wanted) {
				return found, nil
			}
		}
	}
	return found, nil
}
