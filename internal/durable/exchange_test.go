package durable_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/durable"
)

// TestExchange: a file and a folder change places.
func TestExchange(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write(t, a, "a")
	require.NoError(t, os.Mkdir(b, 0o700))
	require.ErrorIs(t, durable.Exchange(a, filepath.Join(dir, "missing")), fs.ErrNotExist)
	can, err := durable.CanExchange(dir)
	require.NoError(t, err)
	require.True(t, can)
	require.Equal(t, []string{"a", "b"}, names(t, dir))
	require.NoError(t, durable.Exchange(a, b))
	require.Equal(t, "a", read(t, b))
	require.DirExists(t, a)
	require.NoError(t, durable.Link(b, filepath.Join(dir, "c")))
	require.ErrorIs(t, durable.Link(b, filepath.Join(dir, "c")), fs.ErrExist)
	write(t, filepath.Join(dir, "d"), "d")
	require.NoError(t, durable.Rename(filepath.Join(dir, "d"), b))
	require.Equal(t, "d", read(t, b))
	require.ErrorIs(t, durable.Rename(b, a), fs.ErrExist)
	if unix.Mount("tmpfs", a, "tmpfs", 0, "size=64k") == nil {
		defer func() { require.NoError(t, unix.Unmount(a, 0)) }()
		require.ErrorIs(t, durable.Exchange(b, a), durable.ErrMountPoint)
	}
}

// TestReserved: only an empty file or folder without any rights counts as a reserved name.
func TestReserved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	require.False(t, durable.Reserved(path))
	require.NoError(t, os.WriteFile(path, nil, 0))
	require.True(t, durable.Reserved(path))
	require.NoError(t, os.Chmod(path, 0o600))
	require.False(t, durable.Reserved(path))
	require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	require.NoError(t, os.Chmod(path, 0))
	require.False(t, durable.Reserved(path))
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0))
	require.True(t, durable.Reserved(path))
	require.NoError(t, os.Chmod(path, 0o700))
	require.False(t, durable.Reserved(path))
}

// TestKeepTree: the folder gets the attributes of the folder, and each file those of the file.
func TestKeepTree(t *testing.T) {
	dir := t.TempDir()
	open := func(path string) *os.File {
		t.Helper()
		f, err := os.Open(path)
		require.NoError(t, err)
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	old, fresh := filepath.Join(dir, "old"), filepath.Join(dir, "new")
	for _, path := range []string{old, fresh} {
		require.NoError(t, os.Mkdir(path, 0o700))
		for _, name := range []string{"CURRENT", "1.sst", "2.sst"} {
			require.NoError(t, os.WriteFile(filepath.Join(path, name), nil, 0o600))
		}
	}
	like := filepath.Join(old, "CURRENT")
	require.NoError(t, os.Chmod(old, 0o751))
	require.NoError(t, os.Chmod(like, 0o644))
	_ = unix.Setxattr(like, "user.origin", []byte("node"), 0)
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(old, 12, 34))
		require.NoError(t, os.Chown(like, 56, 78))
	}
	require.NoError(t, durable.KeepTree(open(fresh), open(old), open(like)))
	info, err := os.Stat(fresh)
	require.NoError(t, err)
	require.Equal(t, os.ModeDir|0o751, info.Mode())
	for _, name := range names(t, fresh) {
		info, err := os.Stat(filepath.Join(fresh, name))
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o644), info.Mode())
		if os.Geteuid() == 0 {
			requireOwner(t, filepath.Join(fresh, name), 56, 78)
		}
	}
	if os.Geteuid() == 0 {
		requireOwner(t, fresh, 12, 34)
	}
}

// TestGiveFile: a new file gets the owner and mode.
func TestGiveFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(t, err)
	defer f.Close()
	owner := durable.Owner{}
	if os.Geteuid() == 0 {
		owner = durable.Owner{Set: true, UID: 12, GID: 34}
	}
	require.NoError(t, owner.GiveFile(f))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o640), info.Mode())
	if os.Geteuid() == 0 {
		requireOwner(t, path, 12, 34)
	}
}
