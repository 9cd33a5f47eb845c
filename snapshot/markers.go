package snapshot

import (
	"bytes"
	"io"
	"iter"
	"slices"
)

type markerKind uint8

const (
	headerMarker markerKind = iota // a line equal to HeaderLine
	endMarker                      // a line equal to EndLine
	fusedMarker                    // a longer line that ends in HeaderLine: a header written behind a torn line
)

// marker is a place where the word SNAPSHOT marks, or was meant to mark, the
// start or end of a snapshot.
type marker struct {
	kind markerKind
	// off is where HeaderLine or EndLine starts, which for a fusedMarker is in
	// the middle of a line.
	off int64
	// next is behind the line, its newline included.
	next int64
	// afterEnd is set on a fusedMarker whose line starts with EndLine and has
	// nothing else: the file had lost its last newline, nothing more.
	afterEnd bool
}

const (
	markerWord = "SNAPSHOT"
	endPrefix  = "END_"
	version    = " v1"
	// What classify may look at before and behind the word.
	marginBefore = 1 + len(EndLine)
	marginBehind = len(HeaderLine) + 1
)

// markersIn appends the markers whose word starts in [lo, hi) to dst. window
// holds the file's bytes from base on, with the margins, as far as the file of
// the given size has them.
func markersIn(dst []marker, window []byte, base, lo, hi, size int64) []marker {
	for p := int(lo - base); ; p += len(markerWord) {
		i := bytes.Index(window[p:], []byte(markerWord))
		if i < 0 || base+int64(p+i) >= hi {
			return dst
		}
		p += i
		if m, ok := classify(window, p, base, size); ok {
			dst = append(dst, m)
		}
	}
}

// classify looks at the word at window[p].
func classify(window []byte, p int, base, size int64) (marker, bool) {
	before, behind := window[:p], window[p+len(markerWord):]
	startsLine := func(b []byte) bool { return len(b) == 0 || b[len(b)-1] == '\n' }
	if rest, ok := bytes.CutPrefix(behind, []byte(version)); ok {
		next, ok := lineEnd(rest, base+int64(p+len(HeaderLine)), size)
		m := marker{kind: headerMarker, off: base + int64(p), next: next}
		if !startsLine(before) {
			m.kind = fusedMarker
			end, cut := bytes.CutSuffix(before, []byte(EndLine))
			m.afterEnd = cut && startsLine(end)
		}
		return m, ok
	}
	if start, ok := bytes.CutSuffix(before, []byte(endPrefix)); ok && startsLine(start) {
		next, ok := lineEnd(behind, base+int64(p+len(markerWord)), size)
		return marker{kind: endMarker, off: base + int64(p-len(endPrefix)), next: next}, ok
	}
	return marker{}, false
}

// lineEnd tells whether a line ends at off, where rest starts, and where the
// next one starts.
func lineEnd(rest []byte, off, size int64) (next int64, ok bool) {
	if off == size {
		return off, true
	}
	return off + 1, len(rest) > 0 && rest[0] == '\n'
}

// window reads the bytes of [lo, hi) with the margins into buf.
func window(r io.ReaderAt, buf []byte, lo, hi, size int64) (win []byte, base int64, err error) {
	base = max(0, lo-int64(marginBefore))
	win = buf[:min(size, hi+int64(marginBehind))-base]
	return win, base, readFull(r, win, base)
}

const windowSize = blockSize + marginBefore + marginBehind

// markersForward yields the markers of [from, size) in file order. from must be
// at the start of a line.
func markersForward(r io.ReaderAt, from, size int64) iter.Seq2[marker, error] {
	return func(yield func(marker, error) bool) {
		buf := make([]byte, windowSize)
		var found []marker
		for lo := from; lo < size; lo += blockSize {
			hi := min(lo+blockSize, size)
			win, base, err := window(r, buf, lo, hi, size)
			if err != nil {
				yield(marker{}, err)
				return
			}
			found = markersIn(found[:0], win, base, lo, hi, size)
			for _, m := range found {
				if !yield(m, nil) {
					return
				}
			}
		}
	}
}

// markersBackward yields the markers from the end of the file on.
func markersBackward(r io.ReaderAt, size int64) iter.Seq2[marker, error] {
	return func(yield func(marker, error) bool) {
		buf := make([]byte, windowSize)
		var found []marker
		for hi := size; hi > 0; hi -= blockSize {
			lo := max(0, hi-blockSize)
			win, base, err := window(r, buf, lo, hi, size)
			if err != nil {
				yield(marker{}, err)
				return
			}
			found = markersIn(found[:0], win, base, lo, hi, size)
			for _, m := range slices.Backward(found) {
				if !yield(m, nil) {
					return
				}
			}
		}
	}
}
