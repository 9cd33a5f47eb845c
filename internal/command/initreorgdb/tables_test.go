package initreorgdb_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/rocksfile"
)

// tableOptions are the ways in which RocksDB 7.8 writes block-based tables.
func tableOptions() map[string]string {
	all := map[string]string{}
	compressions := []string{"kNoCompression", "kSnappyCompression", "kZlibCompression", "kBZip2Compression", "kLZ4Compression", "kLZ4HCCompression", "kZSTD", "kZSTDNotFinalCompression"}
	for _, compression := range compressions {
		for _, format := range []int{1, 2, 5} {
			if format == 1 && strings.HasPrefix(compression, "kZSTD") {
				continue
			}
			all[fmt.Sprintf("%s in format %d", compression, format)] = fmt.Sprintf("compression=%s;block_based_table_factory={format_version=%d};", compression, format)
		}
		all[compression+" with a dictionary"] = "compression=" + compression + ";compression_opts={max_dict_bytes=4096};"
	}
	all["kZSTD with a trained dictionary"] = "compression=kZSTD;compression_opts={max_dict_bytes=4096;zstd_max_train_bytes=262144};"
	for _, checksum := range []string{"kNoChecksum", "kCRC32c", "kxxHash", "kxxHash64", "kXXH3"} {
		for _, format := range []int{1, 5} {
			all[fmt.Sprintf("%s in format %d", checksum, format)] = fmt.Sprintf("block_based_table_factory={format_version=%d;checksum=%s};", format, checksum)
		}
	}
	for _, index := range []string{"kBinarySearch", "kHashSearch", "kTwoLevelIndexSearch", "kBinarySearchWithFirstKey"} {
		for _, format := range []int{2, 5} {
			all[fmt.Sprintf("%s in format %d", index, format)] = fmt.Sprintf("prefix_extractor=fixed:8;block_based_table_factory={format_version=%d;index_type=%s};", format, index)
		}
	}
	all["aligned blocks"] = "compression=kNoCompression;block_based_table_factory={block_align=true};"
	all["hashes of keys"] = "block_based_table_factory={data_block_index_type=kDataBlockBinaryAndHash};"
	return all
}

// TestTablesOfEveryMakeAreRead: a table that RocksDB can read is not lost when another file
// of the database is damaged, or when the end of the table itself is.
func TestTablesOfEveryMakeAreRead(t *testing.T) {
	clitest.InMemory(t)
	all := tableOptions()
	for i, name := range slices.Sorted(maps.Keys(all)) {
		if testing.Short() && i%3 > 0 {
			continue
		}
		options := all[name]
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "old")
			reorgtest.Rocks(t, path, options, func(db *grocksdb.DB) {
				for height := range 1000 {
					reorgtest.Put(t, db, fmt.Sprintf("block:%020d", height), fmt.Sprintf("%064x", height*height*7919))
				}
				reorgtest.Flush(t, db)
				reorgtest.Put(t, db, "anchor:last", "x")
			})
			want := reorgtest.Records(t, path)
			require.Len(t, want, 1001)
			salvaged, err := salvage(t, path)
			require.NoError(t, err)
			require.Empty(t, salvaged.Problems)
			require.Equal(t, want, recordsOf(t, salvaged))

			logs, err := filepath.Glob(filepath.Join(path, "*.log"))
			require.NoError(t, err)
			require.Len(t, logs, 1)
			cut(t, logs[0], 1)
			delete(want, "default/anchor:last")
			copied := filepath.Join(t.TempDir(), "copy")
			code, _, stderr := clitest.Run(initreorgdb.Tool(), "--path", copied, "--copy-from", path)
			require.Equal(t, exit.Wrong, code, stderr)
			require.Equal(t, want, reorgtest.Records(t, copied))

			if strings.Contains(options, "kNoChecksum") || strings.Contains(options, "block_align") {
				return // without the footer, it is not known where blocks begin
			}
			tables, err := filepath.Glob(filepath.Join(path, "*.sst"))
			require.NoError(t, err)
			require.Len(t, tables, 1)
			cut(t, tables[0], 60)
			salvaged, err = salvage(t, path)
			require.NoError(t, err)
			require.Equal(t, want, recordsOf(t, salvaged))
		})
	}
}

// cut takes bytes off the end of a file.
func cut(t *testing.T, path string, n int64) {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(path, info.Size()-n))
}

func salvage(t *testing.T, path string) (*rocksfile.Salvaged, error) {
	s, err := rocksfile.Salvage(t.Context(), path, func() (*os.File, error) { return durable.Unnamed(path) })
	if err == nil {
		t.Cleanup(func() { require.NoError(t, s.Close()) })
	}
	return s, err
}

func recordsOf(t *testing.T, s *rocksfile.Salvaged) map[string]string {
	all := map[string]string{}
	for _, family := range s.Families {
		for e, err := range family.All(t.Context()) {
			require.NoError(t, err)
			all[family.Name+"/"+string(e.Key)] = string(e.Value)
		}
	}
	return all
}
