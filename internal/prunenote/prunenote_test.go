package prunenote_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/prunenote"
)

// TestRead: lines that are not notes are skipped, and only a regular file is read.
func TestRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "l2_snapshots.dat")
	notes, err := prunenote.Read(file)
	require.NoError(t, err)
	require.Empty(t, notes)
	first, second := strings.Repeat("ab", 32), strings.Repeat("cd", 32)
	require.NoError(t, os.WriteFile(prunenote.Path(file), []byte(`{"time": "2026-03-18T10:17:00Z", "first_kept_sha256": "`+first+`", "dropped_bytes": 1}
{"first_kept_sha`+"\n"+strings.Repeat("x", 200_000)+`
{"first_kept_sha256": "short"}
{"first_kept_sha256": "`+second+`"}`), 0o600))
	notes, err = prunenote.Read(file)
	require.NoError(t, err)
	require.Len(t, notes, 2)
	note, ok := prunenote.Explaining(notes, first)
	require.True(t, ok)
	require.Equal(t, "2026-03-18T10:17:00Z", note.Time)
	_, ok = prunenote.Explaining(notes, strings.Repeat("00", 32))
	require.False(t, ok)
	for _, plant := range []func(path string) error{
		func(path string) error { return os.Symlink("/etc/passwd", path) },
		func(path string) error { return unix.Mkfifo(path, 0o600) },
	} {
		require.NoError(t, os.Remove(prunenote.Path(file)))
		require.NoError(t, plant(prunenote.Path(file)))
		_, err = prunenote.Read(file)
		require.ErrorIs(t, err, durable.ErrNotRegular)
	}
}
