package clitest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Names are the names in a folder, sorted, but for the notes of prunes.
func Names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	found := []string{}
	for _, entry := range entries {
		// Each prune leaves its note, see prune.txtar.
		if !strings.HasSuffix(entry.Name(), ".ailee-pruned") {
			found = append(found, entry.Name())
		}
	}
	return found
}

// Read is the content of a file.
func Read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Clean(path))
	require.NoError(t, err)
	return string(data)
}

// FileSize is the size of a file in bytes.
func FileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}

// InMemory lets the test's folders be in memory: what is tested is not the disk.
func InMemory(t *testing.T) { t.Setenv("TMPDIR", Memory()) }

// Memory is a folder in memory where the machine has one.
func Memory() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}
