package snapshot

import (
	"bytes"
	"context"
	"io"
	"iter"
)

// inlineHash is how much of a snapshot CheckRange hashes in the goroutine that
// parses it. If several ranges are checked at once, all cores are busy anyway,
// and it is best to hash the text while it is in the cache.
const inlineHash = 16 << 20

// CheckRange checks every complete snapshot whose header line starts in [from, to) of the
// first size bytes of r, in file order, and yields its report, with Index 0. It reads the
// bytes once. Adjacent ranges that cover the file, checked in any order, together see each
// snapshot once. The iteration ends after an error; the errors are those of
// [Checker.Check]. Meanwhile, the checker may be used only for the records of the snapshot
// that was just yielded (see [Checker.Records]).
func (c *Checker) CheckRange(ctx context.Context, r io.ReaderAt, from, to, size int64) iter.Seq2[*Report, error] {
	return c.checkRange(ctx, r, from, to, size, inlineHash)
}

func (c *Checker) checkRange(ctx context.Context, r io.ReaderAt, from, to, size, inline int64) iter.Seq2[*Report, error] {
	return func(yield func(*Report, error) bool) {
		start, err := firstHeader(r, from, to, size)
		if err != nil {
			yield(nil, err)
		}
		if err != nil || start < 0 {
			return
		}
		c.hash.inline = inline
		w := walk{checker: c, ctx: ctx, r: r, to: to, yield: yield}
		defer func() {
			c.hash.inline = 0
			if w.survey != nil {
				c.hash.reset(w.survey.text)
			}
		}()
		w.blocks = newLineBlocks(r, start, size, c.in, c.memory.maxLine())
		if err := w.run(); err != nil {
			yield(nil, err)
		}
	}
}

// Sweep is [Checker.CheckRange] for many small snapshots: a report, and everything that it
// points to, is valid only until the next one.
func (c *Checker) Sweep(ctx context.Context, r io.ReaderAt, from, to, size int64) iter.Seq2[*Report, error] {
	return func(yield func(*Report, error) bool) {
		c.sweeping = true
		defer func() { c.sweeping = false }()
		c.CheckRange(ctx, r, from, to, size)(yield)
	}
}

// firstHeader returns the offset of the first header line in [from, to), -1 when
// there is none.
func firstHeader(r io.ReaderAt, from, to, size int64) (int64, error) {
	// It is nearly always near, with many others after it.
	for step := int64(4 << 10); from < to; step *= 16 {
		until := min(from+step, to)
		for m, err := range markersBetween(r, from, until, size) {
			if err != nil {
				return -1, err
			}
			if m.kind == headerMarker {
				return m.off, nil
			}
		}
		from = until
	}
	return -1, nil
}

// walk goes through consecutive snapshots.
type walk struct {
	checker *Checker
	ctx     context.Context
	r       io.ReaderAt
	to      int64
	yield   func(*Report, error) bool
	blocks  lineBlocks
	// unescaped is set if no line of the block has a backslash.
	unescaped bool

	survey *survey // of the snapshot being read; nil outside of one
	start  int64   // where it starts
}

func (w *walk) run() error {
	for {
		lines, off, long, err := w.blocks.next()
		if err != nil {
			return err
		}
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if long {
			if w.survey != nil {
				err = w.survey.longLine(&w.blocks, lines, off)
			} else {
				_, err = w.blocks.skipLine(0)
			}
			if err != nil {
				return err
			}
			continue
		}
		if len(lines) == 0 {
			return nil
		}
		w.unescaped = bytes.IndexByte(lines, '\\') < 0
		for len(lines) > 0 {
			n, done, err := w.step(lines, off)
			if err != nil || done {
				return err
			}
			lines = lines[n:]
			off += int64(n)
		}
	}
}

// step takes lines up to the next marker line, and reports whether the range, or the
// loop over it, is done.
func (w *walk) step(lines []byte, off int64) (taken int, done bool, err error) {
	var marker string
	if w.survey != nil {
		taken, marker = w.survey.block(lines, off, w.unescaped)
	} else {
		taken, marker = skipToHeader(lines)
	}
	next := off + int64(taken)
	switch marker {
	case HeaderLine:
		start := next - headerSize
		if start >= w.to {
			return taken, true, nil
		}
		if w.survey != nil {
			w.checker.hash.reset(w.survey.text)
		}
		w.survey, w.start = w.checker.begin(), start
	case EndLine:
		l := Located{Offset: w.start, Size: next - w.start, BodyEnd: next - int64(len(EndLine))}
		if lines[taken-1] == '\n' {
			l.BodyEnd--
		}
		sv := w.survey
		w.survey = nil
		report, err := sv.complete(w.ctx, w.r, l)
		if err != nil {
			return taken, false, err
		}
		return taken, !w.yield(report, nil), nil
	}
	return taken, false, nil
}

// skipToHeader passes over lines outside any snapshot, up to a header line.
func skipToHeader(lines []byte) (taken int, marker string) {
	for taken < len(lines) {
		line, _, newline := bytes.Cut(lines[taken:], []byte{'\n'})
		taken += len(line)
		if newline {
			taken++
		}
		if newline && string(line) == HeaderLine {
			return taken, HeaderLine
		}
	}
	return taken, ""
}
