package reorgtest

import (
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/require"
)

// Rocks makes a database at path with options that no tool uses, given in RocksDB's text form,
// such as "compression=kZSTD;disable_auto_compactions=true", lets fill write to it, and closes
// it. What is not flushed stays in its log.
func Rocks(t *testing.T, path, options string, fill func(db *grocksdb.DB)) {
	t.Helper()
	base := grocksdb.NewDefaultOptions()
	defer base.Destroy()
	opts, err := grocksdb.GetOptionsFromString(base, "create_if_missing=true;avoid_flush_during_shutdown=true;"+options)
	require.NoError(t, err)
	defer opts.Destroy()
	db, err := grocksdb.OpenDb(opts, path)
	require.NoError(t, err)
	fill(db)
	db.Close()
}

// Put writes records, given as alternating keys and values.
func Put(t *testing.T, db *grocksdb.DB, records ...string) {
	t.Helper()
	opts := grocksdb.NewDefaultWriteOptions()
	defer opts.Destroy()
	for i := 0; i < len(records); i += 2 {
		require.NoError(t, db.Put(opts, []byte(records[i]), []byte(records[i+1])))
	}
}

// DeleteRange deletes the keys between from, inclusive, and to, exclusive.
func DeleteRange(t *testing.T, db *grocksdb.DB, from, to string) {
	t.Helper()
	opts, batch := grocksdb.NewDefaultWriteOptions(), grocksdb.NewWriteBatch()
	defer opts.Destroy()
	defer batch.Destroy()
	batch.DeleteRange([]byte(from), []byte(to))
	require.NoError(t, db.Write(opts, batch))
}

// Flush moves the content of the log to a table.
func Flush(t *testing.T, db *grocksdb.DB) {
	t.Helper()
	opts := grocksdb.NewDefaultFlushOptions()
	defer opts.Destroy()
	opts.SetWait(true)
	require.NoError(t, db.Flush(opts))
}
