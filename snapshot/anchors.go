package snapshot

import (
	"bytes"
	"context"
	"io"
	"iter"
)

// Anchored is a complete snapshot and the anchor that a node reads in it, nil if there is
// none.
type Anchored struct {
	Located
	Anchor *Anchor
}

// Anchors yields the complete snapshots of the first size bytes of r with their anchors,
// the oldest first, numbered from 1. It checks nothing else in them. The iteration ends
// after an error: the context's, one from r, [ErrShrunk] or a *[LineTooLongError].
// Meanwhile, the checker must not be used for anything else.
func (c *Checker) Anchors(ctx context.Context, r io.ReaderAt, size int64) iter.Seq2[Anchored, error] {
	return func(yield func(Anchored, error) bool) {
		w := anchorWalk{ctx: ctx, yield: yield, blocks: newLineBlocks(r, 0, size, c.in, c.memory.maxLine())}
		if err := w.run(); err != nil {
			yield(Anchored{}, err)
		}
	}
}

// anchorWalk goes through a file as a node does.
type anchorWalk struct {
	ctx    context.Context
	yield  func(Anchored, error) bool
	blocks lineBlocks
	inside bool
	now    Anchored // being read
}

func (w *anchorWalk) run() error {
	for {
		lines, off, long, err := w.blocks.next()
		if err != nil {
			return err
		}
		if err := w.ctx.Err(); err != nil {
			return err
		}
		switch {
		case long:
			if err := w.longLine(lines, off); err != nil {
				return err
			}
		case len(lines) == 0 || !w.lines(lines, off):
			return nil
		}
	}
}

// lines takes whole lines. It reports whether to go on.
func (w *anchorWalk) lines(lines []byte, off int64) bool {
	for len(lines) > 0 {
		line, rest, newline := bytes.Cut(lines, []byte{'\n'})
		next := off + int64(len(lines)-len(rest))
		switch {
		case len(line) == 0:
		case string(line) == HeaderLine && newline:
			w.inside, w.now = true, Anchored{Located: Located{Index: w.now.Index, Offset: off}}
		case !w.inside:
		case string(line) == EndLine:
			w.inside = false
			w.now.Index++
			w.now.Size, w.now.BodyEnd = next-w.now.Offset, off
			if !w.yield(w.now, nil) {
				return false
			}
		default:
			w.record(line)
		}
		lines, off = rest, next
	}
	return true
}

// record takes a line within a snapshot. It reports whether, should the line go on, the
// rest is needed to read it.
func (w *anchorWalk) record(line []byte) (more bool) {
	f := newFields(line)
	if !f.SkipSpace() {
		return true
	}
	if f.Text[f.Pos] != anchorTag[0] {
		return false
	}
	if tag := f.Word(); string(tag) != anchorTag {
		return f.Pos == len(line)
	}
	what, anchor := parseAnchor(&f)
	switch what {
	case anchorSet:
		w.now.Anchor = &anchor
	case anchorNone:
		w.now.Anchor = nil
	}
	return what != anchorNone && f.Pos == len(line)
}

// longLine takes a line of which only the start is in memory. An anchor line must be in
// memory up to its last field.
func (w *anchorWalk) longLine(start []byte, off int64) error {
	before := w.now.Anchor
	if w.inside && w.record(start) {
		w.now.Anchor = before
		if w.blocks.growLine() {
			return nil
		}
		return &LineTooLongError{Offset: off, Limit: len(start)}
	}
	_, err := w.blocks.skipLine(0)
	return err
}
