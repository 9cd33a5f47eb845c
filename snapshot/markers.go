package snapshot

import (
	"bytes"
	"io"
	"iter"
	"runtime"
	"slices"

	"ailee-recovery/internal/workers"
)

type markerKind uint8

const (
	headerMarker markerKind = iota // a line equal to HeaderLine
	endMarker                      // a line equal to EndLine
	fusedMarker                    // a longer line that ends in HeaderLine: a header written after a torn line
	stuckMarker                    // a longer line that starts with EndLine: an end line that lost its newline
)

// starts reports whether a snapshot starts at this marker, or was meant to.
func (k markerKind) starts() bool { return k == headerMarker || k == fusedMarker }

// marker is a place where a snapshot starts or ends, or was meant to: the word SNAPSHOT
// is there.
type marker struct {
	kind markerKind
	// off is where HeaderLine or EndLine starts. For a fusedMarker, that is in the middle
	// of a line.
	off int64
	// next is the offset after the line and its newline; for a stuckMarker, after EndLine.
	next int64
}

const (
	markerWord = "SNAPSHOT"
	endPrefix  = "END_"
	version    = " v1"
	// How many bytes classify may look at before and after the word.
	marginBefore = int64(1 + len(EndLine))
	marginAfter  = int64(len(HeaderLine) + 1)
)

// markersIn appends the markers whose word starts in [lo, hi) to dst. window holds the
// bytes of the file starting at base, including the margins as far as the file, which
// has the given size, has them.
func markersIn(dst []marker, window []byte, base, lo, hi, size int64) []marker {
	for p := int(lo - base); p < len(window); p += len(markerWord) {
		i := bytes.Index(window[p:], []byte(markerWord))
		if i < 0 || base+int64(p+i) >= hi {
			return dst
		}
		p += i
		if m, ok := classify(window, p, base, size); ok {
			dst = append(dst, m)
		}
	}
	return dst
}

// classify determines the marker at the word at window[p].
func classify(window []byte, p int, base, size int64) (marker, bool) {
	before, tail := window[:p], window[p+len(markerWord):]
	startsLine := func(b []byte) bool { return len(b) == 0 || b[len(b)-1] == '\n' }
	if rest, ok := bytes.CutPrefix(tail, []byte(version)); ok {
		next, ok := lineEnd(rest, base+int64(p+len(HeaderLine)), size)
		m := marker{kind: headerMarker, off: base + int64(p), next: next}
		if !startsLine(before) {
			m.kind = fusedMarker
		}
		return m, ok
	}
	if start, ok := bytes.CutSuffix(before, []byte(endPrefix)); ok && startsLine(start) {
		end := base + int64(p+len(markerWord))
		m := marker{kind: stuckMarker, off: base + int64(p-len(endPrefix)), next: end}
		if next, ok := lineEnd(tail, end, size); ok {
			m.kind, m.next = endMarker, next
		}
		return m, true
	}
	return marker{}, false
}

// lineEnd reports whether a line ends at off, where rest starts, and returns where the
// next one starts.
func lineEnd(rest []byte, off, size int64) (next int64, ok bool) {
	if off == size {
		return off, true
	}
	return off + 1, len(rest) > 0 && rest[0] == '\n'
}

// LastHeader returns the offset of the last header line in the first size bytes of r that
// does not start after upTo, or -1 if there is none. The snapshot may be complete or not,
// and the header on its own line or after a torn one.
func LastHeader(r io.ReaderAt, upTo, size int64) (int64, error) {
	last := int64(-1)
	for m, err := range markersBetween(r, 0, min(upTo+1, size), size) {
		if err != nil {
			return -1, err
		}
		if m.kind.starts() {
			last = m.off
		}
	}
	return last, nil
}

// windowMargin is how much of the previous block is kept while the next one is searched
// for markers. It keeps the blocks aligned, for the reason given at blockSize.
const windowMargin = 64

// markersForward yields the markers of [from, size) in file order.
func markersForward(r io.ReaderAt, from, size int64) iter.Seq2[marker, error] {
	return markersBetween(r, from, size, size)
}

// markersBetween yields the markers whose word starts in [from, to) in the first
// size bytes of r, in file order.
func markersBetween(r io.ReaderAt, from, to, size int64) iter.Seq2[marker, error] {
	return func(yield func(marker, error) bool) {
		buf := make([]byte, windowMargin+blockSize)
		var found []marker
		kept := 0 // bytes of the previous block, in front of this one
		for lo, todo := max(0, from-marginBefore), from; todo < to; {
			hi := min(lo-lo%blockSize+blockSize, size)
			block := buf[windowMargin : windowMargin+hi-lo]
			if err := readFull(r, block, lo); err != nil {
				yield(marker{}, err)
				return
			}
			// What is too close to the end to be classified waits for the next block.
			until := hi
			if hi < size {
				until = max(todo, hi-marginAfter)
			}
			window := buf[windowMargin-kept : windowMargin+len(block)]
			found = markersIn(found[:0], window, lo-int64(kept), todo, min(until, to), size)
			for _, m := range found {
				if !yield(m, nil) {
					return
				}
			}
			keep := min(windowMargin, len(window))
			copy(buf[windowMargin-keep:], window[len(window)-keep:])
			kept, lo, todo = keep, hi, until
		}
	}
}

// maxStripe is how much markersBackward searches at a time, on all cores, once it has
// found that the snapshots are large.
const maxStripe = 4 << 20

// markersBackward yields the markers in reverse order, starting at the end of the file. It
// calls passed, which may be nil, with the offset that it has reached. If passed returns
// true, one core is left for other work.
func markersBackward(r io.ReaderAt, size int64, passed func(to int64) bool) iter.Seq2[marker, error] {
	return func(yield func(marker, error) bool) {
		leave := 0
		stripe := int64(blockSize)
		for to := size; to > 0; {
			from := max(0, to-stripe)
			parts := 1
			if stripe == maxStripe {
				parts = max(1, runtime.GOMAXPROCS(0)-leave)
			}
			found, err := markersOfStripe(r, from, to, size, parts)
			if err != nil {
				yield(marker{}, err)
				return
			}
			for _, m := range slices.Backward(found) {
				if !yield(m, nil) {
					return
				}
			}
			to, stripe = from, min(2*stripe, maxStripe)
			if passed != nil && passed(to) {
				leave = 1
			}
		}
	}
}

// markersOfStripe returns the markers of [from, to), which it searches in parts at once.
func markersOfStripe(r io.ReaderAt, from, to, size int64, parts int) ([]marker, error) {
	found := make([][]marker, parts)
	group := workers.NewGroup()
	part := (to - from + int64(parts) - 1) / int64(parts)
	for i := range parts {
		start := from + int64(i)*part
		group.Go(func() error {
			for m, err := range markersBetween(r, start, min(start+part, to), size) {
				if err != nil {
					return err
				}
				found[i] = append(found[i], m)
			}
			return nil
		})
	}
	err := group.Wait()
	return slices.Concat(found...), err
}
