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

// TestHolderByAnotherPath: a process that has the database open is found by whatever path
// it has it, also where the file with its lock was removed.
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
		node := exec.Command("sleep", "60")
		node.ExtraFiles = []*os.File{f}
		require.NoError(t, node.Start())
		require.NoError(t, f.Close())
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
