package durable_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/durable"
)

const content = "the content"

// names returns the names in a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	found := []string{}
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	return found
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

// TestPending: the place is untouched until the commit, and then has the complete file.
func TestPending(t *testing.T) {
	for _, there := range []bool{false, true} {
		for _, replace := range []bool{false, true} {
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			if there {
				write(t, path, "before")
			}
			p, err := durable.Create(path, 0o604)
			require.NoError(t, err)
			_, err = p.WriteString(content)
			require.NoError(t, err)
			if there {
				require.Equal(t, "before", read(t, path))
			} else {
				require.NoFileExists(t, path)
			}
			err = p.Commit(replace)
			if there && !replace {
				require.ErrorIs(t, err, fs.ErrExist)
				require.Equal(t, "before", read(t, path))
				p.Abort()
			} else {
				require.NoError(t, err)
				p.Abort() // does nothing
				require.Equal(t, content, read(t, path))
				info, err := os.Stat(path)
				require.NoError(t, err)
				require.EqualValues(t, 0o604, info.Mode())
			}
			require.Equal(t, []string{"f"}, names(t, dir))
		}
	}
}

// TestPendingAborted: nothing is left, and a file of another run is not removed.
func TestPendingAborted(t *testing.T) {
	dir := t.TempDir()
	path, tmp := filepath.Join(dir, "f"), filepath.Join(dir, ".f.ailee-tmp")
	p, err := durable.Create(path, 0o600)
	require.NoError(t, err)
	require.Equal(t, []string{".f.ailee-tmp"}, names(t, dir))
	p.Abort()
	require.Empty(t, names(t, dir))

	p, err = durable.Create(path, 0o600)
	require.NoError(t, err)
	require.NoError(t, os.Remove(tmp))
	write(t, tmp, "another's")
	p.Abort()
	require.Equal(t, "another's", read(t, tmp))
}

// TestPendingTwice: two runs cannot write the same file.
func TestPendingTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	p, err := durable.Create(path, 0o600)
	require.NoError(t, err)
	_, err = p.WriteString(content)
	require.NoError(t, err)
	_, err = durable.Create(path, 0o600)
	require.ErrorIs(t, err, durable.ErrBusy)
	require.NoError(t, p.Commit(false))
	require.Equal(t, content, read(t, path))
}

// TestPendingLeftover: what a killed run left is emptied and taken over, and nothing is
// written through a link or a second name.
func TestPendingLeftover(t *testing.T) {
	for kind, leave := range map[string]func(tmp, outside string) error{
		"nothing":     func(string, string) error { return nil },
		"file":        func(tmp, _ string) error { return os.WriteFile(tmp, []byte("longer than what comes after it"), 0o666) },
		"link":        func(tmp, outside string) error { return os.Symlink(outside, tmp) },
		"broken link": func(tmp, outside string) error { return os.Symlink(outside+".missing", tmp) },
		"hard link":   func(tmp, outside string) error { return os.Link(outside, tmp) },
	} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			path, outside := filepath.Join(dir, "f"), filepath.Join(t.TempDir(), "outside")
			write(t, outside, "outside")
			require.NoError(t, leave(filepath.Join(dir, ".f.ailee-tmp"), outside))
			p, err := durable.Create(path, 0o600)
			require.NoError(t, err)
			_, err = p.WriteString(content)
			require.NoError(t, err)
			require.NoError(t, p.Commit(false))
			require.Equal(t, content, read(t, path))
			info, err := os.Lstat(path)
			require.NoError(t, err)
			require.EqualValues(t, 0o600, info.Mode())
			require.Equal(t, "outside", read(t, outside))
			require.Equal(t, []string{"outside"}, names(t, filepath.Dir(outside)))
		})
	}
	// A folder is not removed.
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.Mkdir(filepath.Join(filepath.Dir(path), ".f.ailee-tmp"), 0o755))
	_, err := durable.Create(path, 0o600)
	require.ErrorIs(t, err, unix.EISDIR)
}

// TestLock: only one can hold the lock, until the file is closed.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "")
	first, err := os.Open(path)
	require.NoError(t, err)
	second, err := os.Open(path)
	require.NoError(t, err)
	defer second.Close()
	require.NoError(t, durable.Lock(first))
	require.ErrorIs(t, durable.Lock(second), durable.ErrBusy)
	require.NoError(t, first.Close())
	require.NoError(t, durable.Lock(second))
}

// TestUnlock: a child that has not executed its program yet does not keep the lock.
func TestUnlock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "")
	first, err := os.Open(path)
	require.NoError(t, err)
	second, err := os.Open(path)
	require.NoError(t, err)
	defer second.Close()
	require.NoError(t, durable.Lock(first))
	execute := clitest.Fork(t)
	require.NoError(t, durable.Unlock(first))
	require.NoError(t, durable.Lock(second))
	execute()
}

// TestRenameNew: no file is replaced.
func TestRenameNew(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	write(t, from, content)
	write(t, to, "there")
	require.ErrorIs(t, durable.RenameNew(from, to), fs.ErrExist)
	require.Equal(t, "there", read(t, to))
	require.NoError(t, os.Remove(to))
	require.NoError(t, durable.RenameNew(from, to))
	require.Equal(t, content, read(t, to))
	require.Equal(t, []string{"to"}, names(t, dir))
	require.ErrorIs(t, durable.RenameNew(from, to), fs.ErrNotExist)
}
