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

// merge returns the live items of sorted runs: the newest of each key, unless it
// is a deletion or a range deletion is newer. unresolved counts keys whose newest
// entry cannot be turned into a value.
func merge(runs []*run) (live []item, unresolved int64) {
	var h runHeap
	total := 0
	var ranges []item
	for _, r := range runs {
		ranges = append(ranges, r.ranges...)
		total += len(r.items)
		if len(r.items) > 0 {
			h = append(h, r.items)
		}
	}
	heap.Init(&h)
	hidden := newHidden(ranges)
	live = make([]item, 0, total)
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
		switch {
		case i.kind().deletes() || hidden.at(i.key()) > i.seq():
		case i.kind() == KindPut:
			live = append(live, i)
		default:
			unresolved++
		}
	}
	return live, unresolved
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

// hidden tells which range deletions cover a key, for keys that ascend.
type hidden struct {
	waiting []item // by their start
	active  rangeHeap
}

func newHidden(ranges []item) *hidden {
	slices.SortFunc(ranges, item.order)
	return &hidden{waiting: ranges}
}

// at returns the highest sequence number of those that cover key, 0 for none.
func (h *hidden) at(key []byte) uint64 {
	for len(h.waiting) > 0 && bytes.Compare(h.waiting[0].key(), key) <= 0 {
		heap.Push(&h.active, h.waiting[0])
		h.waiting = h.waiting[1:]
	}
	for len(h.active) > 0 && bytes.Compare(h.active[0].value(), key) <= 0 {
		heap.Pop(&h.active)
	}
	if len(h.active) == 0 {
		return 0
	}
	return h.active[0].seq()
}

// rangeHeap has the newest range deletion on top.
type rangeHeap []item

func (h rangeHeap) Len() int           { return len(h) }
func (h rangeHeap) Less(i, j int) bool { return h[i].packed > h[j].packed }
func (h rangeHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *rangeHeap) Push(x any)        { *h = append(*h, x.(item)) }
func (h *rangeHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}
