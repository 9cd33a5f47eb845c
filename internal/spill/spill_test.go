package spill_test

import (
	"encoding/binary"
	"math/rand"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/spill"
)

// files counts the files that were created.
type files struct {
	dir   string
	taken int
}

func (f *files) take() (*os.File, error) {
	f.taken++
	return durable.Unnamed(f.dir + "/out")
}

func record(n uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 4, 12), n) }

// counts are the numbers of records to test: none, few, more than are held in memory, exactly
// as many, and enough for several runs to be merged.
var counts = []int{0, 1, 2, 1000, 1<<20/12 - 1, 1 << 20 / 12, 1<<20/12 + 1, 1_000_000}

// TestStore: the records come back in order, from any index, with or without a file.
func TestStore(t *testing.T) {
	for _, n := range counts {
		f := &files{dir: t.TempDir()}
		s := spill.NewStore(12, f.take)
		for i := range n {
			require.NoError(t, s.Add(record(uint64(2*i))))
		}
		require.EqualValues(t, n, s.Len())
		require.Equal(t, n >= 1<<20/12+1, f.taken == 1, n)
		for _, from := range []int{0, n / 2, n} {
			end := n - (n-from)/3
			r := s.From(int64(from), int64(end))
			for i := from; i < end; i++ {
				rec, err := r.Next()
				require.NoError(t, err)
				require.Equal(t, record(uint64(2*i)), rec)
			}
			rec, err := r.Next()
			require.NoError(t, err)
			require.Nil(t, rec)
		}
		buf := make([]byte, 12)
		for _, i := range []int{0, n / 3, n - 1} {
			if i < 0 || i >= n {
				continue
			}
			require.NoError(t, s.Read(int64(i), buf))
			require.Equal(t, record(uint64(2*i)), buf)
			for _, prefix := range []uint64{uint64(2 * i), uint64(max(0, 2*i-1))} {
				at, err := s.Find(record(prefix))
				require.NoError(t, err)
				require.EqualValues(t, i, at)
			}
		}
		at, err := s.Find(record(uint64(2 * n)))
		require.NoError(t, err)
		require.EqualValues(t, n, at)
		require.NoError(t, s.Close())
		left, err := os.ReadDir(f.dir)
		require.NoError(t, err)
		require.Empty(t, left)
	}
}

// TestSorter: the records come out in order, equal ones as often as they were added.
func TestSorter(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	for _, n := range counts {
		f := &files{dir: t.TempDir()}
		s := spill.NewSorter(12, f.take)
		var want []uint64
		for range n {
			number := rng.Uint64() % uint64(n)
			want = append(want, number)
			require.NoError(t, s.Add(record(number)))
		}
		slices.Sort(want)
		for range 2 {
			i := 0
			for rec, err := range s.Sorted() {
				require.NoError(t, err)
				if binary.BigEndian.Uint64(rec[4:]) != want[i] {
					require.Equal(t, record(want[i]), rec)
				}
				i++
			}
			require.Equal(t, n, i)
		}
		for range s.Sorted() {
			break
		}
		require.NoError(t, s.Close())
	}
}

// TestNoFile: an error of the file is reported, and no file is created as long as memory is
// enough.
func TestNoFile(t *testing.T) {
	full := func() (*os.File, error) { return nil, syscall.ENOSPC }
	store, sorter := spill.NewStore(1<<19, full), spill.NewSorter(1<<19, full)
	big := make([]byte, 1<<19)
	require.NoError(t, store.Add(big))
	require.ErrorIs(t, store.Add(big), syscall.ENOSPC)
	require.NoError(t, sorter.Add(big))
	require.ErrorIs(t, sorter.Add(big), syscall.ENOSPC)
}
