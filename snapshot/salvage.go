package snapshot

import (
	"io"
	"iter"
)

// Fused yields the snapshots that no node can see because a torn line swallowed
// one of their markers: those whose header stands behind a torn line, and those
// whose end line is followed by a header instead of a newline. Whether they are
// sound is for a [Checker] to say. Index counts them from 1. The iteration ends
// after an error.
func Fused(r io.ReaderAt, size int64) iter.Seq2[Located, error] {
	return func(yield func(Located, error) bool) {
		start, fused, index := int64(-1), false, int64(0)
		for m, err := range markersForward(r, 0, size) {
			if err != nil {
				yield(Located{}, err)
				return
			}
			var found Located
			switch {
			case m.kind == endMarker && start >= 0 && fused:
				found = Located{Offset: start, Size: m.next - start, BodyEnd: m.off}
			case m.kind == fusedMarker && m.afterEnd && start >= 0:
				found = Located{Offset: start, Size: m.off - start, BodyEnd: m.off - int64(len(EndLine))}
			}
			start, fused = m.off, m.kind == fusedMarker
			if m.kind == endMarker {
				start = -1
			}
			if found.Size > 0 {
				index++
				found.Index = index
				if !yield(found, nil) {
					return
				}
			}
		}
	}
}
