package spill_test

import (
	"bytes"
	"io"
	"math/rand"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/spill"
)

// TestLineSorter: lines of any length come out in order, equal ones as often as they were added,
// with or without a file.
func TestLineSorter(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	for _, size := range []int{0, 1, 1000, 8 << 20, 20 << 20} {
		f := &files{dir: t.TempDir()}
		s := spill.NewLineSorter(f.take)
		var want []string
		for total := 0; total < size; {
			line := strings.Repeat(string(rune(1+rng.Intn(9))), rng.Intn(300))
			if rng.Intn(5000) == 0 {
				line = strings.Repeat("\x00\xffx", 1<<16)
			}
			total += len(line) + 5
			want = append(want, line)
			require.NoError(t, s.Add([]byte(line)))
		}
		slices.Sort(want)
		for range 2 {
			i := 0
			for line, err := range s.Sorted() {
				require.NoError(t, err)
				if want[i] != string(line) {
					require.Equal(t, want[i], string(line))
				}
				i++
			}
			require.Len(t, want, i)
		}
		for range s.Sorted() {
			break
		}
		require.Equal(t, size >= 8<<20, f.taken == 1)
		require.NoError(t, s.Close())
		left, err := os.ReadDir(f.dir)
		require.NoError(t, err)
		require.Empty(t, left)
	}
}

// TestLineSorterFails: an error of the file is reported, and so is a file that lost its end.
func TestLineSorterFails(t *testing.T) {
	line := bytes.Repeat([]byte("x"), 5<<20)
	s := spill.NewLineSorter(func() (*os.File, error) { return nil, syscall.ENOSPC })
	require.NoError(t, s.Add(line))
	require.ErrorIs(t, s.Add(line), syscall.ENOSPC)

	f := &files{dir: t.TempDir()}
	var file *os.File
	s = spill.NewLineSorter(func() (got *os.File, err error) { file, err = f.take(); return file, err })
	require.NoError(t, s.Add(line))
	require.NoError(t, s.Add(line))
	require.NoError(t, file.Truncate(7<<20))
	var failed error
	for _, err := range s.Sorted() {
		failed = err
	}
	require.ErrorIs(t, failed, io.ErrUnexpectedEOF)
	require.NoError(t, s.Close())
}
