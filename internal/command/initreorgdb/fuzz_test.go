package initreorgdb_test

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/rocksfile"
)

// rangeOps does to a database what bytes say, four for each: put, delete, delete a range, move
// what is in the log to a table, compact a range, or hold on to what is there.
func rangeOps(t *testing.T, db *grocksdb.DB, ops []byte) {
	write := grocksdb.NewDefaultWriteOptions()
	defer write.Destroy()
	var snapshots []*grocksdb.Snapshot
	for ; len(ops) >= 4; ops = ops[4:] {
		from, to := fmt.Sprintf("k%03d", ops[1]), fmt.Sprintf("k%03d", ops[2])
		from, to = min(from, to), max(from, to)
		switch n := ops[0] % 32; {
		case n < 18:
			reorgtest.Put(t, db, from, fmt.Sprintf("%0*d", ops[3], ops[3]))
		case n < 20:
			require.NoError(t, db.Delete(write, []byte(from)))
		case n < 26 && from == to:
			// RocksDB gives it a sequence number, but writes it neither to a table nor, at the next flush, to
			// the MANIFEST: like the loss of a write that was in a log.
		case n < 26:
			reorgtest.DeleteRange(t, db, from, to)
		case n < 28:
			reorgtest.Flush(t, db)
		case n < 30:
			db.CompactRange(grocksdb.Range{Start: []byte(from), Limit: []byte(to)})
		default: // keeps several entries of a key alive, on both sides of a bound
			snapshots = append(snapshots, db.NewSnapshot())
		}
	}
	for _, s := range snapshots {
		db.ReleaseSnapshot(s)
	}
}

// rocksRecords is what RocksDB itself reads.
func rocksRecords(t *testing.T, db *grocksdb.DB) map[string]string {
	read := grocksdb.NewDefaultReadOptions()
	defer read.Destroy()
	all := map[string]string{}
	it := db.NewIterator(read)
	defer it.Close()
	for it.SeekToFirst(); it.Valid(); it.Next() {
		all["default/"+string(it.Key().Data())] = string(it.Value().Data())
	}
	require.NoError(t, it.Err())
	return all
}

// FuzzRangeDeletions: whatever was put, deleted, flushed and compacted, the files are read as
// RocksDB reads them. Without a MANIFEST none of it is missing, and what has come back is said.
func FuzzRangeDeletions(f *testing.F) {
	for seed := range 6 {
		rng := rand.New(rand.NewSource(int64(seed)))
		ops := make([]byte, 4*60)
		_, _ = rng.Read(ops)
		f.Add(ops)
	}
	// A range that a compaction cuts at the bounds of tables, and newer records within it.
	f.Add([]byte{0, 1, 1, 200, 0, 50, 50, 200, 0, 90, 90, 200, 26, 0, 0, 0, 28, 0, 255, 0, 20, 0, 100, 0, 30, 0, 0, 0, 0, 50, 50, 9, 26, 0, 0, 0, 28, 40, 60, 0, 0, 1, 1, 3})
	f.Fuzz(func(t *testing.T, ops []byte) {
		path := filepath.Join(t.TempDir(), "db")
		var want map[string]string
		reorgtest.Rocks(t, path, smallTables+"disable_auto_compactions=true;", func(db *grocksdb.DB) {
			rangeOps(t, db, ops[:min(len(ops), 4*200)])
			want = rocksRecords(t, db)
		})
		salvaged, err := salvage(t, path)
		require.NoError(t, err)
		require.Empty(t, salvaged.Problems)
		require.Equal(t, want, recordsOf(t, salvaged))
		require.Equal(t, want, reorgtest.Records(t, path))

		manifests, err := filepath.Glob(filepath.Join(path, "MANIFEST-*"))
		require.NoError(t, err)
		for _, manifest := range manifests {
			require.NoError(t, os.Remove(manifest))
		}
		salvaged, err = salvage(t, path)
		require.NoError(t, err)
		inDoubt := slices.ContainsFunc(salvaged.Problems, func(p rocksfile.Problem) bool { return p.Kind == rocksfile.DoubtfulRange })
		got := recordsOf(t, salvaged)
		for key, value := range want {
			require.Equal(t, value, got[key], key)
		}
		require.True(t, len(got) == len(want) || inDoubt, "%d instead of %d: %v", len(got), len(want), salvaged.Problems)
	})
}
