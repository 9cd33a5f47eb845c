package reorgdb_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/require"
)

// The footer of a table as RocksDB 6.11.4 reads it. It has 53 bytes: checksum type (1), two
// block handles (40), format version (4), magic number (8).
const (
	footerSize = 53
	crc32c     = 1
	maxFormat  = 5
)

// newTables returns which new tables a node with RocksDB 6.11.4 could not read, and how many new
// tables there are. Tables in before are not new.
func newTables(t *testing.T, path string, before map[string]string) (wrong []string, tables int) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(path, "*.sst"))
	require.NoError(t, err)
	for _, name := range names {
		if _, ok := before[filepath.Base(name)]; ok {
			continue
		}
		tables++
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		footer := data[len(data)-footerSize:]
		format := binary.LittleEndian.Uint32(footer[41:])
		if footer[0] != crc32c || format > maxFormat {
			wrong = append(wrong, fmt.Sprintf("%s: checksum type %d, format %d", filepath.Base(name), footer[0], format))
		}
	}
	return wrong, tables
}

func requireOldTables(t *testing.T, path string, before map[string]string) {
	t.Helper()
	wrong, tables := newTables(t, path, before)
	require.NotZero(t, tables)
	require.Empty(t, wrong)
}

// TestDefaultsWouldBeSeen shows that the check above can fail: tables written with
// RocksDB's own defaults do not pass.
func TestDefaultsWouldBeSeen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	opts := grocksdb.NewDefaultOptions()
	defer opts.Destroy()
	opts.SetCreateIfMissing(true)
	db, err := grocksdb.OpenDb(opts, path)
	require.NoError(t, err)
	write := grocksdb.NewDefaultWriteOptions()
	defer write.Destroy()
	require.NoError(t, db.Put(write, []byte("k"), []byte("v")))
	flush := grocksdb.NewDefaultFlushOptions()
	defer flush.Destroy()
	require.NoError(t, db.Flush(flush))
	db.Close()
	wrong, _ := newTables(t, path, nil)
	require.NotEmpty(t, wrong)
}
