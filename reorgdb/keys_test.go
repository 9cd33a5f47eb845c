package reorgdb_test

import (
	"fmt"
	"math"
	"math/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/reorgdb"
)

func TestNumberedKeys(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	numbers := []uint64{0, 1, 9, 10, 99_999_999, 100_000_000, 850_090, 9_999_999_999_999_999, 1e16, math.MaxUint64 - 1, math.MaxUint64}
	for range 10_000 {
		numbers = append(numbers, rng.Uint64()>>rng.Intn(64))
	}
	for _, n := range numbers {
		kind, got := reorgdb.KeyKind(fmt.Appendf(nil, "block:%020d", n))
		require.Equal(t, reorgdb.BlockKind, kind)
		require.Equal(t, n, got)
	}
	for _, key := range []string{"block:", "block:1", "block:000000000000000000100", "block:18446744073709551616", "block:99999999999999999999"} {
		kind, _ := reorgdb.KeyKind([]byte(key))
		require.Equal(t, reorgdb.OddKind, kind, key)
	}
	good := []byte("block:00000000000000000007")
	for i := 6; i < len(good); i++ {
		for c := range 256 {
			key := append([]byte{}, good...)
			key[i] = byte(c)
			kind, _ := reorgdb.KeyKind(key)
			digit := '0' <= c && c <= '9'
			// The two leading digits may make it too large.
			if digit && i > 7 {
				require.Equal(t, reorgdb.BlockKind, kind, "%q", key)
			} else if !digit {
				require.Equal(t, reorgdb.OddKind, kind, "%q", key)
			}
		}
	}
}
