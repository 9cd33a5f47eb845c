package initreorgdb_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/rocksfile"
)

// smallTables makes a compaction cut range deletions at the bounds of many tables.
const smallTables = "target_file_size_base=8192;write_buffer_size=1048576;compression=kNoCompression;" +
	"block_based_table_factory={format_version=5;checksum=kCRC32c;block_size=1024};"

// compacted waits until the compaction of level 0 that a flush has started is done.
func compacted(db *grocksdb.DB) {
	for db.GetProperty("rocksdb.num-files-at-level0") != "0" || db.GetProperty("rocksdb.num-running-compactions") != "0" {
		runtime.Gosched()
	}
}

func hashAt(round, height int) string { return fmt.Sprintf("%04d%060d", round, height) }

// cutRanges makes a database with a range deletion that a compaction has cut: each table of
// level 1 has the whole range, and the levels below have newer hashes with sequence number 0.
// The heights from 1500 to 1599 are deleted. The last record is in the log.
func cutRanges(t *testing.T) (path string, want map[string]string) {
	path = filepath.Join(t.TempDir(), "old")
	const n = 2000
	key := func(height int) string { return fmt.Sprintf("block:%020d", height) }
	reorgtest.Rocks(t, path, smallTables+"level0_file_num_compaction_trigger=2;", func(db *grocksdb.DB) {
		put := func(round int, gap bool) {
			for height := range n {
				if !gap || height < 1500 || height > 1599 {
					reorgtest.Put(t, db, key(height), hashAt(round, height))
				}
			}
			reorgtest.Flush(t, db)
		}
		put(1, false)
		opts := grocksdb.NewCompactRangeOptions()
		defer opts.Destroy()
		opts.SetChangeLevel(true)
		opts.SetTargetLevel(6)
		db.CompactRangeOpt(grocksdb.Range{}, opts)
		reorgtest.DeleteRange(t, db, key(0), key(n))
		reorgtest.Flush(t, db)
		put(2, true)
		compacted(db)
		db.CompactRange(grocksdb.Range{Start: []byte(key(0)), Limit: []byte(key(800))})
		reorgtest.Put(t, db, "anchor:last", "x")
	})
	want = reorgtest.Records(t, path)
	require.Len(t, want, n-100+1)
	return path, want
}

// TestRangeDeletionCountsWithinItsTable: RocksDB cuts a range deletion at the bounds of its
// table, and so does the code that reads tables without RocksDB.
func TestRangeDeletionCountsWithinItsTable(t *testing.T) {
	path, want := cutRanges(t)
	logs, err := filepath.Glob(filepath.Join(path, "*.log"))
	require.NoError(t, err)
	cut(t, slices.Max(logs), 1)
	delete(want, "default/anchor:last")

	copied := filepath.Join(t.TempDir(), "copy")
	code, _, stderr := clitest.Run(initreorgdb.Tool(), "--path", copied, "--copy-from", path)
	require.Equal(t, exit.Wrong, code, stderr)
	require.NotContains(t, stderr, "in doubt")
	require.Equal(t, want, reorgtest.Records(t, copied))
}

// TestRangeDeletionWithoutBoundsIsInDoubt: without a MANIFEST, no record that was there is
// dropped, and those that may have come back are reported.
func TestRangeDeletionWithoutBoundsIsInDoubt(t *testing.T) {
	path, want := cutRanges(t)
	manifests, err := filepath.Glob(filepath.Join(path, "MANIFEST-*"))
	require.NoError(t, err)
	for _, manifest := range manifests {
		require.NoError(t, os.Remove(manifest))
	}
	copied := filepath.Join(t.TempDir(), "copy")
	code, stdout, stderr := clitest.Run(initreorgdb.Tool(), "--json", "--path", copied, "--copy-from", path)
	require.Equal(t, exit.Wrong, code, stderr)
	var d struct {
		Problems []struct{ Kind, Message string }
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &d))
	doubts := map[string]string{}
	for _, p := range d.Problems {
		doubts[p.Kind] = p.Message
	}
	require.Contains(t, doubts[string(rocksfile.DoubtfulRange)], `records of column family "default" that it may have deleted are kept, from "block:000`)
	got := reorgtest.Records(t, copied)
	for key, value := range want {
		require.Equal(t, value, got[key], key)
	}
	for key, value := range got {
		if want[key] == "" {
			require.Equal(t, "0001", value[:4], key)
		}
	}
}

// TestRandomRangeDeletions: whatever was put, deleted, flushed and compacted, reading the
// files gives the same records as RocksDB.
func TestRandomRangeDeletions(t *testing.T) {
	seeds := 12
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		rng := rand.New(rand.NewSource(int64(seed)))
		path := filepath.Join(t.TempDir(), "db")
		key := func() string { return fmt.Sprintf("k%03d", rng.Intn(400)) }
		reorgtest.Rocks(t, path, smallTables+"disable_auto_compactions=true;", func(db *grocksdb.DB) {
			snapshots := []*grocksdb.Snapshot{}
			for range 3000 {
				switch n := rng.Intn(1000); {
				case n < 920:
					reorgtest.Put(t, db, key(), fmt.Sprintf("%0*d", rng.Intn(200), n))
				case n < 980:
					from, to := key(), key()
					reorgtest.DeleteRange(t, db, min(from, to), max(from, to))
				case n < 990:
					reorgtest.Flush(t, db)
				case n < 996:
					from, to := key(), key()
					db.CompactRange(grocksdb.Range{Start: []byte(min(from, to)), Limit: []byte(max(from, to))})
				default: // a snapshot keeps several entries of a key alive, on both sides of a bound
					snapshots = append(snapshots, db.NewSnapshot())
				}
			}
			for _, s := range snapshots {
				db.ReleaseSnapshot(s)
			}
		})
		salvaged, err := salvage(t, path)
		require.NoError(t, err)
		require.Empty(t, salvaged.Problems)
		got := recordsOf(t, salvaged)
		want := reorgtest.Records(t, path)
		require.Equal(t, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)), "seed %d", seed)
		require.Equal(t, want, got, "seed %d", seed)
	}
}
