package rocksfile

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"sync"
)

// sortMemory is how many bytes of entries are held in memory. Tests set it.
var sortMemory = 8 << 20

const (
	// itemSize is how many bytes an entry takes in addition to its key and value.
	itemSize = 56
	// mergeMemory is how many bytes reading ahead may take in all sorted parts together. Each
	// part gets at least minAhead and at most maxAhead.
	mergeMemory = 4 << 20
	minAhead    = 1 << 10
	maxAhead    = 64 << 10
	// checkInterval is after how many entries the context is checked.
	checkInterval = 4096
)

// store holds the entries of all column families: in memory as long as there are few, and then
// sorted in a temporary file. take and addRanges are safe for concurrent use.
type store struct {
	newFile  func() (*os.File, error)
	mutex    sync.Mutex
	families map[uint32]*stored
	slab     slab
	held     int // bytes in memory
	file     *os.File
	written  int64
}

// stored are the entries of a column family.
type stored struct {
	items []item      // in memory
	parts []fileRange // in the file
	// The range deletions, as far as they certainly reach, and as far as they possibly reach.
	sure, possible []rangeDeletion
}

// fileRange is a part of the file, with sorted entries.
type fileRange struct{ from, to int64 }

func newStore(newFile func() (*os.File, error)) *store {
	return &store{newFile: newFile, families: map[uint32]*stored{}}
}

func (s *store) family(id uint32) *stored {
	f := s.families[id]
	if f == nil {
		f = &stored{}
		s.families[id] = f
	}
	return f
}

// take moves the items of a run to the store.
func (s *store) take(family uint32, r *run) error {
	if len(r.items) == 0 {
		return nil
	}
	clone := func(b bound) bound { return bound{bytes.Clone(b.key), b.packed} }
	if !r.any {
		r.any, r.first = true, clone(r.items[0].place())
	}
	r.last = clone(r.items[len(r.items)-1].place())
	s.mutex.Lock()
	defer s.mutex.Unlock()
	f := s.family(family)
	for _, i := range r.items {
		i.data = s.slab.add(i.data, nil)
		f.items = append(f.items, i)
	}
	s.held += r.size
	r.items, r.slab, r.size = r.items[:0], r.slab[:0], 0
	if s.held < sortMemory {
		return nil
	}
	return s.spill()
}

// addRanges adds the range deletions of a run. It must be called after all items were taken.
func (s *store) addRanges(family uint32, r *run) {
	if len(r.ranges) == 0 {
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	sure, possible := r.rangeDeletions()
	f := s.family(family)
	f.sure, f.possible = append(f.sure, sure...), append(f.possible, possible...)
}

// spill moves the items from memory to the file.
func (s *store) spill() (err error) {
	if s.file == nil {
		if s.file, err = s.newFile(); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.families)) {
		f := s.families[id]
		if len(f.items) == 0 {
			continue
		}
		slices.SortFunc(f.items, item.order)
		from := s.written
		w := bufio.NewWriterSize(io.NewOffsetWriter(s.file, from), maxAhead)
		var head []byte
		for _, i := range f.items {
			head = binary.AppendUvarint(head[:0], uint64(i.keyLen))
			head = binary.AppendUvarint(head, uint64(len(i.data)-i.keyLen))
			head = binary.LittleEndian.AppendUint64(head, i.packed)
			_, _ = w.Write(head)
			_, _ = w.Write(i.data)
			s.written += int64(len(head) + len(i.data))
		}
		if err := w.Flush(); err != nil { // the first error of all writes
			return err
		}
		f.parts = append(f.parts, fileRange{from, s.written})
		clear(f.items)
		f.items = f.items[:0]
	}
	s.slab, s.held = nil, 0
	return nil
}

// giveBack returns the memory that sorting took to the system, if it was much: RocksDB needs
// memory next, in addition to the garbage of this process.
func (s *store) giveBack() {
	if s.file != nil {
		debug.FreeOSMemory()
	}
}

func (s *store) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// sorted yields the items of a family, in order. Each is valid until the next.
func (s *store) sorted(ctx context.Context, f *stored) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		slices.SortFunc(f.items, item.order)
		var sources sourceHeap
		if len(f.items) > 0 {
			sources = append(sources, &source{item: f.items[0], rest: f.items[1:]})
		}
		ahead := max(minAhead, min(maxAhead, mergeMemory/max(1, len(f.parts))))
		for _, p := range f.parts {
			next := &source{in: bufio.NewReaderSize(io.NewSectionReader(s.file, p.from, p.to-p.from), ahead)}
			if _, err := next.advance(); err != nil {
				yield(item{}, err)
				return
			}
			sources = append(sources, next)
		}
		heap.Init(&sources)
		for n := 1; len(sources) > 0; n++ {
			if n%checkInterval == 0 && ctx.Err() != nil {
				yield(item{}, ctx.Err())
				return
			}
			first := sources[0]
			if !yield(first.item, nil) {
				return
			}
			more, err := first.advance()
			switch {
			case err != nil:
				yield(item{}, err)
				return
			case more:
				heap.Fix(&sources, 0)
			default:
				heap.Pop(&sources)
			}
		}
	}
}

// source is a sequence of sorted items that is being merged, in memory or in the file.
type source struct {
	item item
	rest []item
	in   *bufio.Reader
}

// advance goes to the next item, and reports whether there is one.
func (s *source) advance() (more bool, err error) {
	if s.in == nil {
		if len(s.rest) == 0 {
			return false, nil
		}
		s.item, s.rest = s.rest[0], s.rest[1:]
		return true, nil
	}
	keyLen, err := binary.ReadUvarint(s.in)
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	var valueLen uint64
	if err == nil {
		valueLen, err = binary.ReadUvarint(s.in)
	}
	var packed [8]byte
	if err == nil {
		_, err = io.ReadFull(s.in, packed[:])
	}
	if err != nil {
		return false, err
	}
	n := int(keyLen + valueLen)
	data := s.item.data
	if cap(data) < n {
		data = make([]byte, n)
	}
	s.item = item{data: data[:n], keyLen: int(keyLen), packed: binary.LittleEndian.Uint64(packed[:])}
	_, err = io.ReadFull(s.in, s.item.data)
	return true, err
}

// sourceHeap is a heap with the source of the next item on top.
type sourceHeap []*source

func (h sourceHeap) Len() int           { return len(h) }
func (h sourceHeap) Less(i, j int) bool { return h[i].item.order(h[j].item) < 0 }
func (h sourceHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *sourceHeap) Push(x any)        { *h = append(*h, x.(*source)) }
func (h *sourceHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

// counted counts the records of a column family.
type counted struct {
	live int
	// unresolved counts the keys whose newest entry cannot be turned into a value, by its kind.
	unresolved map[Kind]int64
	// doubtful is how many live records a range deletion may have deleted: it is not known how
	// far it reaches. firstDoubt and lastDoubt are the first and the last of their keys.
	doubtful              int
	firstDoubt, lastDoubt []byte
}

// newest yields the newest entry of each key of a family. Each is valid until the next.
func (s *store) newest(ctx context.Context, f *stored) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		any, last := false, []byte(nil)
		for i, err := range s.sorted(ctx, f) {
			if err != nil {
				yield(item{}, err)
				return
			}
			if any && bytes.Equal(last, i.key()) {
				continue
			}
			any, last = true, append(last[:0], i.key()...)
			if !yield(i, nil) {
				return
			}
		}
	}
}

// live yields the live records of a family: the newest entry of each key, unless it is a
// deletion or a range deletion is newer. If count is not nil, live counts the records.
func (s *store) live(ctx context.Context, f *stored, count *counted) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		deleted, perhaps := newHidden(f.sure), newHidden(f.possible)
		for i, err := range s.newest(ctx, f) {
			if err != nil {
				yield(item{}, err)
				return
			}
			// An entry that still has its sequence number was there when the range was deleted.
			// Only for an entry with 0, which a compaction has set, is that not known.
			inDoubt := perhaps.at(i) > i.seq()
			switch {
			case i.kind().deletes() || deleted.at(i) > i.seq() || inDoubt && i.seq() > 0:
				continue
			case i.kind() != KindPut:
				count.addUnresolved(i.kind())
				continue
			}
			count.addLive(i.key(), inDoubt)
			if !yield(i, nil) {
				return
			}
		}
	}
}

// changes yields the changes since the tables were written, for a family of which the store
// only has entries of logs: the newest entry of each key, which may be a deletion, unless a
// range deletion is newer.
func (s *store) changes(ctx context.Context, f *stored) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		deleted := newHidden(f.sure)
		for i, err := range s.newest(ctx, f) {
			if err == nil && deleted.at(i) > i.seq() {
				continue
			}
			if !yield(i, err) || err != nil {
				return
			}
		}
	}
}

func (c *counted) addUnresolved(kind Kind) {
	if c == nil {
		return
	}
	if c.unresolved == nil {
		c.unresolved = map[Kind]int64{}
	}
	c.unresolved[kind]++
}

func (c *counted) addLive(key []byte, inDoubt bool) {
	if c == nil {
		return
	}
	c.live++
	if !inDoubt {
		return
	}
	if c.doubtful++; c.doubtful == 1 {
		c.firstDoubt = bytes.Clone(key)
	}
	c.lastDoubt = append(c.lastDoubt[:0], key...)
}

// item is a stored entry, with the key and the value one after the other.
type item struct {
	data   []byte
	keyLen int
	packed uint64 // sequence number, kind in the lowest byte
}

func (i item) key() []byte   { return i.data[:i.keyLen:i.keyLen] }
func (i item) value() []byte { return i.data[i.keyLen:] }
func (i item) kind() Kind    { return Kind(i.packed) }
func (i item) seq() uint64   { return i.packed >> 8 }
func (i item) place() bound  { return bound{i.key(), i.packed} }

func (i item) entry(family uint32) Entry {
	return Entry{Family: family, Seq: i.seq(), Kind: i.kind(), Key: i.key(), Value: i.value()}
}

// order compares items as tables are sorted: keys ascend, and for the same key the newest entry
// comes first.
func (i item) order(other item) int {
	if c := bytes.Compare(i.key(), other.key()); c != 0 {
		return c
	}
	return cmp.Compare(other.packed, i.packed)
}
