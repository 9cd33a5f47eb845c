package reorgdb_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/golden"
	"ailee-recovery/reorgdb"
)

// read returns the records that are read from a database, in order, and the error at the end.
func read(db *reorgdb.DB, records func(family string) iter.Seq2[reorgdb.Record, error]) (all []string, err error) {
	for _, family := range db.Families() {
		for r, err := range records(family) {
			if err != nil {
				return all, err
			}
			all = append(all, fmt.Sprintf("%s %X %X", family, r.Key, r.Value))
		}
	}
	return all, nil
}

// requireSame compares the records that are read from a database with those of RocksDB's
// iterator, and reports whether the iterator was not needed.
func requireSame(t *testing.T, path, what string) (files bool) {
	t.Helper()
	db, err := reorgdb.OpenReadOnly(path)
	if err != nil {
		return false
	}
	defer func() { require.NoError(t, db.Close()) }()
	files = db.ReadsFiles(ctx)
	want, wantErr := read(db, func(family string) iter.Seq2[reorgdb.Record, error] { return db.RocksRecords(ctx, family) })
	got, gotErr := read(db, func(family string) iter.Seq2[reorgdb.Record, error] { return db.Records(ctx, family) })
	require.Equal(t, fmt.Sprint(wantErr), fmt.Sprint(gotErr), what)
	for _, target := range []error{reorgdb.ErrCorrupt, reorgdb.ErrUnsupported} {
		require.Equal(t, errors.Is(wantErr, target), errors.Is(gotErr, target), what)
	}
	if !slices.Equal(want, got) {
		require.Equal(t, want, got, what)
	}
	// Blocks that come as ranges have valid hashes. Everything else is the same.
	inRows, rowsErr := read(db, func(family string) iter.Seq2[reorgdb.Record, error] {
		if family != reorgdb.DefaultFamily {
			return db.Records(ctx, family)
		}
		return ofRows(db.Rows(ctx))
	})
	for i, r := range want {
		if at := strings.LastIndexByte(r, ' ') + 1; i < len(inRows) && strings.HasSuffix(inRows[i], " ") && isHash(r[at:]) {
			want[i] = r[:at]
		}
	}
	require.Equal(t, fmt.Sprint(wantErr), fmt.Sprint(rowsErr), what)
	if !slices.Equal(want, inRows) {
		require.Equal(t, want, inRows, what)
	}
	if n, err := db.Count(ctx); wantErr == nil {
		require.NoError(t, err, what)
		require.EqualValues(t, len(want), n, what)
	}
	return files
}

// isHash reports whether a value in hex is a hash.
func isHash(value string) bool {
	text, err := hex.DecodeString(value)
	return err == nil && reorgdb.IsBlockHash(text)
}

// ofRows yields the records of rows, and for ranges of blocks records without their hashes.
func ofRows(rows iter.Seq2[reorgdb.Row, error]) iter.Seq2[reorgdb.Record, error] {
	return func(yield func(reorgdb.Record, error) bool) {
		for r, err := range rows {
			if err != nil || r.Key != nil {
				if !yield(r.Record, err) {
					return
				}
				continue
			}
			for height := r.First; ; height++ {
				if !yield(reorgdb.Record{Key: reorgdb.BlockKey(height)}, nil) {
					return
				}
				if height == r.Last {
					break
				}
			}
		}
	}
}

// smallParts makes parts so small that a small database has many of them.
func smallParts(t *testing.T) {
	t.Cleanup(reorgdb.PartSize(2000))
}

// allDatabases returns the databases that nodes wrote, and others with tables of every kind.
func allDatabases(t *testing.T) []string {
	all := []string{}
	for _, pattern := range []string{filepath.Join(golden.Dir(), "reorg_db", "*.tar.gz"), "../internal/rocksfile/testdata/*.tar.gz"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, found)
		all = append(all, found...)
	}
	return all
}

func byNode(archive string) bool { return filepath.Base(filepath.Dir(archive)) == "reorg_db" }

func unpacked(t *testing.T, archive string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, golden.UnpackFile(archive, dir))
	if _, err := os.Stat(filepath.Join(dir, "LOCK")); err == nil {
		return dir
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	return filepath.Join(dir, entries[0].Name())
}

// TestFilesAreReadAsRocksDBReadsThem reads sound databases. Those that nodes write are read
// without RocksDB's iterator.
func TestFilesAreReadAsRocksDBReadsThem(t *testing.T) {
	smallParts(t)
	for _, archive := range allDatabases(t) {
		name := filepath.Base(archive)
		t.Run(name, func(t *testing.T) {
			path := unpacked(t, archive)
			files := requireSame(t, path, name)
			requireCopied(t, path, name)
			// A database whose node was killed before it wrote anything is unusual. The ones not
			// made by nodes have range deletions, which no node writes.
			require.Equal(t, byNode(archive) && name != "killed-while-creating-7.8.3.tar.gz", files)
		})
	}
}

// TestDamagedKindIsDamage: a bit that makes an entry of a kind that is not supported is reported
// as what it is, since the checksum of its block does not hold.
func TestDamagedKindIsDamage(t *testing.T) {
	path := unpacked(t, filepath.Join(golden.Dir(), "reorg_db", "node-rocksdb-6.11.4.tar.gz"))
	table := filepath.Join(path, "000004.sst")
	data, err := os.ReadFile(table)
	require.NoError(t, err)
	const kindAt, blobIndex = 9202, 0x11
	require.EqualValues(t, 1, data[kindAt])
	data[kindAt] = blobIndex
	require.NoError(t, os.WriteFile(table, data, 0o600))
	requireSame(t, path, "a damaged kind")
	db, err := reorgdb.OpenReadOnly(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	_, err = read(db, func(family string) iter.Seq2[reorgdb.Record, error] { return db.Records(ctx, family) })
	require.ErrorIs(t, err, reorgdb.ErrCorrupt)
	require.NotErrorIs(t, err, reorgdb.ErrUnsupported)
}

// TestDamageEndsNoProcess: RocksDB has assertions about the block of a table's properties, which
// it reads before it verifies the checksum. They concern the highest bit of a byte near the end.
func TestDamageEndsNoProcess(t *testing.T) {
	clitest.InMemory(t)
	for _, archive := range []string{filepath.Join(golden.Dir(), "reorg_db", "node-rocksdb-6.11.4.tar.gz"), "../internal/rocksfile/testdata/ingested.tar.gz"} {
		path := unpacked(t, archive)
		tables, err := filepath.Glob(filepath.Join(path, "*.sst"))
		require.NoError(t, err)
		if testing.Short() {
			tables = tables[:1]
		}
		refused := 0
		for _, table := range tables {
			whole, err := os.ReadFile(table)
			require.NoError(t, err)
			for at := max(0, len(whole)-200); at < len(whole); at++ {
				changed := bytes.Clone(whole)
				changed[at] ^= 0x80
				require.NoError(t, os.WriteFile(table, changed, 0o600))
				db, err := reorgdb.OpenReadOnly(path)
				if err == nil {
					require.NoError(t, db.Close())
					continue
				}
				require.ErrorIs(t, err, reorgdb.ErrCorrupt, "byte %d", at)
				if strings.Contains(err.Error(), "properties: checksum mismatch") {
					refused++
				}
			}
			require.NoError(t, os.WriteFile(table, whole, 0o600))
		}
		require.Equal(t, len(tables), refused, "one byte of each table")
	}
}

// TestDamagedFilesAreReadAsRocksDBReadsThem damages every file of every database: the same
// records come before the same error, if any.
func TestDamagedFilesAreReadAsRocksDBReadsThem(t *testing.T) {
	clitest.InMemory(t)
	smallParts(t)
	flips := 8
	switch {
	case clitest.Hostile():
		flips = 1000
	case testing.Short():
		flips = 3
	}
	opened := 0
	for _, archive := range allDatabases(t) {
		if testing.Short() && !byNode(archive) {
			continue
		}
		t.Run(filepath.Base(archive), func(t *testing.T) {
			rng := rand.New(rand.NewSource(1))
			path := unpacked(t, archive)
			whole := files(t, path)
			for _, name := range slices.Sorted(maps.Keys(whole)) {
				if name == "LOCK" || name == "IDENTITY" || strings.HasPrefix(name, "OPTIONS") {
					continue // none of them is needed for reading
				}
				damaged := filepath.Join(path, name)
				data := []byte(whole[name])
				for i := range flips {
					changed := bytes.Clone(data)
					what := fmt.Sprintf("%s without its end", name)
					if i == 0 {
						changed = changed[:len(changed)*2/3]
					} else if len(changed) > 0 {
						at, bit := rng.Intn(len(changed)), byte(1)<<rng.Intn(8)
						changed[at] ^= bit
						what = fmt.Sprintf("%s with byte %d changed by %d", name, at, bit)
					}
					require.NoError(t, os.WriteFile(damaged, changed, 0o600))
					if requireSame(t, path, what) {
						opened++
					}
					if i%5 == 0 {
						requireCopied(t, path, what)
					}
				}
				require.NoError(t, os.WriteFile(damaged, data, 0o600))
			}
		})
	}
	require.NotZero(t, opened)
}

// TestRandomDatabasesAreReadAsRocksDBReadsThem, with newer values, deletions, tables on many
// levels, ingested tables, and logs that were not flushed.
func TestRandomDatabasesAreReadAsRocksDBReadsThem(t *testing.T) {
	clitest.InMemory(t)
	smallParts(t)
	rounds := 30
	switch {
	case clitest.Hostile():
		rounds = 3000
	case testing.Short():
		rounds = 12
	}
	read := 0
	for seed := range rounds {
		rng := rand.New(rand.NewSource(int64(seed)))
		path := filepath.Join(t.TempDir(), "db")
		options := randomOptions(rng)
		for range 1 + rng.Intn(3) {
			reorgtest.Rocks(t, path, options, func(db *grocksdb.DB) { writeRandom(t, rng, db, path, options) })
		}
		what := fmt.Sprintf("seed %d, %s", seed, options)
		if requireSame(t, path, what) {
			read++
		}
		requireCopied(t, path, what)
	}
	require.Greater(t, read, rounds/2)
}

func randomOptions(rng *rand.Rand) string {
	pick := func(from ...string) string { return from[rng.Intn(len(from))] }
	return fmt.Sprintf("compression=%s;write_buffer_size=65536;target_file_size_base=%d;max_bytes_for_level_base=%d;level0_file_num_compaction_trigger=%d;"+
		"block_based_table_factory={block_size=%d;block_restart_interval=%d;format_version=%d;index_type=%s;checksum=%s;data_block_index_type=%s;metadata_block_size=512};",
		pick("kNoCompression", "kSnappyCompression", "kLZ4Compression", "kZSTD", "kZlibCompression"),
		4096<<rng.Intn(4), 16384<<rng.Intn(3), 2+rng.Intn(6),
		128<<rng.Intn(6), 1+rng.Intn(20), 2+rng.Intn(4), pick("kBinarySearch", "kTwoLevelIndexSearch", "kBinarySearchWithFirstKey"),
		pick("kCRC32c", "kxxHash", "kxxHash64", "kXXH3"), pick("kDataBlockBinarySearch", "kDataBlockBinaryAndHash"))
}

func writeRandom(t *testing.T, rng *rand.Rand, db *grocksdb.DB, path, options string) {
	write := grocksdb.NewDefaultWriteOptions()
	defer write.Destroy()
	keys := 1 + rng.Intn(3000)
	key := func() []byte { return fmt.Appendf(nil, "block:%020d", rng.Intn(keys)) }
	value := func() []byte {
		if rng.Intn(2) == 0 {
			return fmt.Appendf(nil, "%064x", rng.Int63())
		}
		return bytes.Repeat([]byte{byte(rng.Intn(256))}, 1<<rng.Intn(9))
	}
	ranges := rng.Intn(10) == 0
	for range rng.Intn(4000) {
		var err error
		switch n := rng.Intn(1000); {
		case n < 700:
			err = db.Put(write, key(), value())
		case n < 950:
			err = db.Delete(write, key())
		case n < 960:
			reorgtest.Put(t, db, fmt.Sprintf("once:%d", rng.Int63()), "x")
		case n < 965 && ranges:
			from, to := string(key()), string(key())
			reorgtest.DeleteRange(t, db, min(from, to), max(from, to))
		case n < 970:
			reorgtest.Flush(t, db)
		case n == 970:
			db.CompactRange(grocksdb.Range{})
		case n < 975:
			ingest(t, rng, db, path, options, keys, value)
		}
		require.NoError(t, err)
	}
}

// ingest adds a table to the database that has some keys that are already there, and some that
// are not.
func ingest(t *testing.T, rng *rand.Rand, db *grocksdb.DB, path, options string, keys int, value func() []byte) {
	base := grocksdb.NewDefaultOptions()
	defer base.Destroy()
	opts, err := grocksdb.GetOptionsFromString(base, options)
	require.NoError(t, err)
	defer opts.Destroy()
	env := grocksdb.NewDefaultEnvOptions()
	defer env.Destroy()
	w := grocksdb.NewSSTFileWriter(env, opts)
	defer w.Destroy()
	require.NoError(t, w.Open(path+".made"))
	for i, from := 0, rng.Intn(keys); i < 1+rng.Intn(50); i++ {
		require.NoError(t, w.Add(fmt.Appendf(nil, "block:%020d", from+i), value()))
	}
	require.NoError(t, w.Finish())
	how := grocksdb.NewDefaultIngestExternalFileOptions()
	defer how.Destroy()
	how.SetMoveFiles(true)
	require.NoError(t, db.IngestExternalFile([]string{path + ".made"}, how))
}
