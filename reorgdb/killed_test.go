package reorgdb_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/golden"
	"ailee-recovery/reorgdb"
)

const lockEnv = "REORGDB_TEST_LOCK"

// TestHoldLock is the process that holds a lock, if the environment names one.
func TestHoldLock(t *testing.T) {
	path := os.Getenv(lockEnv)
	if path == "" {
		t.Skip("other tests run this one")
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	require.NoError(t, err)
	require.NoError(t, unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}))
	fmt.Println("locked")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// holdLock makes another process hold the lock of a database, like a process that makes or opens
// the database.
func holdLock(t *testing.T, path string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestHoldLock$", "-test.v")
	cmd.Env = append(os.Environ(), lockEnv+"="+filepath.Join(path, "LOCK"))
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, in.Close())
		_, _ = io.Copy(io.Discard, out)
		require.NoError(t, cmd.Wait())
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "locked" {
			return
		}
	}
	require.Fail(t, "the process does not hold the lock")
}

// unfinished returns a database that a node was killed while making.
func unfinished(t *testing.T) string {
	path := golden.Database(t, "killed-while-creating-7.8.3")
	require.NoError(t, os.Remove(filepath.Join(path, "CURRENT")))
	return path
}

// TestReadingBesideWhoMakesIt: a database can be read, but not written, while another process is
// making or opening it.
func TestReadingBesideWhoMakesIt(t *testing.T) {
	for name, path := range map[string]string{
		"being made":   unfinished(t),
		"just made":    golden.Database(t, "killed-while-creating-7.8.3"),
		"being opened": golden.Database(t, "killed-at-start-6.11.4"),
	} {
		t.Run(name, func(t *testing.T) {
			holdLock(t, path)
			before := files(t, path)
			db := openReadOnly(t, path)
			want := 0
			if name == "being opened" {
				want = 84
			}
			require.Len(t, all(t, db), want)
			require.Equal(t, path, db.Path())
			require.Equal(t, before, files(t, path))
			_, err := reorgdb.Open(path)
			var locked *reorgdb.LockedError
			require.ErrorAs(t, err, &locked)
			require.Equal(t, before, files(t, path))
		})
	}
}

func TestAnUnfinishedDatabaseIsMade(t *testing.T) {
	path := unfinished(t)
	before := files(t, path)
	db := openReadOnly(t, path)
	require.Empty(t, all(t, db))
	require.Equal(t, []string{"default"}, db.Families())
	require.NoError(t, db.Check(ctx))
	require.Error(t, db.Update(func(*reorgdb.Update) error { return nil }), "the database is only open for reading")
	require.Equal(t, before, files(t, path))

	db, err := reorgdb.Open(path)
	require.NoError(t, err)
	update(t, db, func(u *reorgdb.Update) { see(t, u, 5, hash(5), reorgdb.Written) })
	require.NoError(t, db.Sync())
	require.NoError(t, db.Close())
	requireOldTables(t, path, nil)
	require.Equal(t, map[string]string{"default/block:00000000000000000005": hash(5)}, contents(t, path))
}

// TestAFolderWithoutCurrent: a folder without CURRENT is an unfinished database only if nothing
// shows that there was a CURRENT.
func TestAFolderWithoutCurrent(t *testing.T) {
	for _, name := range []string{"000004.sst", "000003.log", "OPTIONS-000005", "MANIFEST-000005"} {
		path := unfinished(t)
		require.NoError(t, os.WriteFile(filepath.Join(path, name), nil, 0o600))
		require.ErrorIs(t, reorgdb.CheckFolder(path), reorgdb.ErrCorrupt, name)
		_, err := reorgdb.Open(path)
		require.ErrorIs(t, err, reorgdb.ErrCorrupt, name)
		_, err = reorgdb.OpenReadOnly(path)
		require.ErrorIs(t, err, reorgdb.ErrCorrupt, name)
	}
	path := unfinished(t)
	require.NoError(t, os.WriteFile(filepath.Join(path, "l2_snapshots.dat"), nil, 0o600))
	_, err := reorgdb.OpenReadOnly(path)
	require.Error(t, err)
	require.ErrorIs(t, reorgdb.CheckFolder(t.TempDir()), reorgdb.ErrNoDatabase)
}
