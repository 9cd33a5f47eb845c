package restore_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/restore"
	"ailee-recovery/internal/golden"
	"ailee-recovery/reorgdb"
)

// start is the time of the first backup of most tests.
const start = 1739577600 // 2025-02-15 00:00:00 UTC

func stampOf(now int64) string { return time.Unix(now, 0).UTC().Format("20060102_150405") }

// run runs the tool in this process, with its clock set to now.
func run(t *testing.T, now int64, dir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	args = append([]string{restore.Name, "--data-dir", dir}, args...)
	code = cli.Execute(t.Context(), restore.Tool(), args, cli.Streams{Out: &out, Err: &errs, Now: func() time.Time { return time.Unix(now, 0) }})
	require.NoError(t, clitest.Record(restore.Name, args, out.String()))
	return code, out.String(), errs.String()
}

// nodeDir makes a data directory. It skips the test under the race detector, which does not see
// into the processes that these tests start.
func nodeDir(t *testing.T, count int) string {
	t.Helper()
	clitest.SkipUnderRace(t)
	return clitest.NodeDir(t, count)
}

// backUp makes backups of both parts as they are, with the given time in their names.
func backUp(t *testing.T, dir string, now int64) {
	t.Helper()
	backups := filepath.Join(dir, "backups")
	require.NoError(t, os.MkdirAll(backups, 0o750))
	data, err := os.ReadFile(filepath.Join(dir, "l2_snapshots.dat"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(backups, "l2_snapshots_"+stampOf(now)+".dat.bak"), data, 0o640))
	backUpDatabase(t, dir, now)
}

// backUpDatabase does the same for the database alone.
func backUpDatabase(t *testing.T, dir string, now int64) {
	t.Helper()
	backups := filepath.Join(dir, "backups")
	require.NoError(t, os.MkdirAll(backups, 0o750))
	pack(t, dir, filepath.Join(backups, "reorg_db_"+stampOf(now)+".tar.gz"), "reorg_db")
}

// pack packs files of a folder by name, compressed as the name of the archive says.
func pack(t *testing.T, dir, archive string, names ...string) {
	t.Helper()
	said, err := exec.Command("tar", append([]string{"-C", dir, "-caf", archive}, names...)...).CombinedOutput()
	require.NoError(t, err, "%s", said)
}

// TestRestore: the most recent valid state is restored, and what it replaces is kept.
func TestRestore(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 3)
	file, db, backups := filepath.Join(dir, "l2_snapshots.dat"), filepath.Join(dir, "reorg_db"), filepath.Join(dir, "backups")
	backUp(t, dir, start)
	want := reorgtest.Records(t, db)
	// Newer files: some that are not backups, and a backup that ends in half a snapshot.
	require.NoError(t, os.WriteFile(filepath.Join(backups, "reorg_db_20250215_000200.tar.gz"), []byte("no archive"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(backups, "l2_snapshots_20250215_000200.dat.bak"), []byte("nothing"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(backups, "l2_snapshots_20250215_000100.dat.bak"), []byte(clitest.Numbered(8)+clitest.Numbered(9)+clitest.Numbered(10)[:300]), 0o644))
	require.NoError(t, os.WriteFile(file, []byte("damaged"), 0o644))
	require.NoError(t, os.Chmod(file, 0o604))
	require.NoError(t, os.Remove(filepath.Join(db, "CURRENT")))
	// An undamaged archive of a damaged database.
	pack(t, dir, filepath.Join(backups, "reorg_db_20250215_000100.tar.gz"), "reorg_db")
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(file, 12, 34))
		require.NoError(t, filepath.WalkDir(db, func(path string, _ fs.DirEntry, err error) error { return os.Chown(path, 12, 34) }))
	}
	before := clitest.Contents(t, dir)
	now := int64(start + 1000)

	code, stdout, stderr := run(t, now, dir, "--dry-run")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "Would restore l2_snapshots.dat from l2_snapshots_20250215_000100.dat.bak\n")
	require.Contains(t, stdout, "Next: ailee-restore --data-dir "+dir+"\n")
	require.Equal(t, before, clitest.Contents(t, dir))

	code, stdout, stderr = run(t, now, dir)
	require.Zero(t, code, stderr)
	require.Empty(t, stderr)
	require.Contains(t, stdout, "Skipped l2_snapshots_20250215_000200.dat.bak: ")
	require.Contains(t, stdout, "Skipped reorg_db_20250215_000200.tar.gz: ")
	require.Contains(t, stdout, "Skipped reorg_db_20250215_000100.tar.gz: ")
	require.Contains(t, stdout, "Restored l2_snapshots.dat from l2_snapshots_20250215_000100.dat.bak\n  2 snapshots, latest 1970-01-01 00:00:00; what was there had none\n  kept as l2_snapshots.dat.replaced_"+stampOf(now)+"\n")
	require.Contains(t, stdout, "Restored reorg_db from reorg_db_"+stampOf(start)+".tar.gz\n")
	require.Contains(t, stdout, "Next: ailee-doctor --data-dir "+dir+"\n")
	require.Equal(t, []uint64{8, 9}, clitest.Times(t, file))
	require.Equal(t, want, reorgtest.Records(t, db))
	kept := "l2_snapshots.dat.replaced_" + stampOf(now)
	require.Equal(t, "damaged", clitest.Contents(t, dir)[kept])
	require.Equal(t, []string{"backups", "l2_snapshots.dat", kept, "reorg_db", "reorg_db.replaced_" + stampOf(now)}, clitest.Names(t, dir))
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.EqualValues(t, 0o604, info.Mode().Perm())
	if os.Geteuid() == 0 {
		for _, path := range []string{file, db, filepath.Join(db, "CURRENT")} {
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.EqualValues(t, 12, info.Sys().(*syscall.Stat_t).Uid, path)
			require.EqualValues(t, 34, info.Sys().(*syscall.Stat_t).Gid, path)
		}
	}

	// No backup verifies, and the live data is sound.
	for _, name := range clitest.Names(t, backups) {
		require.NoError(t, os.WriteFile(filepath.Join(backups, name), []byte("rotten"), 0o644))
	}
	before = clitest.Contents(t, dir)
	code, _, stderr = run(t, now+1, dir)
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "error: no backup of the snapshots in "+backups+" verifies\n")
	require.Contains(t, stderr, "error: no backup of the database in "+backups+" verifies\n")
	require.Equal(t, before, clitest.Contents(t, dir))

	// The same without a snapshot file.
	require.NoError(t, os.Remove(file))
	before = clitest.Contents(t, dir)
	code, stdout, stderr = run(t, now+1, dir)
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "no backup of the snapshots in "+backups+" verifies")
	require.Contains(t, stdout, "Nothing was changed.\n")
	require.Equal(t, before, clitest.Contents(t, dir))
}

// TestTakenName: if the name for the old data is taken, nothing is replaced.
func TestTakenName(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 3)
	backUp(t, dir, start)
	taken := filepath.Join(dir, "reorg_db.replaced_"+stampOf(start+5))
	require.NoError(t, os.Mkdir(taken, 0o700))
	before := clitest.Contents(t, dir)
	for _, args := range [][]string{{"--force"}, {"--force", "--dry-run"}} {
		code, _, stderr := run(t, start+5, dir, args...)
		require.Equal(t, 1, code)
		require.Contains(t, stderr, "error: "+filepath.Base(taken)+" already exists\nailee-restore: hint: run it again")
		require.Equal(t, before, clitest.Contents(t, dir))
	}
}

// TestRunningNode: a restore is refused if a process has any file of the data open, whichever
// part it is to replace. If there is nothing to replace, a node may be running.
func TestRunningNode(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 3)
	file, db := filepath.Join(dir, "l2_snapshots.dat"), filepath.Join(dir, "reorg_db")
	backUp(t, dir, start)
	stop, err := reorgtest.StartNode(db)
	require.NoError(t, err)
	code, stdout, stderr := run(t, start+5, dir)
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "reorg_db is sound and newer than the newest backup:\n  it has ")
	before := clitest.Read(t, file)
	for _, args := range [][]string{{"--force"}, {"--force", "--snapshot-only"}, {"--force", "--db-only", "--dry-run"}} {
		code, stdout, stderr = run(t, start+5, dir, args...)
		require.Equal(t, 1, code)
		require.Regexp(t, `error: reorg_db is in use by ailee_node \(pid [0-9]+\)\n.*hint: `, stderr)
		if args[len(args)-1] != "--dry-run" {
			require.Contains(t, stdout, "Nothing was changed.\n")
		}
	}
	require.NoError(t, stop())
	require.Equal(t, before, clitest.Read(t, file))
	require.Equal(t, []string{"backups", "l2_snapshots.dat", "reorg_db"}, clitest.Names(t, dir))

	opened := exec.Command("sleep", "1000")
	opened.Stdin, err = os.OpenFile(file, os.O_APPEND|os.O_RDWR, 0)
	require.NoError(t, err)
	require.NoError(t, opened.Start())
	require.NoError(t, opened.Stdin.(*os.File).Close())
	defer func() { _ = opened.Process.Kill(); _ = opened.Wait() }()
	code, _, stderr = run(t, start+5, dir, "--force", "--db-only")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, fmt.Sprintf("l2_snapshots.dat is in use by sleep (pid %d)\nailee-restore: hint: kill %[1]d\n", opened.Process.Pid))
}

// TestRemovedLock: the database of a running node was removed, or only its LOCK, and the node
// goes on. Its data is changing, so nothing is even compared.
func TestRemovedLock(t *testing.T) {
	t.Parallel()
	for _, remove := range []string{"reorg_db", "reorg_db/LOCK"} {
		dir := nodeDir(t, 3)
		db := filepath.Join(dir, "reorg_db")
		backUp(t, dir, start)
		node, err := reorgdb.Open(db)
		require.NoError(t, err)
		// RocksDB may still create a file there.
		for os.RemoveAll(filepath.Join(dir, remove)) != nil {
		}
		before := clitest.Names(t, dir)
		for _, args := range [][]string{nil, {"--dry-run"}, {"--snapshot-only"}, {"--db-backup", filepath.Join(dir, "backups", "reorg_db_"+stampOf(start)+".tar.gz")}} {
			_, stderr := clitest.RunProcess(t, 1, restore.Name, append(args, "--data-dir", dir)...)
			require.Contains(t, stderr, fmt.Sprintf("(pid %d)", os.Getpid()))
			require.Contains(t, stderr, "reorg_db, which was removed, is in use by ")
		}
		require.Equal(t, before, clitest.Names(t, dir))
		require.NoError(t, node.Close())
	}
}

// TestTwice: a second run for the same data directory or backup folder ends at once, and changes
// nothing.
func TestTwice(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 1)
	backUp(t, dir, start)
	for _, folder := range []string{dir, filepath.Join(dir, "backups")} {
		held, err := os.Open(folder)
		require.NoError(t, err)
		require.NoError(t, unix.Flock(int(held.Fd()), unix.LOCK_EX))
		before := clitest.Contents(t, dir)
		code, _, stderr := run(t, start+1, dir, "--force")
		require.Equal(t, 1, code)
		require.Contains(t, stderr, "ailee-restore: error: another ailee-backup or ailee-restore is at work in "+folder+"\n")
		require.Equal(t, before, clitest.Contents(t, dir))
		require.NoError(t, held.Close())
	}
	// Locking both folders also works if they are the same.
	backups := filepath.Join(dir, "backups")
	for _, name := range clitest.Names(t, backups) {
		require.NoError(t, os.Rename(filepath.Join(backups, name), filepath.Join(dir, name)))
	}
	code, _, stderr := run(t, start+1, dir, "--force", "--backup-dir", dir)
	require.Zero(t, code, stderr)
}

// TestUnreadableSources: only a source that could be read can be wrong, and an older backup does
// not make up for a failing disk.
func TestUnreadableSources(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 1)
	backups := filepath.Join(dir, "backups")
	name := func(number int) string {
		return filepath.Join(backups, "l2_snapshots_"+stampOf(int64(start+number))+".dat.bak")
	}
	// A folder is not a backup of the snapshots.
	require.NoError(t, os.MkdirAll(name(3), 0o700))
	code, _, stderr := run(t, start, dir, "--dry-run", "--snapshot-only")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "error: "+backups+" has no backup of the snapshots\n")
	code, _, stderr = run(t, start, dir, "--dry-run", "--snapshot-backup", name(3))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, name(3)+" is a folder")
	code, _, stderr = run(t, start, dir, "--dry-run", "--snapshot-backup", name(4))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "no such file or directory\n")
	// The only backup is wrong.
	require.NoError(t, os.WriteFile(name(1), bytes.Repeat([]byte("rotten"), 100_000), 0o600))
	for _, args := range [][]string{{"--snapshot-only"}, {"--snapshot-backup", name(1)}} {
		code, _, stderr = run(t, start, dir, append(args, "--dry-run")...)
		require.Equal(t, 2, code, stderr)
	}
	require.Contains(t, stderr, name(1)+" cannot be restored: ")
	// An older one is good.
	require.NoError(t, os.WriteFile(name(0), []byte(clitest.Numbered(1)), 0o600))
	code, _, stderr = run(t, start, dir, "--dry-run", "--snapshot-only")
	require.Zero(t, code, stderr)
	// A file that gives an error when it is read.
	code, _, stderr = run(t, start, dir, "--dry-run", "--snapshot-backup", "/proc/self/mem")
	require.Equal(t, 1, code, stderr)
	require.Contains(t, stderr, "error: /proc/self/mem cannot be read: ")
	require.Contains(t, stderr, "input/output error\nailee-restore: hint: the disk may be failing: check the kernel log: dmesg --level=err\n")
	require.Equal(t, []string{"backups", "l2_snapshots.dat", "reorg_db"}, clitest.Names(t, dir))
}

// TestThroughALink: the link stays, and what it leads to is replaced, on whatever disk that is.
func TestThroughALink(t *testing.T) {
	t.Parallel()
	for _, other := range []string{os.TempDir(), "/dev/shm"} {
		for _, part := range []string{"l2_snapshots.dat", "reorg_db"} {
			dir := nodeDir(t, 2)
			disk, err := os.MkdirTemp(other, "disk")
			require.NoError(t, err)
			t.Cleanup(func() { _ = os.RemoveAll(disk) })
			name, moved := filepath.Join(dir, part), filepath.Join(disk, "moved")
			backUp(t, dir, start)
			want := clitest.Contents(t, dir)
			require.NoError(t, os.RemoveAll(name))
			require.NoError(t, os.Symlink(moved, name))
			code, _, stderr := run(t, start, dir)
			require.Equal(t, 1, code)
			require.Contains(t, stderr, part+" is a dangling link to "+moved+"\n")
			if part == "reorg_db" {
				require.NoError(t, os.Mkdir(moved, 0o751))
			} else {
				require.NoError(t, os.WriteFile(moved, []byte("damaged"), 0o604))
			}
			// What a killed run left on the other disk is not in the way.
			require.NoError(t, os.MkdirAll(filepath.Join(disk, ".moved.ailee-restore.tmp", "old"), 0o700))
			code, stdout, stderr := run(t, start, dir)
			require.Zero(t, code, stderr)
			require.Contains(t, stdout, "Restored "+moved+" from ")
			require.Contains(t, stdout, "  kept as "+moved+".replaced_"+stampOf(start)+"\n")
			target, err := os.Readlink(name)
			require.NoError(t, err)
			require.Equal(t, moved, target)
			require.Equal(t, []string{"moved", "moved.replaced_" + stampOf(start)}, clitest.Names(t, disk))
			info, err := os.Stat(moved)
			require.NoError(t, err)
			if part == "reorg_db" {
				require.Equal(t, fs.ModeDir|0o751, info.Mode())
				require.Len(t, reorgtest.Records(t, name), len(reorgtest.Records(t, moved)))
			} else {
				require.Equal(t, fs.FileMode(0o604), info.Mode())
				require.Equal(t, want[part], clitest.Read(t, moved))
			}
			require.Equal(t, []string{"backups", "l2_snapshots.dat", "reorg_db"}, clitest.Names(t, dir))
		}
	}
}

// TestLeftoverOfAPrune: what a killed prune left does not become part of the restored file.
func TestLeftoverOfAPrune(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 3)
	backUp(t, dir, start)
	file := filepath.Join(dir, "l2_snapshots.dat")
	size := clitest.FileSize(t, file)
	left := filepath.Join(dir, fmt.Sprintf(".l2_snapshots.dat.ailee-old-%d-%d", size, size))
	require.NoError(t, os.WriteFile(left, []byte("one"), 0o640))
	require.NoError(t, os.WriteFile(left+"1", []byte("another"), 0o640))
	code, stdout, stderr := run(t, start, dir, "--snapshot-only", "--force", "--dry-run")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "Would set aside "+left+", which a killed prune left\n")
	code, _, stderr = run(t, start, dir, "--snapshot-only", "--force")
	require.Zero(t, code, stderr)
	kept := file + ".unfinished_" + stampOf(start)
	require.Contains(t, stderr, "warning: an earlier prune of l2_snapshots.dat was killed: what it left is set aside as "+kept+"\n")
	after := clitest.Contents(t, dir)
	require.ElementsMatch(t, []string{"one", "another"}, []string{after[filepath.Base(kept)], after[filepath.Base(kept)+"_"]})
	require.NoFileExists(t, left)
}

// TestUnfinishedDatabase: the unfinished database of a node that was killed while it created it
// is replaced, and kept as it is.
func TestUnfinishedDatabase(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]string{"killed-at-start-6.11.4": "", "killed-while-creating-7.8.3": "", "unfinished": "CURRENT"} {
		dir := nodeDir(t, 1)
		backUp(t, dir, start)
		db := filepath.Join(dir, "reorg_db")
		want := reorgtest.Records(t, db)
		require.NoError(t, os.RemoveAll(db))
		from := name
		if remove != "" {
			from = "killed-while-creating-7.8.3"
		}
		require.NoError(t, os.Rename(golden.Database(t, from), db))
		if remove != "" {
			require.NoError(t, os.Remove(filepath.Join(db, remove)))
		}
		left := clitest.Names(t, db)
		code, _, stderr := run(t, start+60, dir, "--db-only", "--force")
		require.Zero(t, code, stderr)
		require.Equal(t, want, reorgtest.Records(t, db))
		replaced, err := filepath.Glob(db + ".replaced_*")
		require.NoError(t, err)
		require.Len(t, replaced, 1)
		require.Equal(t, left, clitest.Names(t, replaced[0]))
	}
}

// TestWithoutOutput: a restore does its work even if nothing can be printed.
func TestWithoutOutput(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 3)
	backUp(t, dir, start)
	want := reorgtest.Records(t, filepath.Join(dir, "reorg_db"))
	for _, listener := range []string{">/dev/full", ">&-", "| true", ">/dev/full 2>&1", "--json >/dev/full", ">&- 2>&-"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "l2_snapshots.dat"), []byte("lost"), 0o600))
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "reorg_db")))
		kept, err := filepath.Glob(filepath.Join(dir, "*.replaced_*"))
		require.NoError(t, err)
		for _, path := range kept {
			require.NoError(t, os.RemoveAll(path))
		}
		cmd := exec.Command("bash", "-o", "pipefail", "-c", restore.Name+` --data-dir "$0" `+listener, dir)
		cmd.Env = append(os.Environ(), clitest.Unrecorded)
		said, _ := cmd.CombinedOutput()
		if strings.Contains(listener, "full") {
			require.Equal(t, 1, cmd.ProcessState.ExitCode(), "%s: %s", listener, said)
		}
		require.Equal(t, []uint64{1, 2, 3}, clitest.Times(t, filepath.Join(dir, "l2_snapshots.dat")), listener)
		require.Equal(t, want, reorgtest.Records(t, filepath.Join(dir, "reorg_db")), listener)
	}
}
