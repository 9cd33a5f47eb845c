package snapshot

import (
	"io"
	"iter"
)

// Scan yields the complete snapshots of the first size bytes of r in the order
// of their ends, and with them the hidden ones: those that no node can see
// because a torn line swallowed one of their markers. Their header stands behind
// a torn line, or their end line is followed by a header instead of a newline.
// Whether a hidden one is sound is for a [Checker] to say. Both kinds are
// numbered from 1. The iteration ends after an error.
func Scan(r io.ReaderAt, size int64) iter.Seq2[Located, error] {
	return func(yield func(Located, error) bool) {
		var s scanner
		for m, err := range markersForward(r, 0, size) {
			if err != nil {
				yield(Located{}, err)
				return
			}
			for _, l := range s.step(m) {
				if l.Size > 0 && !yield(l, nil) {
					return
				}
			}
		}
	}
}

// Hidden yields the complete snapshots in the bytes [from, to) of the first size bytes
// of r that no node can see. There must be no complete snapshot that a node sees between
// from and to, which stand at the start and end of such snapshots or of the file. They
// are numbered from 1. The iteration ends after an error.
func Hidden(r io.ReaderAt, from, to, size int64) iter.Seq2[Located, error] {
	return func(yield func(Located, error) bool) {
		var s scanner
		for m, err := range markersBetween(r, from, to, size) {
			if err != nil {
				yield(Located{}, err)
				return
			}
			if l := s.step(m)[0]; l.Size > 0 && !yield(l, nil) {
				return
			}
		}
	}
}

// scanner follows the markers of a file twice: as a node does, and as they were
// meant.
type scanner struct {
	inside        bool  // a node is inside a snapshot,
	start         int64 // which starts here
	meantInside   bool  // a snapshot was meant to have started,
	meant         int64 // here,
	fused         bool  // behind a torn line
	index, hidden int64 // how many were yielded
}

// step returns what ends at m: a hidden snapshot, one that a node sees, or both.
// One of size 0 is none.
func (s *scanner) step(m marker) (ended [2]Located) {
	if s.meantInside {
		switch {
		case m.kind == endMarker && s.fused:
			ended[0] = s.hide(m.next, m.off)
		case m.afterEnd:
			ended[0] = s.hide(m.off, m.off-int64(len(EndLine)))
		}
	}
	if m.kind == endMarker && s.inside {
		s.index++
		ended[1] = Located{Index: s.index, Offset: s.start, Size: m.next - s.start, BodyEnd: m.off}
	}
	switch m.kind {
	case headerMarker:
		s.inside, s.start = true, m.off
	case endMarker:
		s.inside = false
	}
	s.meantInside, s.meant, s.fused = m.kind != endMarker, m.off, m.kind == fusedMarker
	return ended
}

func (s *scanner) hide(end, bodyEnd int64) Located {
	s.hidden++
	return Located{Index: s.hidden, Offset: s.meant, Size: end - s.meant, BodyEnd: bodyEnd, Hidden: true}
}
