package durable_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/durable"
)

// TestPendingDir: the folder is created, or replaces an empty folder and keeps its mode, and
// never replaces anything else.
func TestPendingDir(t *testing.T) {
	top := t.TempDir()
	place := filepath.Join(top, "d")
	build := func() *durable.PendingDir {
		t.Helper()
		d, err := durable.CreateDir(place + "/")
		require.NoError(t, err)
		require.Equal(t, filepath.Join(top, ".d.ailee-tmp"), d.Path)
		write(t, filepath.Join(d.Path, "f"), content)
		return d
	}
	d := build()
	require.NoDirExists(t, place)
	require.NoError(t, d.Empty())
	require.Empty(t, names(t, d.Path))
	d.Abort()
	require.Empty(t, names(t, top))

	d = build()
	_, err := durable.CreateDir(place)
	require.ErrorIs(t, err, durable.ErrBusy)
	require.Equal(t, content, read(t, filepath.Join(d.Path, "f")))
	require.NoError(t, d.Commit())
	d.Abort() // does nothing
	require.Equal(t, content, read(t, filepath.Join(place, "f")))
	require.Equal(t, []string{"d"}, names(t, top))
	_, err = durable.CreateDir(place)
	require.ErrorIs(t, err, fs.ErrExist)

	require.NoError(t, os.Remove(filepath.Join(place, "f")))
	require.NoError(t, os.Chmod(place, 0o705))
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(place, 1234, 2345))
	}
	require.NoError(t, build().Commit())
	info, err := os.Stat(place)
	require.NoError(t, err)
	require.Equal(t, os.ModeDir|0o705, info.Mode())
	if os.Geteuid() == 0 {
		requireOwner(t, place, 1234, 2345)
	}
	require.Equal(t, content, read(t, filepath.Join(place, "f")))
}

// TestPendingDirAborted: only the folder that was built is removed.
func TestPendingDirAborted(t *testing.T) {
	dir := t.TempDir()
	d, err := durable.CreateDir(filepath.Join(dir, "d"))
	require.NoError(t, err)
	require.NoError(t, os.Rename(d.Path, filepath.Join(dir, "moved")))
	require.NoError(t, os.Mkdir(d.Path, 0o755))
	write(t, filepath.Join(d.Path, "f"), "another's")
	d.Abort()
	require.Equal(t, []string{".d.ailee-tmp", "moved"}, names(t, dir))
	require.Equal(t, "another's", read(t, filepath.Join(d.Path, "f")))
}

// TestPendingDirTooLate: what was put in the place meanwhile stays.
func TestPendingDirTooLate(t *testing.T) {
	for kind, come := range map[string]func(place string) error{
		"a folder":        func(place string) error { return os.MkdirAll(filepath.Join(place, "deep"), 0o755) },
		"a file":          func(place string) error { return os.WriteFile(place, []byte("f"), 0o600) },
		"a link":          func(place string) error { return os.Symlink(os.TempDir(), place) },
		"a file, emptied": func(place string) error { return os.WriteFile(place, nil, 0o600) },
	} {
		t.Run(kind, func(t *testing.T) {
			place := filepath.Join(t.TempDir(), "d")
			d, err := durable.CreateDir(place)
			require.NoError(t, err)
			require.NoError(t, come(place))
			before, err := os.Lstat(place)
			require.NoError(t, err)
			require.ErrorIs(t, d.Commit(), fs.ErrExist)
			d.Abort()
			after, err := os.Lstat(place)
			require.NoError(t, err)
			require.True(t, os.SameFile(before, after))
			require.Equal(t, []string{"d"}, names(t, filepath.Dir(place)))
		})
	}
}

// TestPendingDirLeftover: what a killed run left is emptied, and a planted link is not
// followed.
func TestPendingDirLeftover(t *testing.T) {
	place := filepath.Join(t.TempDir(), "d")
	tmp := filepath.Join(filepath.Dir(place), ".d.ailee-tmp")
	require.NoError(t, os.MkdirAll(filepath.Join(tmp, "deep", "er"), 0o755))
	write(t, filepath.Join(tmp, "deep", "f"), "left")
	d, err := durable.CreateDir(place)
	require.NoError(t, err)
	require.Empty(t, names(t, d.Path))
	d.Abort()

	outside := t.TempDir()
	write(t, filepath.Join(outside, "victim"), "v")
	require.NoError(t, os.Symlink(outside, tmp))
	if d, err = durable.CreateDir(place); err == nil {
		d.Abort()
	}
	require.Equal(t, []string{"victim"}, names(t, outside))
}

// TestScratch: what an ended process left is removed, what is in use is not.
func TestScratch(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	require.NoError(t, os.MkdirAll(filepath.Join(os.TempDir(), "tool-left", "deep"), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(os.TempDir(), "other-left"), 0o755))
	first, err := durable.NewScratch("tool-")
	require.NoError(t, err)
	write(t, filepath.Join(first.Path, "f"), "f")
	second, err := durable.NewScratch("tool-")
	require.NoError(t, err)
	require.NotEqual(t, first.Path, second.Path)
	require.ElementsMatch(t, []string{"other-left", filepath.Base(first.Path), filepath.Base(second.Path)}, names(t, os.TempDir()))
	require.NoError(t, first.Remove())
	require.NoError(t, second.Remove())
	require.Equal(t, []string{"other-left"}, names(t, os.TempDir()))
}
