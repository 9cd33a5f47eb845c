package rocksfile

import (
	"bytes"
	"cmp"
	"container/heap"
	"iter"
	"slices"
)

// item is an entry at rest: key and value behind each other in a slab.
type item struct {
	data   []byte
	keyLen int
	packed uint64 // sequence number, kind in the lowest byte
}

func (i item) key() []byte   { return i.data[:i.keyLen:i.keyLen] }
func (i item) value() []byte { return i.data[i.keyLen:] }
func (i item) kind() Kind    { return Kind(i.packed) }
func (i item) seq() uint64   { return i.packed >> 8 }

// order is that of tables: keys ascending, then the newest first.
func (i item) order(other item) int {
	if c := bytes.Compare(i.key(), other.key()); c != 0 {
		return c
	}
	return cmp.Compare(other.packed, i.packed)
}

// run is a row of items, with the range deletions beside them.
type run struct {
	items  []item
	ranges []item
	slab   []byte

	reach             reach
	smallest, largest bound // with inBounds
}

// reach is how far the range deletions of a run count.
type reach int

const (
	everywhere reach = iota // those of a log
	inBounds                // of its table, which the MANIFEST has
	unknown                 // the bounds of its table are lost
)

// setBounds gives a run the bounds of its table, internal keys, nil where they are lost.
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

const slabSize = 1 << 20

func (r *run) add(e Entry) {
	n := len(e.Key) + len(e.Value)
	if cap(r.slab)-len(r.slab) < n {
		r.slab = make([]byte, 0, max(slabSize, n))
	}
	from := len(r.slab)
	r.slab = append(append(r.slab, e.Key...), e.Value...)
	i := item{data: r.slab[from : from+n : from+n], keyLen: len(e.Key), packed: e.Seq<<8 | uint64(e.Kind)}
	if e.Kind == KindRangeDelete {
		r.ranges = append(r.ranges, i)
	} else {
		r.items = append(r.items, i)
	}
}

// unnumbered tells whether no item has a sequence number.
func (r *run) unnumbered() bool {
	numbered := func(i item) bool { return i.seq() > 0 }
	return !slices.ContainsFunc(r.items, numbered) && !slices.ContainsFunc(r.ranges, numbered)
}

// number gives all items their sequence number.
func (r *run) number(seq uint64) {
	for _, items := range [][]item{r.items, r.ranges} {
		for i := range items {
			items[i].packed = seq<<8 | uint64(items[i].kind())
		}
	}
}

func (r *run) sort() { slices.SortFunc(r.items, item.order) }

// Records are the live records of a column family, in memory.
type Records struct {
	ID    uint32
	Name  string // "#" and the id where the name is not known
	items []item
}

// Len returns how many there are.
func (r *Records) Len() int { return len(r.items) }

// All yields keys, ascending in bytewise order, and values. They must not be
// changed and stay valid.
func (r *Records) All() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for _, i := range r.items {
			if !yield(i.key(), i.value()) {
				return
			}
		}
	}
}

// merged is what the runs of a column family come to.
type merged struct {
	live []item
	// unresolved counts keys whose newest entry cannot be turned into a value, by its kind.
	unresolved map[Kind]int64
	// doubtful are those of live that a range deletion covers which may not reach them.
	doubtful []item
}

// merge puts sorted runs together: of each key the newest entry counts, unless it is a
// deletion or a range deletion is newer.
func merge(runs []*run) (m merged) {
	var h runHeap
	total := 0
	var sure, possible []rangeDeletion
	for _, r := range runs {
		s, p := r.rangeDeletions()
		sure, possible = append(sure, s...), append(possible, p...)
		total += len(r.items)
		if len(r.items) > 0 {
			h = append(h, r.items)
		}
	}
	heap.Init(&h)
	deleted, perhaps := newHidden(sure), newHidden(possible)
	m.live, m.unresolved = make([]item, 0, total), map[Kind]int64{}
	var last []byte
	for len(h) > 0 {
		i := h[0][0]
		if h[0] = h[0][1:]; len(h[0]) == 0 {
			heap.Pop(&h)
		} else if len(h) > 1 {
			heap.Fix(&h, 0)
		}
		if last != nil && bytes.Equal(last, i.key()) {
			continue
		}
		last = i.key()
		// What still has its sequence number was there when the range was deleted. Only
		// that of an entry with 0 is lost: a compaction took it away.
		inDoubt := perhaps.at(i) > i.seq()
		switch {
		case i.kind().deletes() || deleted.at(i) > i.seq() || inDoubt && i.seq() > 0:
		case i.kind() != KindPut:
			m.unresolved[i.kind()]++
		default:
			m.live = append(m.live, i)
			if inDoubt {
				m.doubtful = append(m.doubtful, i)
			}
		}
	}
	return m
}

// runHeap has the run with the next item on top.
type runHeap [][]item

func (h runHeap) Len() int           { return len(h) }
func (h runHeap) Less(i, j int) bool { return h[i][0].order(h[j][0]) < 0 }
func (h runHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)        { *h = append(*h, x.([]item)) }
func (h *runHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

// bound is a place in the order of internal keys.
type bound struct {
	key    []byte
	packed uint64
}

// beforeKey packs with a key to the place in front of all its entries.
const beforeKey = maxSeq<<8 | uint64(KindRangeDelete)

func (b bound) order(other bound) int {
	if c := bytes.Compare(b.key, other.key); c != 0 {
		return c
	}
	return cmp.Compare(other.packed, b.packed)
}

func (i item) place() bound { return bound{i.key(), i.packed} }

// rangeDeletion deletes what is older, from one place, inclusive, to another, exclusive.
type rangeDeletion struct {
	from, to bound
	seq      uint64
}

// between cuts it at the bounds of its table, as RocksDB does.
func (d rangeDeletion) between(smallest, largest bound) rangeDeletion {
	switch seq := largest.packed >> 8; {
	case largest.packed == beforeKey: // where another table begins: exclusive
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

// rangeDeletions are those of a run, as far as they are sure to reach, and as far as they
// possibly do where nothing says the bounds of their table: it reaches at least from its
// first entry to its last.
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
			if n := len(r.items); n > 0 {
				sure = append(sure, d.between(r.items[0].place(), r.items[n-1].place()))
			}
		}
	}
	return sure, possible
}

// hidden tells which range deletions cover an item, for items that ascend.
type hidden struct {
	waiting []rangeDeletion // by their start
	active  rangeHeap
}

func newHidden(ranges []rangeDeletion) *hidden {
	slices.SortFunc(ranges, func(a, b rangeDeletion) int { return a.from.order(b.from) })
	return &hidden{waiting: ranges}
}

// at returns the highest sequence number of those that cover i, 0 for none.
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
