package reorgdb_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/golden"
	"ailee-recovery/reorgdb"
)

// TestHolderByAnotherPath: a process that has the database open is found, whatever path it
// opened the database by, even if the file with its lock was removed.
func TestHolderByAnotherPath(t *testing.T) {
	path := golden.Database(t, "node-rocksdb-7.8.3-reopened")
	view := t.TempDir()
	if err := unix.Mount(path, view, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("no mount: %v", err)
	}
	defer func() { require.NoError(t, unix.Unmount(view, unix.MNT_DETACH)) }()
	require.NoError(t, os.WriteFile(filepath.Join(path, "LOCK"), nil, 0o600))
	logs, err := filepath.Glob(filepath.Join(view, "MANIFEST-*"))
	require.NoError(t, err)
	require.NotEmpty(t, logs)
	for _, c := range []struct {
		open  string
		flags int
		held  bool
	}{{filepath.Join(view, "LOCK"), os.O_RDWR, true}, {logs[0], os.O_WRONLY, true}, {logs[0], os.O_RDONLY, false}} {
		f, err := os.OpenFile(c.open, c.flags, 0)
		require.NoError(t, err)
		if c.open != logs[0] {
			require.NoError(t, os.Remove(filepath.Join(path, "LOCK")))
		}
		node := holding(t, f)
		holder := reorgdb.Holder(path)
		require.NoError(t, node.Process.Kill())
		_ = node.Wait()
		var locked *reorgdb.LockedError
		require.Equal(t, c.held, errors.As(holder, &locked), c.open)
		if c.held {
			require.Equal(t, node.Process.Pid, locked.PID)
			require.Equal(t, "sleep", locked.Process)
		}
	}
}

// holding starts a process that has a file open, and closes the file in this process.
func holding(t *testing.T, f *os.File) *exec.Cmd {
	t.Helper()
	node := exec.Command("sleep", "60")
	node.ExtraFiles = []*os.File{f}
	require.NoError(t, node.Start())
	require.NoError(t, f.Close())
	return node
}

// TestTablesBesideANode: a table that cannot be opened is an error even while a node is running,
// when RocksDB silently ignores it and its records.
func TestTablesBesideANode(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, table string)
		check func(t *testing.T, err error)
	}{
		"sound": {func(*testing.T, string) {}, func(t *testing.T, err error) { require.NoError(t, err) }},
		"too new": {makeNewer, func(t *testing.T, err error) {
			var tooNew *reorgdb.TooNewError
			require.ErrorAs(t, err, &tooNew)
		}},
		"cut short": {func(t *testing.T, table string) { require.NoError(t, os.Truncate(table, 1000)) }, func(t *testing.T, err error) {
			require.ErrorIs(t, err, reorgdb.ErrCorrupt)
		}},
		"missing": {func(t *testing.T, table string) { require.NoError(t, os.Remove(table)) }, func(t *testing.T, err error) {
			require.ErrorIs(t, err, reorgdb.ErrCorrupt)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			path := golden.Database(t, "node-rocksdb-6.11.4")
			want := 0
			for _, err := range openReadOnly(t, path).Records(ctx, reorgdb.DefaultFamily) {
				require.NoError(t, err)
				want++
			}
			manifest, err := os.OpenFile(filepath.Join(path, "MANIFEST-000005"), os.O_WRONLY, 0)
			require.NoError(t, err)
			node := holding(t, manifest)
			defer func() {
				require.NoError(t, node.Process.Kill())
				_ = node.Wait()
			}()
			c.spoil(t, filepath.Join(path, "000004.sst"))
			db, err := reorgdb.OpenReadOnly(path)
			c.check(t, err)
			if err != nil {
				return
			}
			got := 0
			for _, err := range db.Records(ctx, reorgdb.DefaultFamily) {
				require.NoError(t, err)
				got++
			}
			require.NoError(t, db.Close())
			require.Equal(t, want, got)
		})
	}
}
