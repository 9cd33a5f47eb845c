package reorgtool

import (
	"cmp"
	"iter"
	"math"
	"slices"
)

// EventIDs gathers the ids of reorg events. They come in the order of the keys, which is the
// order of the ids only if a node wrote the keys. Consecutive ids are held as a range. The
// zero value is ready to use.
type EventIDs struct {
	ranges []idRange
	next   uint64
}

// idRange is the ids from first to last, both included.
type idRange struct{ first, last uint64 }

// Add adds an id.
func (e *EventIDs) Add(id uint64) {
	if n := len(e.ranges) - 1; n >= 0 && id > 0 && e.ranges[n].last == id-1 {
		e.ranges[n].last = id
	} else {
		e.ranges = append(e.ranges, idRange{id, id})
	}
	// There is no id after the highest one.
	if id != math.MaxUint64 {
		e.next = max(e.next, id+1)
	}
}

// Next returns the lowest valid value of the counter: the id after the highest one, or 0
// without any event.
func (e *EventIDs) Next() uint64 { return e.next }

// Missing yields the ranges of ids that no event has, below the highest id or below the
// counter. Both ends of a range are included.
func (e *EventIDs) Missing(counter uint64) iter.Seq2[uint64, uint64] {
	return func(yield func(first, last uint64) bool) {
		slices.SortFunc(e.ranges, func(a, b idRange) int { return cmp.Compare(a.first, b.first) })
		next := uint64(0)
		for _, r := range e.ranges {
			if r.first == math.MaxUint64 {
				break
			}
			if r.first > next && !yield(next, r.first-1) {
				return
			}
			if r.last == math.MaxUint64 {
				next = r.last
				break
			}
			next = max(next, r.last+1)
		}
		if counter > next {
			yield(next, counter-1)
		}
	}
}
