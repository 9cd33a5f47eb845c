package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/durable"
)

// TestUnnamed: the file can be written and read, and does not appear in its folder.
func TestUnnamed(t *testing.T) {
	dir := t.TempDir()
	f, err := durable.Unnamed(filepath.Join(dir, "out"))
	require.NoError(t, err)
	_, err = f.WriteString("text")
	require.NoError(t, err)
	buf := make([]byte, 4)
	_, err = f.ReadAt(buf, 0)
	require.NoError(t, err)
	require.Equal(t, "text", string(buf))
	names, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, names)
	require.NoError(t, f.Close())
	_, err = durable.Unnamed(filepath.Join(dir, "missing", "out"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
