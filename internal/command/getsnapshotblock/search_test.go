package getsnapshotblock

import (
	"math/rand"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSearchFindsWhatAScanFinds: median times may stay the same over many blocks.
func TestSearchFindsWhatAScanFinds(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	for range 20_000 {
		medians := make([]int64, 1+rng.Intn(60))
		for i := range medians {
			medians[i] = int64(rng.Intn(4))
			if i > 0 {
				medians[i] += medians[i-1]
			}
		}
		tip := int64(len(medians) - 1)
		seconds := int64(rng.Intn(int(medians[tip])+2)) - 1
		if seconds >= medians[tip] {
			continue // the caller's case
		}
		want := int64(-1)
		for height, median := range medians {
			if median <= seconds {
				want = int64(height)
			}
		}
		calls := 0
		got, err := lastNotAfter(seconds, tip, func(height int64) (int64, error) {
			calls++
			return medians[height], nil
		})
		require.NoError(t, err)
		require.Equal(t, want, got, "%d in %d", seconds, medians)
		require.LessOrEqual(t, calls, 6)
	}
}
