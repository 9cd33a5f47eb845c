package reorgdb_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/golden"
	"ailee-recovery/reorgdb"
)

// TestAppendedBlocksAreLikeWrittenOnes for every reader, for RocksDB 6.11.4, and for later
// updates.
func TestAppendedBlocksAreLikeWrittenOnes(t *testing.T) {
	path := golden.Database(t, "node-rocksdb-6.11.4")
	before := map[string]string{}
	tables, err := filepath.Glob(filepath.Join(path, "*.sst"))
	require.NoError(t, err)
	for _, name := range tables {
		before[filepath.Base(name)] = ""
	}
	db, err := reorgdb.Open(path)
	require.NoError(t, err)
	want := all(t, db)
	var hashes []byte
	for height := 840_001; height <= 1_000_005; height++ {
		hashes = append(hashes, hash(height)...)
	}
	require.ErrorContains(t, db.AppendBlocks(840_000, hashes), "block 840000 is not above block 840000")
	require.NoError(t, db.AppendBlocks(840_001, hashes[:100_000*reorgdb.HashSize]))
	require.NoError(t, db.AppendBlocks(940_001, hashes[100_000*reorgdb.HashSize:]))
	require.NoError(t, db.AppendBlocks(1_000_006, nil))
	require.ErrorContains(t, db.AppendBlocks(1_000_006, hashes[1:]), "bytes of block hashes")
	update(t, db, func(u *reorgdb.Update) { see(t, u, 1_000_005, hash(1_000_005), reorgdb.Equal) })
	require.ErrorContains(t, db.AppendBlocks(1_000_005, hashes), "is not above")
	// This entry must count as newer than the appended ones.
	update(t, db, func(u *reorgdb.Update) { see(t, u, 1_000_006, hash(1_000_006), reorgdb.Written) })
	update(t, db, func(u *reorgdb.Update) { see(t, u, 999_999, hash(7), reorgdb.Replaced) })
	require.NoError(t, db.Sync())
	require.NoError(t, db.Close())
	requireOldTables(t, path, before)

	db, err = reorgdb.OpenReadOnly(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	got := all(t, db)
	for height := 840_001; height <= 1_000_005; height++ {
		if height != 999_999 {
			require.Equal(t, hash(height), got[blockKey(height)])
		}
	}
	require.Equal(t, hash(7), got[blockKey(999_999)])
	require.Len(t, got, len(want)+len(hashes)/reorgdb.HashSize+2)
}

func blockKey(height int) string { return string(reorgdb.BlockKey(uint64(height))) }

// TestLeftoverOfAppendingIsRemoved: the next update removes what a killed process left.
func TestLeftoverOfAppendingIsRemoved(t *testing.T) {
	path := golden.Database(t, "node-rocksdb-6.11.4")
	leftover := filepath.Join(path, "000000.dbtmp")
	require.NoError(t, os.WriteFile(leftover, []byte("half a table"), 0o600))
	db, err := reorgdb.Open(path)
	require.NoError(t, err)
	update(t, db, func(*reorgdb.Update) {})
	require.NoFileExists(t, leftover)
	require.NoError(t, db.Close())
}

// TestReadOnlyIsNotChanged: not even an update that would change nothing removes a leftover
// table. It may belong to a process that is appending.
func TestReadOnlyIsNotChanged(t *testing.T) {
	path := golden.Database(t, "node-rocksdb-6.11.4")
	require.NoError(t, os.WriteFile(filepath.Join(path, "000000.dbtmp"), []byte("half a table"), 0o600))
	before := files(t, path)
	db := openReadOnly(t, path)
	require.ErrorIs(t, db.Update(func(*reorgdb.Update) error { return nil }), reorgdb.ErrReadOnly)
	require.ErrorIs(t, db.AppendBlocks(1_000_000, []byte(hash(1))), reorgdb.ErrReadOnly)
	require.ErrorIs(t, db.BulkLoad(reorgdb.DefaultFamily, db.Records(ctx, reorgdb.DefaultFamily)), reorgdb.ErrReadOnly)
	require.Equal(t, before, files(t, path))
}
