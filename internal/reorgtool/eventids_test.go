package reorgtool_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/reorgtool"
)

// TestMissingEvents: ids come in the order of the keys. Keys that nodes write are in the order
// of the ids; other keys are in any order.
func TestMissingEvents(t *testing.T) {
	const most = uint64(math.MaxUint64)
	type ranges [][2]uint64
	for _, test := range []struct {
		ids     []uint64
		counter uint64
		next    uint64
		missing ranges
	}{
		{nil, 0, 0, nil},
		{nil, 3, 0, ranges{{0, 2}}},
		{[]uint64{0, 1, 2, 3}, 4, 4, nil},
		{[]uint64{0, 1, 2, 3}, 9, 4, ranges{{4, 8}}},
		{[]uint64{5, 6, 9}, 0, 10, ranges{{0, 4}, {7, 8}}},
		{[]uint64{0, 0, 1, 1, 3}, 0, 4, ranges{{2, 2}}},
		{[]uint64{3, 0, 1, 2, 4}, 5, 5, nil},
		{[]uint64{7, 8, 0, 8, 7, 1}, 0, 9, ranges{{2, 6}}},
		{[]uint64{0, most}, 1, 1, nil},
		{[]uint64{0, most}, most, 1, ranges{{1, most - 1}}},
		{[]uint64{most - 2, most - 1, most}, most, most, ranges{{0, most - 3}}},
		{[]uint64{most, most}, 0, 0, nil},
	} {
		var e reorgtool.EventIDs
		for _, id := range test.ids {
			e.Add(id)
		}
		require.Equal(t, test.next, e.Next(), test.ids)
		for range 2 {
			var missing ranges
			for first, last := range e.Missing(test.counter) {
				missing = append(missing, [2]uint64{first, last})
			}
			require.Equal(t, test.missing, missing, test.ids)
		}
	}
}
