package snapshottool

import "ailee-recovery/snapshot"

// Stray counts the bytes between complete snapshots. The zero value has seen none. Not
// safe for concurrent use.
type Stray struct {
	end    int64 // of the snapshot before
	first  int64
	length int64
	gaps   uint64
}

// Before takes note of the next complete snapshot, in file order.
func (s *Stray) Before(l snapshot.Located) {
	if gap := l.Offset - s.end; gap > 0 {
		if s.gaps == 0 {
			s.first = s.end
		}
		s.length += gap
		s.gaps++
	}
	s.end = l.End()
}

// End returns the offset after the last snapshot that was noted.
func (s *Stray) End() int64 { return s.end }

// Findings returns what was between the snapshots, if anything was.
func (s *Stray) Findings() []snapshot.Finding {
	if s.gaps == 0 {
		return nil
	}
	return []snapshot.Finding{{Kind: snapshot.StrayBytes, Offset: s.first, Length: s.length, Count: s.gaps}}
}
