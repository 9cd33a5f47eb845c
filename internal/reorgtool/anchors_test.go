package reorgtool_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/reorgdb"
)

// TestAnchorRows: each wanted anchor is in exactly one row, and no row is too long. Several
// rows are in the order of time.
func TestAnchorRows(t *testing.T) {
	db, err := reorgdb.Create(filepath.Join(t.TempDir(), "db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	const odd, count = 3, 25
	times := map[string]uint64{}
	require.NoError(t, db.Update(func(u *reorgdb.Update) error {
		for i := range count {
			a := reorgdb.Anchor{Hash: fmt.Sprintf("%064x", i), BroadcastTime: uint64(i * 7 % 11), L2StateRoot: "root"}
			if i < odd {
				a.Hash = fmt.Sprintf("%064X", 0xabc+i) // which no node writes
			}
			if i == 5 {
				a.Status = reorgdb.FailedOrphaned // not wanted
			} else {
				times[a.Hash] = a.BroadcastTime
			}
			if err := u.Anchor(a); err != nil {
				return err
			}
		}
		return nil
	}))
	wanted := func(a reorgdb.StoredAnchor) bool { return a.Status == reorgdb.Pending }
	for size, rows := range map[int][]int{1: slices.Repeat([]int{1}, 24), 10: {10, 10, 4}, 12: {12, 12}, 23: {23, 1}, 24: {24}, 100: {24}} {
		var got []int
		seen := map[string]uint64{}
		last, sorted := uint64(0), 0
		for row, err := range reorgtool.AnchorRows(t.Context(), db, size, wanted) {
			require.NoError(t, err)
			got = append(got, len(row))
			for _, a := range row {
				require.NotContains(t, seen, a.Key)
				require.Equal(t, a.Key, a.Hash)
				seen[a.Key] = a.BroadcastTime
				if sorted++; size < 24 && sorted > odd {
					require.GreaterOrEqual(t, a.BroadcastTime, last)
					last = a.BroadcastTime
				}
			}
		}
		require.Equal(t, rows, got, size)
		require.Equal(t, times, seen, size)
		for range reorgtool.AnchorRows(t.Context(), db, size, wanted) {
			break
		}
	}
	for _, err := range reorgtool.AnchorRows(t.Context(), db, 10, func(reorgdb.StoredAnchor) bool { return false }) {
		require.NoError(t, err)
		t.Error("a row although no anchor is wanted")
	}
}
