package spill

import (
	"bytes"
	"cmp"
	"container/heap"
	"iter"
	"sort"
)

// mergeMemory is how much memory reading ahead in all runs may take, in bytes; each run gets
// at least minAhead.
const (
	mergeMemory = 4 << 20
	minAhead    = 1 << 10
)

// Sorter sorts records by their bytes. It is not safe for concurrent use.
type Sorter struct {
	store *Store
	runs  []int64 // where each sorted run ends, in records
}

// NewSorter returns an empty sorter for records of the given size in bytes.
func NewSorter(size int, newFile NewFile) *Sorter { return &Sorter{store: NewStore(size, newFile)} }

// Add adds a record. None may be added after Sorted.
func (s *Sorter) Add(record []byte) error {
	if len(s.store.held)+len(record) >= inMemory {
		s.endRun()
		if err := s.store.flush(); err != nil {
			return err
		}
	}
	return s.store.Add(record)
}

// endRun sorts the records in memory.
func (s *Sorter) endRun() {
	sort.Sort(&slab{s.store.held, s.store.size, make([]byte, s.store.size)})
	s.runs = append(s.runs, s.store.Len())
}

// Len returns how many records there are.
func (s *Sorter) Len() int64 { return s.store.Len() }

// Sorted yields the records in order. Each is valid until the next one. The iteration ends
// after an error.
func (s *Sorter) Sorted() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if n := len(s.runs); s.Len() > 0 && (n == 0 || s.runs[n-1] < s.Len()) {
			s.endRun()
		}
		var runs []reader
		from, ahead := int64(0), readAheadOf(len(s.runs), readAhead)
		for _, end := range s.runs {
			runs = append(runs, s.store.from(from, end, ahead))
			from = end
		}
		merged(runs, yield)
	}
}

// readAheadOf returns how much to read ahead in each of the runs, in bytes.
func readAheadOf(runs, most int) int { return max(minAhead, min(most, mergeMemory/max(1, runs))) }

// reader reads the records of a run one by one. Each is valid until the next one; nil is the
// end.
type reader interface{ Next() ([]byte, error) }

// merged yields the records of sorted runs in order.
func merged(runs []reader, yield func([]byte, error) bool) {
	var m merge
	for _, r := range runs {
		if !m.add(&run{reader: r}, yield) {
			return
		}
	}
	heap.Init(&m)
	for len(m) > 0 {
		first := m[0]
		if !yield(first.record, nil) {
			return
		}
		more, err := first.next()
		switch {
		case err != nil:
			yield(nil, err)
			return
		case more:
			heap.Fix(&m, 0)
		default:
			heap.Pop(&m)
		}
	}
}

// Close frees the file.
func (s *Sorter) Close() error { return s.store.Close() }

// slab holds consecutive records of one size.
type slab struct {
	bytes []byte
	size  int
	swap  []byte
}

func (s *slab) at(i int) []byte    { return s.bytes[i*s.size : (i+1)*s.size] }
func (s *slab) Len() int           { return len(s.bytes) / s.size }
func (s *slab) Less(i, j int) bool { return bytes.Compare(s.at(i), s.at(j)) < 0 }
func (s *slab) Swap(i, j int) {
	copy(s.swap, s.at(i))
	copy(s.at(i), s.at(j))
	copy(s.at(j), s.swap)
}

// run is a sorted run that is being merged.
type run struct {
	reader reader
	record []byte
}

func (r *run) next() (more bool, err error) {
	r.record, err = r.reader.Next()
	return r.record != nil, err
}

// merge is a heap of runs, ordered by their next record.
type merge []*run

// add starts a run, and reports whether to go on.
func (m *merge) add(r *run, yield func([]byte, error) bool) bool {
	more, err := r.next()
	if err != nil {
		return yield(nil, err) && false
	}
	if more {
		*m = append(*m, r)
	}
	return true
}

func (m merge) Len() int           { return len(m) }
func (m merge) Less(i, j int) bool { return bytes.Compare(m[i].record, m[j].record) < 0 }
func (m merge) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *merge) Push(x any)        { *m = append(*m, x.(*run)) }
func (m *merge) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}

// Find returns the index of the first record that is not less than the prefix. The records of
// the store must be in order.
func (s *Store) Find(prefix []byte) (int64, error) {
	record := make([]byte, s.size)
	var failed error
	at := sort.Search(int(s.Len()), func(i int) bool {
		if err := s.Read(int64(i), record); err != nil {
			failed = cmp.Or(failed, err)
		}
		return bytes.Compare(record[:len(prefix)], prefix) >= 0
	})
	return int64(at), failed
}
