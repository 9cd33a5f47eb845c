package reorgdb_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/golden"
	"ailee-recovery/reorgdb"
)

// opened returns every record of a database, or the kind of error of opening it.
func opened(t *testing.T, path string) (records map[string]string, kind error) {
	t.Helper()
	db, err := reorgdb.OpenReadOnly(path)
	for _, kind := range []error{reorgdb.ErrCorrupt, reorgdb.ErrUnsupported} {
		if errors.Is(err, kind) {
			return nil, kind
		}
	}
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	require.Equal(t, path, db.Path())
	records = map[string]string{}
	for _, family := range db.Families() {
		records[family] = "" // even if it is empty
		for r, err := range db.Records(ctx, family) {
			require.NoError(t, err)
			records[family+"/"+string(r.Key)] = string(r.Value)
		}
	}
	return records, nil
}

// replayed is opened, but with every log too long for RocksDB to hold.
func replayed(t *testing.T, path string) (map[string]string, error) {
	t.Helper()
	defer reorgdb.SetMaxHeld(-1)()
	return opened(t, path)
}

// TestReplayedAsRocksDBReads: a database whose logs are too long to be held shows exactly what
// RocksDB would show, however the logs are damaged, and is not changed.
func TestReplayedAsRocksDBReads(t *testing.T) {
	compared := 0
	compare := func(t *testing.T, path, what string) {
		t.Helper()
		want, wantErr := opened(t, path)
		before := files(t, path)
		got, err := replayed(t, path)
		require.Equal(t, wantErr, err, what)
		require.Equal(t, want, got, what)
		require.Equal(t, before, files(t, path), what)
		compared++
	}
	databases := map[string]string{}
	for _, name := range golden.Databases {
		databases[name] = golden.Database(t, name)
	}
	databases["two families"] = twoFamilies(t)
	for name, path := range databases {
		t.Run(name, func(t *testing.T) {
			compare(t, path, "as it is")
			logs, err := filepath.Glob(filepath.Join(path, "*.log"))
			require.NoError(t, err)
			for _, log := range logs {
				whole, err := os.ReadFile(log)
				require.NoError(t, err)
				step := max(1, len(whole)/16)
				if testing.Short() {
					step = max(1, len(whole)/8)
				}
				for at := 0; at < len(whole); at += step {
					require.NoError(t, os.WriteFile(log, whole[:at], 0o600))
					compare(t, path, fmt.Sprintf("%s cut at %d", log, at))
					flipped := bytes.Clone(whole)
					flipped[at] ^= 1
					require.NoError(t, os.WriteFile(log, flipped, 0o600))
					compare(t, path, fmt.Sprintf("%s flipped at %d", log, at))
				}
				require.NoError(t, os.Remove(log))
				compare(t, path, log+" is gone")
				require.NoError(t, os.WriteFile(log, whole, 0o600))
			}
		})
	}
	require.Greater(t, compared, 50)
}

// twoFamilies makes a database with several logs that have every kind of entry. Only one column
// family still needs the older logs: the other one was flushed.
func twoFamilies(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	opts := grocksdb.NewDefaultOptions()
	defer opts.Destroy()
	opts.SetCreateIfMissing(true)
	opts.SetCreateIfMissingColumnFamilies(true)
	names := []string{"default", "other"}
	db, families, err := grocksdb.OpenDbColumnFamilies(opts, path, names, []*grocksdb.Options{opts, opts})
	require.NoError(t, err)
	write, flush := grocksdb.NewDefaultWriteOptions(), grocksdb.NewDefaultFlushOptions()
	defer write.Destroy()
	defer flush.Destroy()
	flush.SetWait(true)
	for round := range 3 {
		for i := range 300 {
			batch := grocksdb.NewWriteBatch()
			key := func(i int) []byte { return fmt.Appendf(nil, "block:%020d", i) }
			value := []byte(strings.Repeat(fmt.Sprint(round), i))
			batch.PutCF(families[0], key(i), value)
			batch.PutCF(families[1], key(i+round), value)
			switch i % 10 {
			case 3:
				batch.DeleteCF(families[0], key(i-1))
			case 5:
				batch.SingleDeleteCF(families[1], key(i+round))
			case 7:
				batch.DeleteRangeCF(families[i/10%2], key(i-7), key(i-5))
			}
			require.NoError(t, db.Write(write, batch))
			batch.Destroy()
		}
		if round < 2 {
			require.NoError(t, db.FlushCF(families[round], flush))
		}
	}
	copied := t.TempDir()
	require.NoError(t, os.CopyFS(copied, os.DirFS(path))) // as after a crash
	for _, f := range families {
		f.Destroy()
	}
	db.Close()
	logs, err := filepath.Glob(filepath.Join(copied, "*.log"))
	require.NoError(t, err)
	require.Greater(t, len(logs), 1)
	return copied
}
