package rocksfile

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"iter"
	"slices"
)

// run is a sequence of items, with the range deletions that come with them.
type run struct {
	items  []item
	ranges []item
	slab   slab
	size   int // bytes that the items take

	reach             reach
	smallest, largest bound // of the table, if reach is inBounds
	// The first and the last place of the items that were taken out, if any is set.
	first, last bound
	any         bool
}

// reach is how far the range deletions of a run count.
type reach int

const (
	everywhere reach = iota // the run is from a log
	inBounds                // within the bounds of the table, which the MANIFEST has
	unknown                 // the bounds of the table are lost
)

// setBounds sets the bounds of a run's table. They are internal keys, nil if they are lost.
func (r *run) setBounds(smallest, largest []byte) {
	if smallest == nil || largest == nil {
		r.reach = unknown
		return
	}
	r.reach, r.smallest, r.largest = inBounds, asBound(smallest), asBound(largest)
}

func asBound(key []byte) bound {
	user, seq, kind, _ := splitKey(key)
	return bound{user, seq<<8 | uint64(kind)}
}

// slab holds bytes that are never moved.
type slab []byte

// Each new piece of a slab is twice as large as the one before, from minSlab up to slabSize.
const minSlab, slabSize = 16 << 10, 1 << 20

func (s *slab) add(a, b []byte) []byte {
	n := len(a) + len(b)
	if cap(*s)-len(*s) < n {
		*s = make([]byte, 0, max(n, minSlab, min(slabSize, 2*cap(*s))))
	}
	from := len(*s)
	*s = append(append(*s, a...), b...)
	return (*s)[from : from+n : from+n]
}

func (r *run) add(e Entry) {
	i := item{keyLen: len(e.Key), packed: e.Seq<<8 | uint64(e.Kind)}
	if e.Kind == KindRangeDelete {
		i.data = slices.Concat(e.Key, e.Value) // not in the slab, which is cleared with the items
		r.ranges = append(r.ranges, i)
		return
	}
	i.data = r.slab.add(e.Key, e.Value)
	r.items = append(r.items, i)
	r.size += len(i.data) + itemSize
}

func (r *run) sort() { slices.SortFunc(r.items, item.order) }

// Records are the live records of a column family.
type Records struct {
	ID   uint32
	Name string // "#" and the id if the name is not known

	len   int
	store *store
}

// Len returns the number of records.
func (r *Records) Len() int { return r.len }

// All yields the records in ascending bytewise order of the keys. Key and value are valid until
// the next record. The iteration ends after an error: the error of ctx, or of reading the temporary
// file.
func (r *Records) All(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for i, err := range r.store.live(ctx, r.store.family(r.ID), nil) {
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if !yield(i.entry(r.ID), nil) {
				return
			}
		}
	}
}

// bound is a place in the order of internal keys.
type bound struct {
	key    []byte
	packed uint64
}

// beforeKey, together with a key, is the place before all entries of the key.
const beforeKey = maxSeq<<8 | uint64(KindRangeDelete)

func (b bound) order(other bound) int {
	if c := bytes.Compare(b.key, other.key); c != 0 {
		return c
	}
	return cmp.Compare(other.packed, b.packed)
}

// rangeDeletion deletes older entries from one place, inclusive, to another, exclusive.
type rangeDeletion struct {
	from, to bound
	seq      uint64
}

// between cuts a range deletion at the bounds of its table, as RocksDB does.
func (d rangeDeletion) between(smallest, largest bound) rangeDeletion {
	switch seq := largest.packed >> 8; {
	case largest.packed == beforeKey: // the next table begins here: exclusive
	case seq == 0: // no range deletion reaches it
	default:
		largest.packed -= 1 << 8 // inclusive
	}
	if d.from.order(smallest) < 0 {
		d.from = smallest
	}
	if d.to.order(largest) > 0 {
		d.to = largest
	}
	return d
}

// rangeDeletions returns the range deletions of a run: as far as they certainly reach, and,
// where the bounds of the table are lost, as far as they possibly reach. A table reaches at
// least from its first entry to its last.
func (r *run) rangeDeletions() (sure, possible []rangeDeletion) {
	for _, i := range r.ranges {
		d := rangeDeletion{bound{i.key(), beforeKey}, bound{i.value(), beforeKey}, i.seq()}
		switch {
		case r.reach == everywhere:
			sure = append(sure, d)
		case r.reach == inBounds:
			sure = append(sure, d.between(r.smallest, r.largest))
		default:
			possible = append(possible, d)
			if r.any {
				sure = append(sure, d.between(r.first, r.last))
			}
		}
	}
	return sure, possible
}

// hidden finds the range deletions that cover items. The items must ascend.
type hidden struct {
	waiting []rangeDeletion // by their start
	active  rangeHeap
}

func newHidden(ranges []rangeDeletion) *hidden {
	slices.SortFunc(ranges, func(a, b rangeDeletion) int { return a.from.order(b.from) })
	return &hidden{waiting: ranges}
}

// at returns the highest sequence number of the range deletions that cover i, 0 for none.
func (h *hidden) at(i item) uint64 {
	for len(h.waiting) > 0 && h.waiting[0].from.order(i.place()) <= 0 {
		heap.Push(&h.active, h.waiting[0])
		h.waiting = h.waiting[1:]
	}
	for len(h.active) > 0 && h.active[0].to.order(i.place()) <= 0 {
		heap.Pop(&h.active)
	}
	if len(h.active) == 0 {
		return 0
	}
	return h.active[0].seq
}

// rangeHeap has the newest range deletion on top.
type rangeHeap []rangeDeletion

func (h rangeHeap) Len() int           { return len(h) }
func (h rangeHeap) Less(i, j int) bool { return h[i].seq > h[j].seq }
func (h rangeHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *rangeHeap) Push(x any)        { *h = append(*h, x.(rangeDeletion)) }
func (h *rangeHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}
