package clitest

import (
	"ailee-recovery/internal/golden"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Names returns the sorted names in a folder, except for the notes of prunes.
func Names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	found := []string{}
	for _, entry := range entries {
		// Each prune leaves a note: see prune.txtar.
		if !strings.HasSuffix(entry.Name(), ".ailee-pruned") {
			found = append(found, entry.Name())
		}
	}
	return found
}

// Read returns the content of a file.
func Read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Clean(path))
	require.NoError(t, err)
	return string(data)
}

// FileSize returns the size of a file in bytes.
func FileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}

// InMemory puts the test's folders in memory, for tests that are not about the disk.
func InMemory(t *testing.T) { t.Setenv("TMPDIR", Memory()) }

// Memory returns a folder in memory if the machine has one, else the folder for temporary files.
func Memory() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}

// NodeDir makes a node's data directory with the given number of snapshots and a database.
func NodeDir(t *testing.T, count int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ailee")
	require.NoError(t, os.Mkdir(dir, 0o750))
	for i := 1; i <= count; i++ {
		require.NoError(t, AppendOne(filepath.Join(dir, "l2_snapshots.dat"), i))
	}
	require.NoError(t, os.Rename(golden.Database(t, "node-rocksdb-6.11.4"), filepath.Join(dir, "reorg_db")))
	return dir
}

// Contents returns the content of every file below a folder, and the targets of links, by path.
func Contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name, text := strings.TrimPrefix(path, dir+"/"), ""
		switch {
		case err != nil || d.IsDir():
			return err
		case d.Type()&fs.ModeSymlink != 0:
			text, err = os.Readlink(path)
			text = "-> " + text
		case d.Type().IsRegular():
			var data []byte
			data, err = os.ReadFile(path)
			text = string(data)
		default:
			text = d.Type().String()
		}
		all[name] = text
		return err
	}))
	return all
}
