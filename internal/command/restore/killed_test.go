package restore_test

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/restore"
)

// TestKilled: under the name of a part there is always the complete old or new data, and a run
// that is not killed completes the restore.
func TestKilled(t *testing.T) {
	clitest.InMemory(t)
	dir := nodeDir(t, 3)
	file, db := filepath.Join(dir, "l2_snapshots.dat"), filepath.Join(dir, "reorg_db")
	backUp(t, dir, start)
	good, want := clitest.Read(t, file), reorgtest.Records(t, db)
	rng := rand.New(rand.NewSource(4))
	killed := 0
	for range clitest.Kills(40) + 2 {
		require.NoError(t, os.WriteFile(file, []byte("damaged"), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(db, "CURRENT"), []byte("damaged"), 0o600))
		cmd := exec.Command(restore.Name, "--data-dir", dir)
		cmd.Env = append(os.Environ(), clitest.Unrecorded)
		require.NoError(t, cmd.Start())
		// This is the moment of the crash, not a way to wait for something.
		time.Sleep(time.Duration(rng.Intn(100)) * time.Millisecond)
		_ = cmd.Process.Kill()
		if cmd.Wait() != nil {
			killed++
		}
		require.Contains(t, []string{"damaged", good}, clitest.Read(t, file))
		require.FileExists(t, filepath.Join(db, "CURRENT"))
		// Remove what was kept: a run in the same second would need the same names.
		kept, err := filepath.Glob(filepath.Join(dir, "*.replaced_*"))
		require.NoError(t, err)
		if _, err := os.Lstat(filepath.Join(dir, ".ailee-restore.json")); err != nil {
			for _, path := range kept {
				require.NoError(t, os.RemoveAll(path))
			}
		}
	}
	t.Logf("%d runs were killed", killed)
	for i := range 2 { // the first one may have to complete
		code, _, stderr := run(t, start+1000+int64(i), dir)
		require.Zero(t, code, stderr)
	}
	require.Equal(t, good, clitest.Read(t, file))
	require.Equal(t, want, reorgtest.Records(t, db))
	for _, name := range clitest.Names(t, dir) {
		require.NotContains(t, name, ".ailee-restore")
	}
}

// inodeOf returns the inode at a path.
func inodeOf(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	return fmt.Sprint(info.Sys().(*syscall.Stat_t).Ino)
}

// halfway turns a completed restore into one that was killed after it exchanged the database,
// and returns the time in its names.
func halfway(t *testing.T, dir string) (stamp string) {
	t.Helper()
	stamp = stampOf(start + 5)
	code, _, stderr := run(t, start+5, dir, "--force")
	require.Zero(t, code, stderr)
	db, file := filepath.Join(dir, "reorg_db"), filepath.Join(dir, "l2_snapshots.dat")
	stage := func(name string) string { return filepath.Join(dir, "."+name+".ailee-restore.tmp") }
	require.NoError(t, os.Rename(db+".replaced_"+stamp, stage("reorg_db")))
	require.NoError(t, os.Rename(file, stage("l2_snapshots.dat")))
	require.NoError(t, os.Rename(file+".replaced_"+stamp, file))
	journal, err := json.Marshal(map[string]any{"version": 1, "time": stamp, "parts": []map[string]string{
		{"part": "database", "name": "reorg_db", "stage_inode": inodeOf(t, db), "live_inode": inodeOf(t, stage("reorg_db")), "from": "old.tar.gz"},
		{"part": "snapshots", "name": "l2_snapshots.dat", "stage_inode": inodeOf(t, stage("l2_snapshots.dat")), "live_inode": inodeOf(t, file), "from": "old.bak"},
	}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".ailee-restore.json"), journal, 0o600))
	return stamp
}

// TestCompletes: the next run completes the restore, with the sources that were chosen before.
func TestCompletes(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 3)
	file, db := filepath.Join(dir, "l2_snapshots.dat"), filepath.Join(dir, "reorg_db")
	backUp(t, dir, start)
	require.NoError(t, clitest.AppendOne(file, 4))
	want := reorgtest.Records(t, db)
	stamp := halfway(t, dir)
	before := clitest.Contents(t, dir)
	code, stdout, stderr := run(t, start+60, dir, "--dry-run")
	require.Zero(t, code, stderr)
	require.Equal(t, "Would complete the restore of reorg_db from old.tar.gz\nWould complete the restore of l2_snapshots.dat from old.bak\nNext: ailee-restore --data-dir "+dir+"\n", stdout)
	require.Equal(t, before, clitest.Contents(t, dir))

	// A node that has been started meanwhile is in the way.
	stop, err := reorgtest.StartNode(db)
	require.NoError(t, err)
	code, _, stderr = run(t, start+60, dir)
	require.NoError(t, stop())
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "reorg_db is in use by ailee_node ")
	require.FileExists(t, filepath.Join(dir, ".ailee-restore.json"))

	code, stdout, stderr = run(t, start+60, dir, "--json")
	require.Zero(t, code, stderr)
	require.Equal(t, "ailee-restore: warning: an earlier restore, "+stamp+", was killed: completing it\n", stderr)
	require.Contains(t, stdout, `"completed": true`)
	require.Equal(t, []uint64{1, 2, 3}, clitest.Times(t, file))
	require.Equal(t, []string{"backups", "l2_snapshots.dat", "l2_snapshots.dat.replaced_" + stamp, "reorg_db", "reorg_db.replaced_" + stamp}, clitest.Names(t, dir))
	require.Equal(t, []uint64{1, 2, 3, 4}, clitest.Times(t, file+".replaced_"+stamp))
	require.Len(t, reorgtest.Records(t, db+".replaced_"+stamp), len(want))
}

// TestCompletesFirst: the earlier restore is completed before the one that was asked for.
func TestCompletesFirst(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 3)
	file := filepath.Join(dir, "l2_snapshots.dat")
	backUp(t, dir, start)
	halfway(t, dir)
	source := filepath.Join(t.TempDir(), "source")
	require.NoError(t, os.WriteFile(source, []byte(history(1, 2, 3, 4)), 0o600))
	code, _, stderr := run(t, start+60, dir, "--snapshot-backup", source, "--dry-run")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "hint: complete it first: ailee-restore --data-dir "+dir+"\n")
	code, stdout, stderr := run(t, start+60, dir, "--snapshot-backup", source)
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "Restored l2_snapshots.dat from "+source+"\n")
	require.Equal(t, []uint64{1, 2, 3, 4}, clitest.Times(t, file))
	require.Len(t, clitest.Names(t, dir), 6)
}

// TestLinkLeadsElsewhere: an earlier restore is completed only where it began.
func TestLinkLeadsElsewhere(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 3)
	file, other := filepath.Join(dir, "l2_snapshots.dat"), filepath.Join(dir, "other.dat")
	backUp(t, dir, start)
	halfway(t, dir)
	require.NoError(t, os.Rename(file, other))
	require.NoError(t, os.Symlink("other.dat", file))
	before := clitest.Contents(t, dir)
	code, _, stderr := run(t, start+60, dir)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "error: an earlier restore of l2_snapshots.dat was killed, and l2_snapshots.dat is now "+other+"\nailee-restore: hint: let it lead there again\n")
	require.Equal(t, before, clitest.Contents(t, dir))
	require.NoError(t, os.Rename(other, file))
	code, _, stderr = run(t, start+60, dir)
	require.Zero(t, code, stderr)
	require.Contains(t, stderr, "was killed: completing it")
}

// TestLost: if the files have been moved since, nothing more is moved.
func TestLost(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 3)
	backUp(t, dir, start)
	halfway(t, dir)
	require.NoError(t, os.Rename(filepath.Join(dir, "reorg_db"), filepath.Join(dir, "elsewhere")))
	before := clitest.Contents(t, dir)
	for _, args := range [][]string{nil, {"--dry-run"}} {
		code, _, stderr := run(t, start+60, dir, args...)
		require.Equal(t, 1, code)
		require.Contains(t, stderr, "error: an earlier restore was killed, and its files were moved since: in "+dir+
			", reorg_db is missing, .reorg_db.ailee-restore.tmp is what was to be replaced and reorg_db.replaced_"+stampOf(start+5)+" is missing\n")
		require.Equal(t, before, clitest.Contents(t, dir))
	}
	// A planted journal.
	require.NoError(t, os.Remove(filepath.Join(dir, ".ailee-restore.json")))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, ".ailee-restore.json")))
	code, _, stderr := run(t, start+60, dir)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, ".ailee-restore.json was not left by a restore\n")
}

// TestReaders: a process that keeps looking for the database and the file always finds both, and
// the file complete.
func TestReaders(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 3)
	file, db := filepath.Join(dir, "l2_snapshots.dat"), filepath.Join(dir, "reorg_db")
	backUp(t, dir, start)
	good := clitest.Read(t, file)
	stop, missed, started := make(chan struct{}), make(chan []error, 1), make(chan struct{})
	go func() {
		var errs []error
		for first := true; ; first = false {
			var stat unix.Stat_t
			if err := unix.Stat(filepath.Join(db, "CURRENT"), &stat); err != nil {
				errs = append(errs, err)
			}
			if err := unix.Stat(file, &stat); err != nil || stat.Size != int64(len(good)) {
				errs = append(errs, fmt.Errorf("%d bytes: %w", stat.Size, err))
			}
			if first {
				close(started)
			}
			select {
			case <-stop:
				missed <- errs
				return
			default:
			}
		}
	}()
	<-started
	for i := range int64(5) {
		code, _, stderr := run(t, start+5+i, dir, "--force")
		require.Zero(t, code, stderr)
	}
	close(stop)
	require.Empty(t, <-missed)
}
