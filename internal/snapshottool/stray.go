package snapshottool

import (
	"io"

	"ailee-recovery/snapshot"
)

// Stray records what is between the complete snapshots of a file: bytes that belong to
// none, and among them snapshots that no node sees. The zero value has seen nothing. Not
// safe for concurrent use.
type Stray struct {
	end    int64 // of the previous snapshot
	bytes  snapshot.Finding
	hidden snapshot.Finding
}

// Before records the next complete snapshot, in file order.
func (s *Stray) Before(l snapshot.Located) {
	if gap := l.Offset - s.end; gap > 0 {
		if s.bytes.Count == 0 {
			s.bytes.Offset = s.end
		}
		s.bytes.Length += gap
		s.bytes.Count++
	}
	s.end = l.End()
}

// BeforeIn is [Stray.Before], and also looks for hidden snapshots in the bytes of r before l
// that belong to none. r has the given size. The error is one from reading.
func (s *Stray) BeforeIn(r io.ReaderAt, l snapshot.Located, size int64) error {
	if l.Offset > s.end {
		for hidden, err := range snapshot.Hidden(r, s.end, l.Offset, size) {
			if err != nil {
				return err
			}
			if s.hidden.Count == 0 {
				s.hidden.Offset = hidden.Offset
			}
			s.hidden.Count++
		}
	}
	s.Before(l)
	return nil
}

// End returns the offset after the last snapshot that was recorded.
func (s *Stray) End() int64 { return s.end }

// Findings returns what was between the snapshots, if anything was.
func (s *Stray) Findings() (found []snapshot.Finding) {
	s.hidden.Kind, s.bytes.Kind = snapshot.HiddenSnapshot, snapshot.StrayBytes
	for _, f := range []snapshot.Finding{s.hidden, s.bytes} {
		if f.Count > 0 {
			found = append(found, f)
		}
	}
	return found
}
