package snapshot

import (
	"io"
	"iter"
)

// Scan yields the complete snapshots of the first size bytes of r in the order of their
// ends, including the hidden ones, which no node can see because a torn line swallowed one
// of their markers: their header comes after a torn line, or their end line is followed
// by other bytes than a newline. Only a [Checker] can say whether a hidden one is sound.
// Both kinds are numbered from 1. The iteration ends after an error.
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

// Hidden yields the complete snapshots in the bytes [from, to) of the first size bytes of r
// that no node can see. from and to must be the start or end of a snapshot that a node
// sees, or of the file, with no such snapshot between them. The hidden ones are numbered
// from 1. The iteration ends after an error.
func Hidden(r io.ReaderAt, from, to, size int64) iter.Seq2[Located, error] {
	return func(yield func(Located, error) bool) {
		for p, err := range Pieces(r, from, to, size) {
			if !p.Torn && !yield(p.Located, err) {
				return
			}
		}
	}
}

// Piece is a snapshot that no node sees as one: a complete one that is hidden, or a torn
// one.
type Piece struct {
	Located
	// Torn is set if the snapshot does not end. It reaches to the start of the next one, or
	// to the end of the range that was searched, and has no BodyEnd.
	Torn bool
}

// Pieces yields the pieces in the bytes [from, to) of the first size bytes of r, in file
// order. The range is either between complete snapshots that a node sees, as for [Hidden],
// or one of these: then the pieces are the snapshots that torn lines merged into it. The
// iteration ends after an error.
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

// scanner follows the markers of a file in two ways: as a node does, and as they were
// meant.
type scanner struct {
	inside        bool  // a node is inside a snapshot
	start         int64 // that starts here
	meantInside   bool  // a snapshot was meant to have started
	meant         int64 // here
	fused         bool  // after a torn line
	index, hidden int64 // how many were yielded
}

// step returns the snapshots that end at m: a hidden one, one that a node sees, or both.
// If the size is 0, there is none.
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
