package reorgtool

import (
	"iter"
	"math"
	"slices"
)

// EventIDs gathers the ids of reorg events. They come in the order of the keys, which
// is theirs only where a node wrote the keys.
type EventIDs struct {
	ids  []uint64
	next uint64
}

// Add takes an id.
func (e *EventIDs) Add(id uint64) {
	e.ids = append(e.ids, id)
	// Nothing comes after the highest id there is.
	if id != math.MaxUint64 {
		e.next = max(e.next, id+1)
	}
}

// Next returns what the counter is at least: the id after the last, 0 without any.
func (e *EventIDs) Next() uint64 { return e.next }

// Missing yields the ranges of ids that no event has, first and last, below the last
// event and below the counter.
func (e *EventIDs) Missing(counter uint64) iter.Seq2[uint64, uint64] {
	return func(yield func(first, last uint64) bool) {
		slices.Sort(e.ids)
		next := uint64(0)
		for _, id := range e.ids {
			if id == math.MaxUint64 {
				break
			}
			if id > next && !yield(next, id-1) {
				return
			}
			next = id + 1
		}
		if counter > next {
			yield(next, counter-1)
		}
	}
}
