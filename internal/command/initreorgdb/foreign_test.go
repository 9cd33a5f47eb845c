package initreorgdb_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/exit"
)

// TestWhatNoNodeWritesIsNamed: something that no node writes is not damage. Nothing is copied,
// no hint suggests a copy, and RocksDB does not end the process, whatever else is damaged.
func TestWhatNoNodeWritesIsNamed(t *testing.T) {
	clitest.InMemory(t)
	blocks := func(t *testing.T, db *grocksdb.DB) {
		for height := range 300 {
			reorgtest.Put(t, db, fmt.Sprintf("block:%020d", height), fmt.Sprintf("%064x", height))
		}
	}
	flushed := func(t *testing.T, db *grocksdb.DB) {
		blocks(t, db)
		reorgtest.Flush(t, db)
	}
	elsewhere := t.TempDir()
	for _, test := range []struct {
		name, options string
		fill          func(t *testing.T, db *grocksdb.DB)
		make          func(t *testing.T, path string) // instead of fill
		want          string
	}{
		{name: "blob files", options: "enable_blob_files=true", fill: flushed, want: `blob files \(MANIFEST-\d+, byte \d+\)`},
		{name: "compressed log", options: "wal_compression=kZSTD", fill: blocks, want: `a compressed log \(\d+\.log\)`},
		{name: "compressed log after a flush", options: "wal_compression=kZSTD", fill: func(t *testing.T, db *grocksdb.DB) {
			flushed(t, db)
			blocks(t, db)
		}, want: "a compressed log"},
		{name: "merge operand in the log", options: "merge_operator=stringappend", fill: func(t *testing.T, db *grocksdb.DB) {
			blocks(t, db)
			merge(t, db, "anchor:a")
			blocks(t, db)
		}, want: `merge operands, which need the merge operator that they were written for \(\d+\.log, byte \d+\)`},
		{name: "merge operand in a table", options: "merge_operator=stringappend", fill: func(t *testing.T, db *grocksdb.DB) {
			merge(t, db, "anchor:a")
			flushed(t, db)
		}, want: "merge operands, which need the merge operator that they were written for"},
		// When it iterates backwards, RocksDB asserts that there is an operator.
		{name: "merge operand below a value", options: "merge_operator=stringappend", fill: func(t *testing.T, db *grocksdb.DB) {
			merge(t, db, "anchor:a")
			reorgtest.Flush(t, db)
			reorgtest.Put(t, db, "anchor:a", "value")
		}, want: `merge operands, which need the merge operator that they were written for \(\d+\.sst\)`},
		{name: "entity in the log", fill: func(t *testing.T, db *grocksdb.DB) {
			blocks(t, db)
			entity(t, db, "anchor:a")
		}, want: `wide-column entities \(\d+\.log, byte \d+\)`},
		{name: "entity in a table", fill: func(t *testing.T, db *grocksdb.DB) {
			blocks(t, db)
			entity(t, db, "block:00000000000000000150x")
			reorgtest.Flush(t, db)
		}, want: `wide-column entities \(\d+\.sst\)`},
		{name: "plain table", options: "plain_table_factory={user_key_len=0};prefix_extractor=fixed:8;allow_mmap_reads=true", fill: flushed, want: `a plain table \(\d+\.sst\)`},
		{name: "order of keys", options: "comparator=rocksdb.ReverseBytewiseComparator", fill: flushed, want: `keys in the order of "rocksdb.ReverseBytewiseComparator"`},
		{name: "logs elsewhere", options: "wal_dir=" + elsewhere, fill: blocks, want: "logs in another folder, "},
		{name: "prepared", make: transaction(prepared), want: `marks of a two-phase transaction \(\d+\.log, byte \d+\)`},
		{name: "committed", make: transaction(committed), want: "marks of a two-phase transaction"},
		{name: "rolled back", make: transaction(rolledBack), want: "marks of a two-phase transaction"},
		{name: "prepared before a flush", make: transaction(preparedAndFlushed), want: "marks of a two-phase transaction"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "old")
			if test.make != nil {
				test.make(t, path)
			} else {
				reorgtest.Rocks(t, path, test.options, func(db *grocksdb.DB) { test.fill(t, db) })
			}
			refused := func() {
				t.Helper()
				copied := filepath.Join(t.TempDir(), "copy")
				for _, args := range [][]string{{"--path", copied, "--copy-from", path}, {"--json", "--path", copied, "--copy-from", path}} {
					code, stdout, stderr := clitest.Run(initreorgdb.Tool(), args...)
					require.Equal(t, exit.Failed, code, "%s%s", stdout, stderr)
					require.Regexp(t, "not supported: "+test.want, stdout+stderr)
				}
				require.NoDirExists(t, copied)
				code, stdout, stderr := clitest.Run(reorgverify.Tool(), "--db-path", path)
				require.Equal(t, exit.Failed, code, "%s%s", stdout, stderr)
				require.Regexp(t, "not supported: "+test.want, stderr)
				require.NotContains(t, stderr, "--copy-from")
				require.NotContains(t, stderr, "the database is damaged")
			}
			refused()
			logs, err := filepath.Glob(filepath.Join(path, "*.log"))
			require.NoError(t, err)
			if len(logs) == 0 {
				return
			}
			f, err := os.OpenFile(logs[len(logs)-1], os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.WriteString("half a record, torn")
			require.NoError(t, err)
			require.NoError(t, f.Close())
			refused()
		})
	}
}

// TestDamageWithoutChecksumsEndsNoProcess: RocksDB has assertions about the contents of such a
// table. An entry of another kind cannot be distinguished from one with a damaged kind.
func TestDamageWithoutChecksumsEndsNoProcess(t *testing.T) {
	clitest.InMemory(t)
	path := filepath.Join(t.TempDir(), "old")
	reorgtest.Rocks(t, path, "compression=kSnappyCompression;block_based_table_factory={checksum=kNoChecksum}", func(db *grocksdb.DB) {
		for height := range 500 {
			reorgtest.Put(t, db, fmt.Sprintf("block:%020d", height), fmt.Sprintf("%064x", height))
		}
		reorgtest.Flush(t, db)
	})
	tables, err := filepath.Glob(filepath.Join(path, "*.sst"))
	require.NoError(t, err)
	require.Len(t, tables, 1)
	whole, err := os.ReadFile(tables[0])
	require.NoError(t, err)
	for at := 0; at < len(whole); at += len(whole) / 60 {
		broken := append([]byte{}, whole...)
		broken[at] ^= 1 << (at % 8)
		require.NoError(t, os.WriteFile(tables[0], broken, 0o600))
		code, stdout, stderr := clitest.Run(reorgverify.Tool(), "--db-path", path)
		require.Contains(t, []int{exit.OK, exit.Failed, exit.Wrong}, code, "byte %d: %s%s", at, stdout, stderr)
		copied := filepath.Join(t.TempDir(), "copy")
		code, stdout, stderr = clitest.Run(initreorgdb.Tool(), "--path", copied, "--copy-from", path)
		require.Contains(t, []int{exit.OK, exit.Failed, exit.Wrong}, code, "byte %d: %s%s", at, stdout, stderr)
	}
}

func merge(t *testing.T, db *grocksdb.DB, key string) {
	t.Helper()
	opts := grocksdb.NewDefaultWriteOptions()
	defer opts.Destroy()
	require.NoError(t, db.Merge(opts, []byte(key), []byte("operand")))
}

// entity writes a value with two columns. The C interface has no call for that, so it is
// written as a batch in RocksDB's own encoding.
func entity(t *testing.T, db *grocksdb.DB, key string) {
	t.Helper()
	text := func(b []byte, s string) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	value := "\x01\x02\x00\x07\x04name\x05" + "defaultother"
	raw := binary.LittleEndian.AppendUint32(make([]byte, 8), 1)
	raw = text(text(append(raw, 0x16), key), value)
	opts, batch := grocksdb.NewDefaultWriteOptions(), grocksdb.WriteBatchFrom(raw)
	defer opts.Destroy()
	defer batch.Destroy()
	require.NoError(t, db.Write(opts, batch))
}

// outcome is how a two-phase transaction ends.
type outcome int

const (
	prepared outcome = iota
	committed
	rolledBack
	preparedAndFlushed
)

// transaction makes a database with blocks and a two-phase transaction.
func transaction(how outcome) func(t *testing.T, path string) {
	return func(t *testing.T, path string) {
		opts, txOpts := grocksdb.NewDefaultOptions(), grocksdb.NewDefaultTransactionDBOptions()
		opts.SetCreateIfMissing(true)
		db, err := grocksdb.OpenTransactionDb(opts, txOpts, path)
		require.NoError(t, err)
		write := grocksdb.NewDefaultWriteOptions()
		for height := range 300 {
			require.NoError(t, db.Put(write, fmt.Appendf(nil, "block:%020d", height), fmt.Appendf(nil, "%064x", height)))
		}
		tx := db.TransactionBegin(write, grocksdb.NewDefaultTransactionOptions(), nil)
		require.NoError(t, tx.SetName("named"))
		require.NoError(t, tx.Put([]byte("anchor:a"), []byte("value")))
		require.NoError(t, tx.Prepare())
		switch how {
		case committed:
			require.NoError(t, tx.Commit())
		case rolledBack:
			require.NoError(t, tx.Rollback())
		case preparedAndFlushed:
			require.NoError(t, db.Flush(grocksdb.NewDefaultFlushOptions()))
		}
		require.NoError(t, db.FlushWAL(true))
		// Keep a copy: closing removes the log if no transaction is left.
		require.NoError(t, os.CopyFS(path+".copy", os.DirFS(path)))
		tx.Destroy()
		db.Close()
		require.NoError(t, os.RemoveAll(path))
		require.NoError(t, os.Rename(path+".copy", path))
	}
}
