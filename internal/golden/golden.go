// Package golden finds the data that real nodes wrote, for use in tests.
package golden

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// Dir returns the folder with all golden data.
func Dir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "testdata", "golden")
}

// Snapshots returns the contents of the snapshot files that have at most limit bytes, by name.
func Snapshots(t testing.TB, limit int) (all [][]byte) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(Dir(), "verify", "*.dat"))
	require.NoError(t, err)
	for _, name := range names {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		if len(data) <= limit {
			all = append(all, data)
		}
	}
	require.NotEmpty(t, all)
	return all
}

// Databases are the names of the reorg databases.
var Databases = []string{"node-rocksdb-6.11.4", "node-rocksdb-7.8.3-reopened", "node-current-reputation-cf", "node-odd-records"}

// Database unpacks a reorg database into a temporary folder of the test and returns its path.
func Database(t testing.TB, name string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, Unpack(name, dir))
	return filepath.Join(dir, name)
}

// Unpack unpacks a reorg database into dir/<name>.
func Unpack(name, dir string) error {
	return UnpackFile(filepath.Join(Dir(), "reorg_db", name+".tar.gz"), dir)
}

// UnpackFile unpacks an archive into dir.
func UnpackFile(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for files := tar.NewReader(zip); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join(dir, header.Name)
		if header.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(path, 0o755); err != nil {
				return err
			}
			continue
		}
		data, err := io.ReadAll(files)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
}
