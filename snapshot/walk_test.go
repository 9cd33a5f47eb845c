package snapshot_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/snapshot"
)

// TestRangeEndsEarly: with the loop, with a panic in it, or with the context, any number of
// times; the checker can then be used as before.
func TestRangeEndsEarly(t *testing.T) {
	one := read(t, golden+"/write/node-written-clean.dat")
	data := []byte(strings.Repeat(string(one), 3) + "SNAPSHOT v1\nbalances 1\n")
	r, size := bytes.NewReader(data), int64(len(data))
	checker := snapshot.NewChecker(nil)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		for report, err := range checker.CheckRange(t.Context(), r, 0, size, size) {
			require.NoError(t, err)
			require.Equal(t, snapshot.Valid, report.Verdict())
			break
		}
		require.Panics(t, func() {
			for range checker.CheckRange(t.Context(), r, 0, size, size) {
				panic("a bug")
			}
		})
		yielded := 0
		for _, err := range checker.CheckRange(cancelled, r, 0, size, size) {
			require.ErrorIs(t, err, context.Canceled)
			yielded++
		}
		for _, err := range checker.CheckRange(t.Context(), r, 0, size, size+1) {
			if err != nil {
				require.ErrorIs(t, err, snapshot.ErrShrunk)
			}
			yielded++
		}
		require.Equal(t, 2, yielded)
	}
	count := 0
	for report, err := range checker.CheckRange(t.Context(), r, 0, size, size) {
		require.NoError(t, err)
		require.Equal(t, snapshot.Valid, report.Verdict())
		count++
	}
	require.Equal(t, 9, count) // the file has three, and is repeated three times
}
