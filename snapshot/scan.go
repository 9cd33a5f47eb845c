package snapshot

import (
	"io"
	"iter"
)

// Scan yields the complete snapshots of the first size bytes of r in the order
// of their ends, and with them the hidden ones: those that no node can see
// because a torn line swallowed one of their markers. Their header stands after
// a torn line, or other bytes than a newline follow their end line.
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
		for p, err := range Pieces(r, from, to, size) {
			if !p.Torn && !yield(p.Located, err) {
				return
			}
		}
	}
}

// Piece is what was meant as a snapshot where no node sees one: a complete one that is
// hidden, or a torn one.
type Piece struct {
	Located
	// Torn is set on one that does not end. It reaches to where the next one starts, or to
	// the end of what was looked through; it has no BodyEnd.
	Torn bool
}

// Pieces yields the pieces in the bytes [from, to) of the first size bytes of r, in file
// order. The bytes are those between complete snapshots that a node sees, as for
// [Hidden], or those of one of these: what it is made of, where torn lines made one of
// several. The iteration ends after an error.
func Pieces(r io.ReaderAt, from, to, size int64) iter.Seq2[Piece, error] {
	return func(yield func(Piece, error) bool) {
		var s scanner
		for m, err := range markersBetween(r, from, to, size) {
			if err != nil {
				yield(Piece{}, err)
				return
			}
			inside, start := s.meantInside, s.meant
			hidden := s.step(m)[0]
			switch {
			case hidden.Size > 0 && !yield(Piece{Located: hidden}, nil):
				return
			case inside && m.kind.starts() && !yield(torn(start, m.off), nil):
				return
			}
		}
		if s.meantInside {
			yield(torn(s.meant, to), nil)
		}
	}
}

func torn(from, to int64) Piece {
	return Piece{Located: Located{Offset: from, Size: to - from}, Torn: true}
}

// scanner follows the markers of a file twice: as a node does, and as they were
// meant.
type scanner struct {
	inside        bool  // a node is inside a snapshot,
	start         int64 // which starts here
	meantInside   bool  // a snapshot was meant to have started,
	meant         int64 // here,
	fused         bool  // after a torn line
	index, hidden int64 // how many were yielded
}

// step returns what ends at m: a hidden snapshot, one that a node sees, or both.
// One of size 0 is none.
func (s *scanner) step(m marker) (ended [2]Located) {
	if s.meantInside {
		switch {
		case m.kind == endMarker && s.fused:
			ended[0] = s.hide(m.next, m.off)
		case m.kind == stuckMarker:
			ended[0] = s.hide(m.next, m.off)
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
	s.meantInside, s.meant, s.fused = m.kind.starts(), m.off, m.kind == fusedMarker
	return ended
}

func (s *scanner) hide(end, bodyEnd int64) Located {
	s.hidden++
	return Located{Index: s.hidden, Offset: s.meant, Size: end - s.meant, BodyEnd: bodyEnd, Hidden: true}
}
