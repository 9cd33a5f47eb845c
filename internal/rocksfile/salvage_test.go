package rocksfile_test

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/rocksfile"
)

const golden = "../../testdata/golden/reorg_db"

// database is a folder as files in memory, and what RocksDB reads from it:
// family and key, and value.
type database struct {
	name  string
	files map[string][]byte
	truth map[string]string
}

// databases returns those that nodes wrote, and those of testdata/generate.cc.
func databases(t testing.TB) []database {
	var all []database
	for _, pattern := range []string{golden + "/*.tar.gz", "testdata/*.tar.gz"} {
		names, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, names, pattern)
		for _, name := range names {
			db := unpack(t, name)
			records := db.files["truth.txt"]
			if records == nil {
				records, err = os.ReadFile(strings.TrimSuffix(name, ".tar.gz") + ".records.txt")
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

func salvage(t testing.TB, dir string) (*rocksfile.Salvaged, map[string]string) {
	s, err := rocksfile.Salvage(context.Background(), dir)
	require.NoError(t, err)
	got := map[string]string{}
	for _, f := range s.Families {
		n := 0
		for key, value := range f.All() {
			got[fmt.Sprintf("%s %X", f.Name, key)] = fmt.Sprintf("%X", value)
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
