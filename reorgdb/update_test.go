package reorgdb_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/golden"
	"ailee-recovery/reorgdb"
)

func hash(n int) string { return fmt.Sprintf("%064x", n) }

func create(t *testing.T) *reorgdb.DB {
	t.Helper()
	db, err := reorgdb.Create(filepath.Join(t.TempDir(), "reorg_db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// update runs change in one update.
func update(t *testing.T, db *reorgdb.DB, change func(*reorgdb.Update)) {
	t.Helper()
	require.NoError(t, db.Update(func(u *reorgdb.Update) error {
		change(u)
		return nil
	}))
}

func see(t *testing.T, u *reorgdb.Update, height uint64, hash string, want reorgdb.Seen) *reorgdb.ReorgEvent {
	t.Helper()
	seen, event, err := u.Block(ctx, reorgdb.Block{Height: height, Hash: hash}, 1739578200)
	require.NoError(t, err)
	require.Equal(t, want, seen)
	require.Equal(t, want == reorgdb.Replaced, event != nil)
	return event
}

func all(t *testing.T, db *reorgdb.DB) map[string]string {
	t.Helper()
	records := map[string]string{}
	for r, err := range db.Records(ctx, reorgdb.DefaultFamily) {
		require.NoError(t, err)
		records[string(r.Key)] = string(r.Value)
	}
	return records
}

// TestBlocksAndReorgsAsANodeTakesThem compares every byte.
func TestBlocksAndReorgsAsANodeTakesThem(t *testing.T) {
	db := create(t)
	update(t, db, func(u *reorgdb.Update) {
		for height := uint64(100); height < 110; height++ {
			see(t, u, height, hash(int(height)), reorgdb.Written)
		}
		require.NoError(t, u.Anchor(reorgdb.Anchor{Hash: "a1", BitcoinTxID: "t1", BitcoinHeight: 107, Confirmations: 2, BroadcastTime: 5, L2StateRoot: "r"}))
		require.NoError(t, u.Anchor(reorgdb.Anchor{Hash: "a2", BitcoinTxID: "t2", BitcoinHeight: 108, Confirmations: 9, BroadcastTime: 5, RetryCount: 3, Status: reorgdb.Confirmed, L2StateRoot: "r|s"}))
		require.NoError(t, u.Anchor(reorgdb.Anchor{Hash: "a3", BitcoinTxID: "t3", BitcoinHeight: 109, Status: reorgdb.InvalidatedReorg, L2StateRoot: "r"}))
		require.NoError(t, u.Anchor(reorgdb.Anchor{Hash: "a4", BitcoinHeight: 107, Status: reorgdb.FailedOrphaned, L2StateRoot: "r"}))
		require.NoError(t, u.Anchor(reorgdb.Anchor{Hash: "a5", BitcoinHeight: 106, Confirmations: 4, L2StateRoot: "r"}))
	})
	update(t, db, func(u *reorgdb.Update) {
		see(t, u, 106, hash(106), reorgdb.Equal)
		require.Equal(t, []string{"a1", "a2", "a4"}, see(t, u, 107, hash(1107), reorgdb.Replaced).InvalidatedAnchors)
		require.Empty(t, see(t, u, 108, hash(1108), reorgdb.Replaced).InvalidatedAnchors)
		see(t, u, 109, hash(109), reorgdb.Equal)
		see(t, u, 110, hash(1110), reorgdb.Written)
	})
	want := map[string]string{
		"anchor:a1":                  "a1|t1|107|0|5|0|2|r",
		"anchor:a2":                  "a2|t2|108|0|5|3|2|r|s",
		"anchor:a3":                  "a3|t3|109|0|0|0|2|r",
		"anchor:a4":                  "a4||107|0|0|0|2|r",
		"anchor:a5":                  "a5||106|4|0|0|0|r",
		"reorg:00000000000000000000": "107|" + hash(107) + "|" + hash(1107) + "|1739578200|3|a1|a2|a4",
		"reorg:00000000000000000001": "108|" + hash(108) + "|" + hash(1108) + "|1739578200|0",
		"reorg_counter":              "2",
		"block:00000000000000000107": hash(1107),
		"block:00000000000000000108": hash(1108),
		"block:00000000000000000110": hash(1110),
	}
	for _, height := range []int{100, 101, 102, 103, 104, 105, 106, 109} {
		want[fmt.Sprintf("block:%020d", height)] = hash(height)
	}
	require.Equal(t, want, all(t, db))
}

func TestHeightsOfAnUpdateAscend(t *testing.T) {
	db := create(t)
	update(t, db, func(u *reorgdb.Update) {
		see(t, u, 5, hash(5), reorgdb.Written)
		_, _, err := u.Block(ctx, reorgdb.Block{Height: 5, Hash: hash(6)}, 0)
		require.ErrorContains(t, err, "block 5 comes after block 5")
	})
	update(t, db, func(u *reorgdb.Update) { see(t, u, 5, hash(6), reorgdb.Replaced) })
}

// TestNoEventIsOverwritten if the counter is missing, unreadable or too low.
func TestNoEventIsOverwritten(t *testing.T) {
	for _, counter := range []string{"", "x", "0", "1"} {
		db := create(t)
		update(t, db, func(u *reorgdb.Update) {
			for id := range 3 {
				require.NoError(t, u.Put(reorgdb.DefaultFamily, fmt.Appendf(nil, "reorg:%020d", id), []byte("1|o|n|5|0")))
			}
			if counter != "" {
				require.NoError(t, u.Put(reorgdb.DefaultFamily, []byte("reorg_counter"), []byte(counter)))
			}
			see(t, u, 9, hash(9), reorgdb.Written)
		})
		update(t, db, func(u *reorgdb.Update) { require.EqualValues(t, 3, see(t, u, 9, hash(10), reorgdb.Replaced).ID) })
		require.Equal(t, "4", all(t, db)["reorg_counter"])
	}
}

func TestRecordsThatNoNodeCouldReadAreNotWritten(t *testing.T) {
	db := create(t)
	update(t, db, func(u *reorgdb.Update) {
		for _, a := range []reorgdb.Anchor{
			{Hash: "a"}, {L2StateRoot: "r"}, {Hash: "a|b", L2StateRoot: "r"}, {Hash: "a", BitcoinTxID: "|", L2StateRoot: "r"},
			{Hash: "a", L2StateRoot: "r\ns"},
		} {
			require.Error(t, u.Anchor(a), "%+v", a)
			require.Error(t, a.Validate(), "%+v", a)
		}
	})
	require.Empty(t, all(t, db))
}

// TestUpdateIsAllOrNothing: after an error or a panic of the function nothing is written, and
// the next update starts from scratch.
func TestUpdateIsAllOrNothing(t *testing.T) {
	db := create(t)
	errTest := errors.New("a test")
	change := func(u *reorgdb.Update) {
		require.NoError(t, u.Anchor(reorgdb.Anchor{Hash: "a", L2StateRoot: "r"}))
		see(t, u, 5, hash(5), reorgdb.Written)
	}
	require.ErrorIs(t, db.Update(func(u *reorgdb.Update) error {
		change(u)
		return errTest
	}), errTest)
	require.Empty(t, all(t, db))
	require.Panics(t, func() {
		_ = db.Update(func(u *reorgdb.Update) error {
			change(u)
			panic("a bug")
		})
	})
	require.Empty(t, all(t, db))
	update(t, db, change)
	require.Len(t, all(t, db), 2)
}

// TestUnknownFamilies: an unknown column family is an error wherever it is named.
func TestUnknownFamilies(t *testing.T) {
	db := create(t)
	for _, err := range db.Records(ctx, "reputation") {
		require.ErrorIs(t, err, reorgdb.ErrNoFamily)
		require.ErrorContains(t, err, `reorg_db: no column family "reputation"`)
	}
	require.ErrorIs(t, db.BulkLoad("", db.Records(ctx, reorgdb.DefaultFamily)), reorgdb.ErrNoFamily)
	require.ErrorIs(t, db.Update(func(u *reorgdb.Update) error { return u.Put("x", nil, nil) }), reorgdb.ErrNoFamily)
}

// TestIterationsEndEarly with the loop, and with the context.
func TestIterationsEndEarly(t *testing.T) {
	db := openReadOnly(t, golden.Database(t, "node-rocksdb-6.11.4"))
	for r, err := range db.Records(ctx, reorgdb.DefaultFamily) {
		require.NoError(t, err)
		require.NotEmpty(t, r.Key)
		break
	}
	for b, err := range db.Blocks(ctx, 839_990) {
		require.NoError(t, err)
		require.EqualValues(t, 839_990, b.Height)
		break
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	count := 0
	for _, err := range db.Records(cancelled, reorgdb.DefaultFamily) {
		require.ErrorIs(t, err, context.Canceled)
		count++
	}
	for _, err := range db.Blocks(cancelled, 0) {
		require.ErrorIs(t, err, context.Canceled)
		count++
	}
	for _, err := range db.Anchors(cancelled) {
		require.ErrorIs(t, err, context.Canceled)
		count++
	}
	for _, err := range db.Events(cancelled) {
		require.ErrorIs(t, err, context.Canceled)
		count++
	}
	require.Equal(t, 4, count)
}

func TestOrphanedAnchors(t *testing.T) {
	a := reorgdb.Anchor{BroadcastTime: 1000}
	require.False(t, a.Orphaned(1000+3_600_000))
	require.True(t, a.Orphaned(1001+3_600_000))
	require.False(t, a.Orphaned(0), "a clock that was set back")
	a.Confirmations = 1
	require.False(t, a.Orphaned(1001+3_600_000))
	a = reorgdb.Anchor{Status: reorgdb.Confirmed}
	require.False(t, a.Orphaned(1001+3_600_000))
}

// FuzzRecords: every record that can be read, and is written again, reads the same.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("ok|tx|5|6|7|8|1|root"))
	f.Add([]byte("spaces|tx| 5| 6|7 |8|1|root"))
	f.Add([]byte("otherdelim|tx|5x6y7z8w1|root"))
	f.Add([]byte("12|o|n|5|3|A1|B2|C3"))
	f.Add([]byte("14|o|n|5|2|A1"))
	f.Add([]byte(strings.Repeat("1|", 20)))
	f.Fuzz(func(t *testing.T, value []byte) {
		if a, err := reorgdb.ParseAnchor(value); err == nil {
			reread, err := reorgdb.ParseAnchor(reorgdb.AnchorValue(a))
			require.NoError(t, err)
			require.Equal(t, a, reread)
		}
		// A blank anchor cannot be distinguished from a missing one.
		blank := func(anchor string) bool { return strings.TrimSpace(anchor) == "" }
		if e, err := reorgdb.ParseEvent(7, value); err == nil && e.Missing == 0 && !slices.ContainsFunc(e.InvalidatedAnchors, blank) {
			reread, err := reorgdb.ParseEvent(7, reorgdb.EventValue(e))
			require.NoError(t, err)
			require.Equal(t, e, reread)
		}
	})
}

// TestReadingAheadEndsWithTheLoop: if the loop's body panics, nothing reads the database any
// longer when the caller closes it. RocksDB would crash otherwise.
func TestReadingAheadEndsWithTheLoop(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reorg_db")
	db, err := reorgdb.Create(path)
	require.NoError(t, err)
	update(t, db, func(u *reorgdb.Update) {
		for height := range uint64(60_000) {
			see(t, u, height, hash(int(height)), reorgdb.Written)
		}
	})
	require.NoError(t, db.Close())
	for range 5 {
		db, err := reorgdb.OpenReadOnly(path)
		require.NoError(t, err)
		require.Panics(t, func() {
			defer db.Close() //nolint:errcheck // of a reader
			for range db.Records(ctx, reorgdb.DefaultFamily) {
				panic("a bug")
			}
		})
	}
}
