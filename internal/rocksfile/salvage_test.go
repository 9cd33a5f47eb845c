package rocksfile_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/rocksfile"
)

const golden = "../../testdata/golden/reorg_db"

// database is a folder as files in memory, and the records that RocksDB reads from it: values by
// family and key.
type database struct {
	name  string
	files map[string][]byte
	truth map[string]string
}

// databases returns the golden databases that nodes wrote, and those made by
// testdata/generate.cc, each with the records that RocksDB reads from it.
func databases(t testing.TB) []database {
	var all []database
	for _, pattern := range []string{golden + "/*.records.txt", "testdata/*.tar.gz"} {
		names, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, names, pattern)
		for _, name := range names {
			name, beside := strings.CutSuffix(name, ".records.txt")
			db := unpack(t, strings.TrimSuffix(name, ".tar.gz")+".tar.gz")
			records := db.files["truth.txt"]
			if beside {
				records, err = os.ReadFile(name + ".records.txt")
				require.NoError(t, err)
			}
			delete(db.files, "truth.txt")
			for line := range strings.Lines(string(records)) {
				family, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
				key, value, ok := strings.Cut(rest, " ")
				require.True(t, ok)
				db.truth[family+" "+key] = value
			}
			require.NotEmpty(t, db.truth)
			all = append(all, db)
		}
	}
	return all
}

func unpack(t testing.TB, name string) database {
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	db := database{name: strings.TrimSuffix(filepath.Base(name), ".tar.gz"), files: map[string][]byte{}, truth: map[string]string{}}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return db
		}
		require.NoError(t, err)
		if h.Typeflag == tar.TypeReg {
			db.files[filepath.Base(h.Name)], err = io.ReadAll(r)
			require.NoError(t, err)
		}
	}
}

// write puts the files into a new folder.
func (db database) write(t testing.TB) string {
	dir := t.TempDir()
	for name, data := range db.files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	return dir
}

func unnamed(dir string) func() (*os.File, error) {
	return func() (*os.File, error) { return durable.Unnamed(filepath.Join(dir, "x")) }
}

func salvage(t testing.TB, dir string) (*rocksfile.Salvaged, map[string]string) {
	s, err := rocksfile.Salvage(context.Background(), dir, unnamed(dir))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	got := map[string]string{}
	for _, f := range s.Families {
		n := 0
		for e, err := range f.All(context.Background()) {
			require.NoError(t, err)
			got[fmt.Sprintf("%s %X", f.Name, e.Key)] = fmt.Sprintf("%X", e.Value)
			n++
		}
		require.Equal(t, f.Len(), n)
	}
	return s, got
}

func TestSalvageReadsWhatRocksDBReads(t *testing.T) {
	for _, db := range databases(t) {
		t.Run(db.name, func(t *testing.T) {
			dir := db.write(t)
			s, got := salvage(t, dir)
			require.Empty(t, s.Problems)
			require.Equal(t, db.truth, got)
			require.NotEmpty(t, s.Version)

			c, err := rocksfile.Check(context.Background(), dir)
			require.NoError(t, err)
			require.Empty(t, c.Problems)
			require.Equal(t, s.Version, c.Version)
			require.Equal(t, s.Format, c.Format)
		})
	}
}

// TestSalvageInAFile: the result is the same if next to nothing is held in memory.
func TestSalvageInAFile(t *testing.T) {
	defer rocksfile.SetSortMemory(1)()
	for _, db := range databases(t) {
		dir := db.write(t)
		taken := 0
		s, err := rocksfile.Salvage(context.Background(), dir, func() (*os.File, error) {
			taken++
			return unnamed(dir)()
		})
		require.NoError(t, err)
		require.Equal(t, 1, taken, db.name)
		require.NoError(t, s.Close())
		_, got := salvage(t, dir)
		require.Equal(t, db.truth, got, db.name)
	}
	full := func() (*os.File, error) { return nil, syscall.ENOSPC }
	_, err := rocksfile.Salvage(context.Background(), databases(t)[0].write(t), full)
	require.ErrorIs(t, err, syscall.ENOSPC)
}

// TestIngestedTables: the entries of ingested tables have no sequence numbers of their own. The
// sequence number of the table distinguishes them from older and newer entries of the same keys.
// It is in the MANIFEST, even if the properties are damaged, and in the properties, if RocksDB
// wrote it there.
func TestIngestedTables(t *testing.T) {
	whole := unpack(t, "testdata/ingested.tar.gz")
	for _, db := range databases(t) {
		if db.name == whole.name {
			whole = db
		}
	}
	ingested := map[string]rocksfile.Properties{}
	for name, data := range whole.files {
		if filepath.Ext(name) != ".sst" {
			continue
		}
		_, report, err := points(data)
		require.NoError(t, err)
		if report.Properties.Ingested {
			ingested[name] = *report.Properties
		}
	}
	require.Len(t, ingested, 3)
	numbered := 0
	for name, p := range ingested {
		if p.GlobalSeq > 0 {
			numbered++
		}
		db := database{files: maps.Clone(whole.files)}
		db.files[name] = bytes.Clone(db.files[name])
		at := bytes.Index(db.files[name], []byte("entries"))
		require.Positive(t, at)
		db.files[name][at] ^= 1
		s, got := salvage(t, db.write(t))
		require.Len(t, s.Problems, 1)
		require.Equal(t, rocksfile.DamagedIndex, s.Problems[0].Kind)
		require.Equal(t, whole.truth, got)
	}
	require.Equal(t, 2, numbered)

	db := database{files: maps.Clone(whole.files)}
	maps.DeleteFunc(db.files, func(name string, _ []byte) bool { return strings.HasPrefix(name, "MANIFEST") || name == "CURRENT" })
	s, got := salvage(t, db.write(t))
	require.True(t, slices.ContainsFunc(s.Problems, func(p rocksfile.Problem) bool { return p.Stale }))
	// The properties of these tables do not name a column family, so that they belong to the
	// default one. Only the MANIFEST had the sequence number of the first table, which has the
	// heights 0 to 9 and deletes 10 to 19.
	for i := range 20 {
		key := fmt.Sprintf("default %X", fmt.Appendf(nil, "block:%020d", i))
		delete(whole.truth, key)
		delete(got, key)
	}
	require.Equal(t, whole.truth, got)
}
