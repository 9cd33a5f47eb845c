package backup_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/golden"
	"ailee-recovery/reorgdb"
)

// TestBesideANode: a node appends to the file and writes to the database during the backups.
// Each backup ends after a complete snapshot.
func TestBesideANode(t *testing.T) {
	dir := clitest.NodeDir(t, 3)
	stop, err := reorgtest.StartNode(filepath.Join(dir, "reorg_db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, stop()) }()
	file := filepath.Join(dir, "l2_snapshots.dat")
	before := clitest.FileSize(t, file)
	appending := exec.Command("appender", file, "4", "1000000", "1ms")
	require.NoError(t, appending.Start())
	defer func() { _ = appending.Process.Kill(); _ = appending.Wait() }()
	clitest.WaitFor(t, appending, func() bool { return clitest.FileSize(t, file) > before })
	last := 0
	for i := range 3 {
		quiet(t, hours(i), "--data-dir", dir)
		all := clitest.Times(t, filepath.Join(dir, "backups", snapshotsAt(hours(i))))
		require.Greater(t, len(all), last, "the node appended")
		last = len(all)
		for k, ms := range all {
			require.EqualValues(t, k+1, ms)
		}
	}
	require.Equal(t, 7, requireSound(t, filepath.Join(dir, "backups")))
}

// TestDamagedSource: a damaged part is not backed up, and none of its backups is deleted. The
// other part is backed up.
func TestDamagedSource(t *testing.T) {
	table := func(dir string) string {
		found, _ := filepath.Glob(filepath.Join(dir, "reorg_db", "*.sst"))
		return found[0]
	}
	for _, c := range []struct {
		name  string
		other string // prefix of the part that is still backed up
		spoil func(t *testing.T, dir string) error
		says  string
	}{
		{"tampered", "reorg_db_", func(t *testing.T, dir string) error {
			data, err := os.ReadFile(filepath.Join(dir, "l2_snapshots.dat"))
			require.NoError(t, err)
			at := bytes.LastIndex(data, []byte(`balance "peer-0007`))
			data[at+bytes.IndexByte(data[at:], '\n')-1] ^= 1
			return os.WriteFile(filepath.Join(dir, "l2_snapshots.dat"), data, 0o644)
		}, "does not verify: state root mismatch"},
		{"emptied", "reorg_db_", func(_ *testing.T, dir string) error {
			return os.Truncate(filepath.Join(dir, "l2_snapshots.dat"), 0)
		}, "no complete snapshot"},
		{"missing", "reorg_db_", func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(dir, "l2_snapshots.dat")) }, "is missing"},
		{"a pipe", "reorg_db_", func(t *testing.T, dir string) error {
			require.NoError(t, os.Remove(filepath.Join(dir, "l2_snapshots.dat")))
			return unix.Mkfifo(filepath.Join(dir, "l2_snapshots.dat"), 0o600)
		}, "cannot be read"},
		{"table", "l2_snapshots_", func(t *testing.T, dir string) error {
			data, err := os.ReadFile(table(dir))
			require.NoError(t, err)
			data[len(data)/3] ^= 1
			return os.WriteFile(table(dir), data, 0o644)
		}, "not backed up"},
		{"CURRENT", "l2_snapshots_", func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(dir, "reorg_db", "CURRENT")) }, "not backed up"},
		{"no database", "l2_snapshots_", func(_ *testing.T, dir string) error { return os.RemoveAll(filepath.Join(dir, "reorg_db")) }, "is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := clitest.NodeDir(t, 3)
			for i := range 3 {
				changed(t, dir)
				quiet(t, hours(i), "--data-dir", dir)
			}
			folder := filepath.Join(dir, "backups")
			before := contents(t, folder)
			require.NoError(t, c.spoil(t, dir))
			code, stdout, stderr := run(hours(4), "--data-dir", dir, "--keep", "2", "--keep-daily", "0", "--keep-weekly", "0")
			want := exit.Wrong
			if c.name == "a pipe" {
				want = exit.Failed
			}
			require.Equal(t, want, code, stderr)
			require.Empty(t, stdout)
			require.Contains(t, stderr, "ailee-backup: error: ")
			require.Contains(t, stderr, c.says)
			require.Contains(t, stderr, "ailee-backup: hint: ")
			after := contents(t, folder)
			made := 0
			for name, data := range after {
				if old, ok := before[name]; ok {
					require.Equal(t, old, data)
					continue
				}
				require.Contains(t, name, c.other)
				made++
			}
			require.Equal(t, 1, made)
			for name := range before {
				if !strings.HasPrefix(name, c.other) {
					require.Contains(t, after, name)
				}
			}
		})
	}
}

// TestPegOuts: the nodes' own verifier rejects every snapshot with peg-outs, but that is not
// damage.
func TestPegOuts(t *testing.T) {
	dir := clitest.NodeDir(t, 0)
	written, err := os.ReadFile(filepath.Join(golden.Dir(), "write", "node-written.dat"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "l2_snapshots.dat"), written, 0o644))
	quiet(t, start, "--data-dir", dir)
	copied, err := os.ReadFile(filepath.Join(dir, "backups", backups.LatestName))
	require.NoError(t, err)
	require.True(t, bytes.HasPrefix(written, copied))
}

// TestHidden: a file that hides valid snapshots is backed up as far as a node sees it, and the
// hidden snapshots are reported.
func TestHidden(t *testing.T) {
	dir := clitest.NodeDir(t, 2)
	file := filepath.Join(dir, "l2_snapshots.dat")
	before := clitest.Read(t, file)
	require.NoError(t, os.WriteFile(file, []byte(before+"torn"+clitest.Numbered(3)), 0o644))
	code, _, stderr := run(start, "--data-dir", dir, "--snapshot-only")
	require.Equal(t, exit.Wrong, code)
	require.Contains(t, stderr, "1 valid snapshot(s) hidden from nodes")
	require.Equal(t, before, clitest.Read(t, filepath.Join(dir, "backups", snapshotsAt(start))))
}

// mountableBackups makes the data directory of a node and its empty backup folder, and skips the
// test if nothing can be mounted there.
func mountableBackups(t *testing.T, snapshots int) (dir, folder string) {
	t.Helper()
	if !clitest.CanMount(t) {
		t.Skip("cannot mount")
	}
	dir = clitest.NodeDir(t, snapshots)
	folder = filepath.Join(dir, "backups")
	require.NoError(t, os.Mkdir(folder, 0o755))
	return dir, folder
}

// TestDiskFull: wherever the disk fills up, the run ends with status 1, and the earlier backups
// are still there, or newer ones.
func TestDiskFull(t *testing.T) {
	dir, folder := mountableBackups(t, 60)
	step := 24
	if testing.Short() {
		step = 96
	}
	full, done := 0, false
	for kb := 64; !done; kb += step {
		require.NoError(t, unix.Mount("tmpfs", folder, "tmpfs", 0, fmt.Sprintf("size=%dk", kb)))
		func() {
			defer func() { require.NoError(t, unix.Unmount(folder, 0)) }()
			if code, _, stderr := run(start, "--data-dir", dir, "--snapshot-only"); code != 0 {
				require.Equal(t, 1, code, stderr)
				require.Contains(t, stderr, "no space left on device")
				return
			}
			before := contents(t, folder)
			code, _, stderr := run(hours(1), "--data-dir", dir, "--keep", "1")
			if code == 0 {
				done = true
				return
			}
			full++
			require.Equal(t, 1, code, stderr)
			require.Contains(t, strings.ToLower(stderr), "no space left on device") // RocksDB begins with a capital letter
			after := contents(t, folder)
			_, newer := after[snapshotsAt(hours(1))]
			for name, data := range before {
				// Only one is kept, and perhaps it was the database that did not fit.
				if !newer || name != snapshotsAt(start) && name != backups.LatestName {
					require.True(t, data == after[name], name)
				}
			}
			require.NotContains(t, strings.Join(clitest.Names(t, folder), " "), ".tmp")
			requireSound(t, folder)
		}()
	}
	require.Positive(t, full)
}

// TestVerifyOnAFullDisk: a database for which there is no room to unpack it could not be checked.
func TestVerifyOnAFullDisk(t *testing.T) {
	dir, folder := mountableBackups(t, 2)
	require.NoError(t, unix.Mount("tmpfs", folder, "tmpfs", 0, "size=8m"))
	defer func() { require.NoError(t, unix.Unmount(folder, 0)) }()
	quiet(t, start, "--data-dir", dir)
	code, _, stderr := run(hours(1), "--data-dir", dir, "verify")
	require.Equal(t, exit.Failed, code)
	require.Contains(t, stderr, "reorg_db_20250215_000000.tar.gz could not be read: unpack to ")
	require.Contains(t, stderr, "no space left on device")
	require.Contains(t, stderr, "hint: ")
}

// TestDamagedLater: a backup that was damaged after it was made is reported once, by the next run.
func TestDamagedLater(t *testing.T) {
	dir := clitest.NodeDir(t, 2)
	quiet(t, start, "--data-dir", dir)
	for name, size := range map[string]int64{snapshotsAt(start): 1000, "reorg_db_20250215_000000.tar.gz": 100} {
		require.NoError(t, os.Truncate(filepath.Join(dir, "backups", name), size))
	}
	code, _, stderr := run(hours(1), "--data-dir", dir)
	require.Zero(t, code, stderr)
	for _, name := range []string{snapshotsAt(start), "reorg_db_20250215_000000.tar.gz"} {
		require.Contains(t, stderr, "warning: "+filepath.Join(dir, "backups", name)+" is wrong: ")
	}
	quiet(t, hours(2), "--data-dir", dir)
}

// TestTwice: a second run at the same time as the first ends at once and changes nothing. Of two
// runs one after the other in the same second, the later is named after the next second.
func TestTwice(t *testing.T) {
	dir := clitest.NodeDir(t, 3)
	folder := filepath.Join(dir, "backups")
	quiet(t, start, "--data-dir", dir)
	before := contents(t, folder)
	held, err := os.Open(folder)
	require.NoError(t, err)
	defer held.Close()
	require.NoError(t, unix.Flock(int(held.Fd()), unix.LOCK_EX))
	code, _, stderr := run(hours(1), "--data-dir", dir)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "error: another ailee-backup or ailee-restore is at work in "+folder)
	require.Equal(t, before, contents(t, folder))
	require.NoError(t, held.Close())
	quiet(t, start, "--data-dir", dir)
	require.Equal(t, []string{snapshotsAt(start), snapshotsAt(start.Add(time.Second)), backups.LatestName, databaseAt(start), databaseAt(start.Add(time.Second))}, names(t, folder))

	var running []*exec.Cmd
	for range 4 {
		cmd := exec.Command("ailee-backup", "--data-dir", dir)
		require.NoError(t, cmd.Start())
		running = append(running, cmd)
	}
	ended := 0
	for _, cmd := range running {
		_ = cmd.Wait()
		require.Contains(t, []int{0, 1}, cmd.ProcessState.ExitCode())
		if cmd.ProcessState.ExitCode() == 0 {
			ended++
		}
	}
	require.Positive(t, ended)
	require.Equal(t, 2*(2+ended)+1, requireSound(t, folder))
}

// TestKilled: every file with the name of a backup is complete, and the next run removes what a
// killed one left.
func TestKilled(t *testing.T) {
	dir := clitest.NodeDir(t, 20)
	folder := filepath.Join(dir, "backups")
	quiet(t, start, "--data-dir", dir)
	rng := rand.New(rand.NewSource(3))
	killed := 0
	for range clitest.Kills(60) + 2 {
		cmd := exec.Command("ailee-backup", "--data-dir", dir, "--keep", "3", "--keep-daily", "0", "--keep-weekly", "0")
		cmd.Env = append(os.Environ(), clitest.Unrecorded)
		require.NoError(t, cmd.Start())
		// This is the moment of the crash, not a way to wait for something.
		time.Sleep(time.Duration(rng.Intn(200)) * time.Millisecond)
		_ = cmd.Process.Kill()
		if cmd.Wait() != nil {
			killed++
		}
		require.FileExists(t, filepath.Join(folder, backups.LatestName))
	}
	require.NoError(t, os.RemoveAll(filepath.Join(folder, ".ailee-backup.tmp")))
	requireSound(t, folder)
	require.NoError(t, os.MkdirAll(filepath.Join(folder, ".ailee-backup.tmp", "reorg_db"), 0o700))
	now := time.Now()
	for i := range 3 {
		quiet(t, now.Add(time.Duration(i+1)*time.Minute), "--data-dir", dir, "--keep", "3", "--keep-daily", "0", "--keep-weekly", "0")
	}
	require.Equal(t, len(names(t, folder)), requireSound(t, folder))
	require.NoDirExists(t, filepath.Join(folder, ".ailee-backup.tmp"))
	t.Logf("%d runs were killed", killed)
	require.Positive(t, killed)
}

// TestUnchanged: backups of unchanged data take no space, for a day.
func TestUnchanged(t *testing.T) {
	dir := clitest.NodeDir(t, 3)
	age(t, dir)
	folder := filepath.Join(dir, "backups")
	inode := func(name string) uint64 {
		info, err := os.Stat(filepath.Join(folder, name))
		require.NoError(t, err)
		return info.Sys().(*syscall.Stat_t).Ino
	}
	quiet(t, start, "--data-dir", dir)
	first, firstDatabase := inode(snapshotsAt(start)), inode(databaseAt(start))
	for i := 1; i < 24; i++ {
		quiet(t, hours(i), "--data-dir", dir)
		require.Equal(t, first, inode(snapshotsAt(hours(i))))
		require.Equal(t, firstDatabase, inode(databaseAt(hours(i))))
	}
	live, err := os.Stat(filepath.Join(dir, "l2_snapshots.dat"))
	require.NoError(t, err)
	require.NotEqual(t, live.Sys().(*syscall.Stat_t).Ino, inode(backups.LatestName))
	// A day later it is copied again.
	quiet(t, hours(24), "--data-dir", dir)
	require.NotEqual(t, first, inode(snapshotsAt(hours(24))))
	require.NotEqual(t, firstDatabase, inode(databaseAt(hours(24))))
	b := catalogue(t, folder).Find(snapshotsAt(hours(7)))
	require.Equal(t, []string{backups.Linked, snapshotsAt(start)}, []string{b.Copy, b.DataOf})
	// A change is noticed, and so is a backup whose times were changed.
	require.NoError(t, clitest.AppendOne(filepath.Join(dir, "l2_snapshots.dat"), 4))
	quiet(t, hours(25), "--data-dir", dir)
	require.Len(t, clitest.Times(t, filepath.Join(folder, snapshotsAt(hours(25)))), 4)
	require.NoError(t, os.Chtimes(filepath.Join(folder, databaseAt(hours(25))), start, start))
	quiet(t, hours(26), "--data-dir", dir)
}

// TestLiveFileIsABackup: a user moved the latest backup over the live file, and a node appended.
func TestLiveFileIsABackup(t *testing.T) {
	dir := clitest.NodeDir(t, 3)
	folder, file := filepath.Join(dir, "backups"), filepath.Join(dir, "l2_snapshots.dat")
	quiet(t, start, "--data-dir", dir)
	before := clitest.Read(t, file)
	require.NoError(t, os.Rename(filepath.Join(folder, backups.LatestName), file))
	require.NoError(t, clitest.AppendOne(file, 4))
	code, _, stderr := run(hours(1), "--data-dir", dir)
	require.Zero(t, code, stderr)
	require.Contains(t, stderr, "is the live file itself")
	require.Equal(t, before, clitest.Read(t, filepath.Join(folder, snapshotsAt(start))))
	live, err := os.Stat(file)
	require.NoError(t, err)
	require.EqualValues(t, 1, live.Sys().(*syscall.Stat_t).Nlink)
	require.Equal(t, []string{snapshotsAt(start), snapshotsAt(hours(1)), backups.LatestName, databaseAt(start), databaseAt(hours(1))}, names(t, folder))
	require.Equal(t, 5, requireSound(t, folder))
	// If its old content changed, the backup is wrong.
	require.NoError(t, os.Remove(file))
	require.NoError(t, os.Link(filepath.Join(folder, snapshotsAt(start)), file))
	require.NoError(t, os.WriteFile(file, []byte(clitest.Numbered(1)+strings.Repeat(clitest.Numbered(2), 5)), 0o644))
	code, _, stderr = run(hours(2), "--data-dir", dir, "--snapshot-only")
	require.Equal(t, exit.Wrong, code)
	require.Contains(t, stderr, "no longer what was backed up")
	require.Equal(t, backups.Wrong, catalogue(t, folder).Find(snapshotsAt(start)).Verified.Verdict)
}

// TestClockWasWrong: a backup dated in the future does not count, and nothing is deleted because
// of it.
func TestClockWasWrong(t *testing.T) {
	dir := clitest.NodeDir(t, 1)
	folder := filepath.Join(dir, "backups")
	once := []string{"--data-dir", dir, "--keep", "1", "--keep-daily", "0", "--keep-weekly", "0"}
	future := time.Date(2099, time.January, 1, 0, 0, 0, 0, time.UTC)
	for _, now := range []time.Time{start, future, hours(1)} {
		changed(t, dir)
		quiet(t, now, once...)
	}
	require.Len(t, names(t, folder), 7)
	changed(t, dir)
	quiet(t, hours(2), once...)
	require.Equal(t, []string{snapshotsAt(hours(2)), snapshotsAt(future), backups.LatestName, databaseAt(hours(2)), databaseAt(future)}, names(t, folder))
	code, stdout, _ := run(hours(3), "list", "--data-dir", dir)
	require.Zero(t, code)
	require.Contains(t, stdout, "\n2099-01-01 00:00:00 is dated in the future: kept, not counted.\n")
}

// TestCompressed: the backups are compressed, except for the latest snapshot file, which the
// recovery guide restores as it is.
func TestCompressed(t *testing.T) {
	for _, c := range []struct{ flags, file, database string }{
		{"--compress", ".dat.bak.gz", ".tar.gz"}, {"--compress gzip", ".dat.bak.gz", ".tar.gz"},
		{"--compress=zstd", ".dat.bak.zst", ".tar.zst"}, {"--compress zstd", ".dat.bak.zst", ".tar.zst"},
	} {
		dir := clitest.NodeDir(t, 5)
		torn, err := os.OpenFile(filepath.Join(dir, "l2_snapshots.dat"), os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = torn.WriteString(clitest.Numbered(6)[:300])
		require.NoError(t, errors.Join(err, torn.Close()))
		for i := range 3 {
			changed(t, dir)
			quiet(t, hours(i), append(strings.Fields(c.flags), "--data-dir", dir, "--keep=2", "--keep-daily=0", "--keep-weekly=0")...)
		}
		folder := filepath.Join(dir, "backups")
		require.Equal(t, []string{
			"l2_snapshots_" + stamp(hours(1)) + c.file, "l2_snapshots_" + stamp(hours(2)) + c.file, backups.LatestName,
			"reorg_db_" + stamp(hours(1)) + c.database, "reorg_db_" + stamp(hours(2)) + c.database}, names(t, folder))
		require.Len(t, clitest.Times(t, filepath.Join(folder, backups.LatestName)), 5)
		require.Equal(t, 5, requireSound(t, folder))
	}
}

// TestDryRun: a dry run says what the run would do, also with a damaged source.
func TestDryRun(t *testing.T) {
	dir := clitest.NodeDir(t, 3)
	folder := filepath.Join(dir, "backups")
	flags := []string{"--data-dir", dir, "--keep", "1", "--keep-daily", "0", "--keep-weekly", "0", "--dry-run"}
	quiet(t, start, "--data-dir", dir)
	before := contents(t, dir)
	code, stdout, stderr := run(hours(1), flags...)
	require.Zero(t, code, stderr)
	want := ""
	for _, name := range []string{snapshotsAt(hours(1)), databaseAt(hours(1))} {
		want += "would make " + filepath.Join(folder, name) + "\n"
	}
	for _, name := range []string{snapshotsAt(start), databaseAt(start)} {
		want += "would delete " + filepath.Join(folder, name) + "\n"
	}
	require.Equal(t, want, stdout)
	code, _, _ = run(hours(1), append(flags, "--json")...)
	require.Zero(t, code)
	require.Equal(t, before, contents(t, dir))

	require.NoError(t, os.WriteFile(filepath.Join(dir, "l2_snapshots.dat"), []byte("damaged"), 0o600))
	require.NoError(t, os.Remove(filepath.Join(dir, "reorg_db", "CURRENT")))
	code, stdout, stderr = run(hours(1), flags...)
	require.Equal(t, exit.Wrong, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "l2_snapshots.dat: no complete snapshot")
	require.Contains(t, stderr, "CURRENT is missing; the database was not backed up")
}

// TestDiskThatIsNotMounted: the folder is not created on another disk instead.
func TestDiskThatIsNotMounted(t *testing.T) {
	dir := clitest.NodeDir(t, 1)
	top := t.TempDir()
	link := filepath.Join(top, "link")
	require.NoError(t, os.Symlink(filepath.Join(top, "disk", "ailee"), link))
	for _, folder := range []string{filepath.Join(top, "disk", "ailee"), link, link + "/"} {
		code, _, stderr := run(start, "--data-dir", dir, "--backup-dir", folder)
		require.Equal(t, 1, code, stderr)
		require.Contains(t, stderr, "error: cannot make "+folder+": its parent folder is missing\nailee-backup: hint: mount its disk")
	}
	require.Equal(t, []string{"link"}, clitest.Names(t, top))
	// A file is in the way.
	within := filepath.Join(dir, "l2_snapshots.dat", "backups")
	code, _, stderr := run(start, "--data-dir", dir, "--backup-dir", within)
	require.Equal(t, 1, code)
	require.Equal(t, "ailee-backup: error: cannot make "+within+": stat "+within+": not a directory\n"+
		"ailee-backup: hint: make the folder, or name another with --backup-dir\n", stderr)
	quiet(t, start, "--data-dir", dir, "--backup-dir", filepath.Join(top, "ailee")+"/")
}

// TestEnvironmentHasNoEffect: no other program runs that the environment could affect.
func TestEnvironmentHasNoEffect(t *testing.T) {
	dir := clitest.NodeDir(t, 2)
	t.Setenv("TAR_OPTIONS", "--exclude=*.sst")
	t.Setenv("CDPATH", t.TempDir())
	t.Setenv("PATH", "/nowhere")
	quiet(t, start, "--data-dir", dir)
	require.Equal(t, 3, requireSound(t, filepath.Join(dir, "backups")))
}

// TestExec: the command runs once everything is backed up, and not if something was not.
func TestExec(t *testing.T) {
	dir := clitest.NodeDir(t, 2)
	folder, said := filepath.Join(dir, "backups"), filepath.Join(t.TempDir(), "said")
	command := `echo "$AILEE_BACKUP_SNAPSHOTS $AILEE_BACKUP_DATABASE $AILEE_BACKUP_STATUS" >>` + said
	quiet(t, start, "--data-dir", dir, "--exec", command)
	want := fmt.Sprintf("%s/%s %s/%s 0\n", folder, snapshotsAt(start), folder, databaseAt(start))
	require.Equal(t, want, clitest.Read(t, said))
	code, _, stderr := run(hours(1), "--data-dir", dir, "--exec", "exit 7")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "the --exec command failed: exit status 7")
	require.Equal(t, 5, requireSound(t, folder))
	require.NoError(t, os.Remove(filepath.Join(dir, "l2_snapshots.dat")))
	code, _, _ = run(hours(2), "--data-dir", dir, "--exec", command)
	require.Equal(t, exit.Wrong, code)
	require.Equal(t, want, clitest.Read(t, said))
}

// TestExecInterrupted: the command may clean up, and the run ends by the signal.
func TestExecInterrupted(t *testing.T) {
	dir := clitest.NodeDir(t, 1)
	said := filepath.Join(t.TempDir(), "said")
	var errs strings.Builder
	cmd := exec.Command("ailee-backup", "--data-dir", dir, "--exec", `trap "echo cleaned >>`+said+`; exit 3" TERM; echo started >`+said+`; while :; do sleep 0.01; done`)
	cmd.Stderr = &errs
	require.NoError(t, cmd.Start())
	clitest.WaitFor(t, cmd, func() bool {
		text, _ := os.ReadFile(said)
		return string(text) == "started\n"
	})
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Error(t, cmd.Wait())
	require.Equal(t, syscall.SIGTERM, cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(), errs.String())
	require.Contains(t, errs.String(), "ailee-backup: error: interrupted: the --exec command: trap ")
	require.Contains(t, errs.String(), "ailee-backup: hint: the backups are complete; run the command by hand, or back up again\n")
	require.Equal(t, "started\ncleaned\n", clitest.Read(t, said))
	require.Equal(t, 3, requireSound(t, filepath.Join(dir, "backups")))
}

// TestDatabaseMadeAnew: the database was created again. No backup that has the lost anchors is
// deleted until they are given up.
func TestDatabaseMadeAnew(t *testing.T) {
	dir := clitest.NodeDir(t, 2)
	folder, db := filepath.Join(dir, "backups"), filepath.Join(dir, "reorg_db")
	few := []string{"--data-dir", dir, "--db-only", "--keep", "2", "--keep-daily", "0", "--keep-weekly", "0"}
	quiet(t, start, few...)
	quiet(t, hours(1), few...)
	require.NoError(t, os.Rename(db, db+".aside"))
	made, err := reorgdb.Create(db)
	require.NoError(t, err)
	require.NoError(t, made.Close())
	for i := 2; i < 8; i++ {
		written(t, db)
		code, _, stderr := run(hours(i), few...)
		require.Equal(t, exit.Wrong, code)
		require.Equal(t, "ailee-backup: error: reorg_db lacks 4 anchors (1 confirmed), 3 reorg events and the reorg event counter\n"+
			"ailee-backup: hint: they are in "+databaseAt(hours(1))+" and before\n"+
			"ailee-backup: hint: the 2 that have them are held until this is settled\n"+
			"ailee-backup: hint: how to get them back: ailee-doctor --data-dir "+dir+"\n"+
			"ailee-backup: hint: if they are to be given up: ailee-backup --accept-loss --data-dir "+dir+"\n", stderr)
	}
	// Only the new line rotates.
	require.Equal(t, []string{databaseAt(start), databaseAt(hours(1)), databaseAt(hours(6)), databaseAt(hours(7))}, names(t, folder))
	code, stdout, _ := run(hours(7), "list", "--data-dir", dir)
	require.Zero(t, code)
	require.Equal(t, 2, strings.Count(stdout, ", held\n"))
	code, _, _ = run(hours(7), append(few, "--json", "--dry-run")...)
	require.Equal(t, exit.Wrong, code)
	// The old database is back.
	require.NoError(t, os.RemoveAll(db))
	require.NoError(t, os.Rename(db+".aside", db))
	quiet(t, hours(8), few...)
	require.Equal(t, backups.Returned, catalogue(t, folder).Losses[0].State)
	// Lost again, it is given up, and its backups age.
	require.NoError(t, os.RemoveAll(db))
	made, err = reorgdb.Create(db)
	require.NoError(t, err)
	require.NoError(t, made.Close())
	code, stdout, _ = run(hours(9), append(few, "--accept-loss")...)
	require.Zero(t, code)
	require.Contains(t, stdout, "given up: 4 anchors (1 confirmed)")
	for i := 10; i < 13; i++ {
		written(t, db)
		quiet(t, hours(i), few...)
	}
	require.Equal(t, []string{databaseAt(hours(11)), databaseAt(hours(12))}, names(t, folder))
}

// TestFileCut: a prune with its note is not a loss; the same cut by hand is.
func TestFileCut(t *testing.T) {
	dir := clitest.NodeDir(t, 6)
	folder, file := filepath.Join(dir, "backups"), filepath.Join(dir, "l2_snapshots.dat")
	args := []string{"--data-dir", dir, "--snapshot-only"}
	quiet(t, start, args...)
	clitest.RunTool(t, exit.OK, prunesnapshots.Tool(), "--in-place", "--keep", "4", "--quiet", "--file", file)
	quiet(t, hours(1), args...)
	require.Len(t, catalogue(t, folder).Prunes, 1)
	require.NoError(t, os.WriteFile(file, []byte(clitest.Numbered(6)), 0o644))
	code, _, stderr := run(hours(2), args...)
	require.Equal(t, exit.Wrong, code)
	require.Contains(t, stderr, "error: l2_snapshots.dat lacks 3 snapshots at the front, and no prune is recorded\n")
	// Later backups are a separate line, and have the latest state.
	require.NoError(t, clitest.AppendOne(file, 7))
	code, _, _ = run(hours(3), args...)
	require.Equal(t, exit.Wrong, code)
	require.Equal(t, []uint64{6, 7}, clitest.Times(t, filepath.Join(folder, backups.LatestName)))
	// When both parts are joined again, nothing is missing.
	require.NoError(t, os.WriteFile(file, []byte(clitest.Numbered(3)+clitest.Numbered(4)+clitest.Numbered(5)+clitest.Numbered(6)+clitest.Numbered(7)), 0o644))
	quiet(t, hours(4), args...)
	code, stdout, stderr := run(hours(5), append(args, "--json")...)
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, `"losses": []`)
}

// TestRottenBackup: a backup that went bad does not count, and nothing is compared with it.
func TestRottenBackup(t *testing.T) {
	dir := clitest.NodeDir(t, 2)
	folder := filepath.Join(dir, "backups")
	for i := range 3 {
		require.NoError(t, clitest.AppendOne(filepath.Join(dir, "l2_snapshots.dat"), 3+i))
		quiet(t, hours(i), "--data-dir", dir)
	}
	rotten := filepath.Join(folder, databaseAt(hours(2)))
	data, err := os.ReadFile(rotten)
	require.NoError(t, err)
	info, err := os.Stat(rotten)
	require.NoError(t, err)
	data[len(data)/2] ^= 1
	require.NoError(t, os.WriteFile(rotten, data, 0o644))
	require.NoError(t, os.Chtimes(rotten, info.ModTime(), info.ModTime()))
	code, stdout, _ := run(hours(3), "verify", "--data-dir", dir)
	require.Equal(t, exit.Wrong, code)
	require.Contains(t, stdout, snapshotsAt(hours(2))+": sound, 5 snapshots\n")
	quiet(t, hours(4), "--data-dir", dir)
	require.NoError(t, os.Remove(filepath.Join(folder, snapshotsAt(start))))
	code, _, stderr := run(hours(5), "verify", "--all", "--json", "--data-dir", dir)
	require.Equal(t, exit.Wrong, code)
	require.Contains(t, stderr, "is gone, but no run deleted it")
	code, _, _ = run(hours(5), "verify", snapshotsAt(hours(1)), "--data-dir", dir)
	require.Zero(t, code)
	require.NoError(t, os.Remove(filepath.Join(folder, snapshotsAt(hours(1)))))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "notes"), nil, 0o600))
	// A file that is not a backup cannot be verified. A path to a backup stands for its name.
	for _, name := range []string{"notes", "missing", backups.LatestName} {
		code, _, stderr = run(hours(5), "verify", name, "--data-dir", dir)
		require.Equal(t, exit.Failed, code)
		require.Contains(t, stderr, "error: "+name+" is not a backup in "+folder+"\n")
	}
	code, stdout, stderr = run(hours(5), "verify", filepath.Join(folder, snapshotsAt(hours(4))), "--data-dir", dir)
	require.Zero(t, code, stderr)
	require.Equal(t, snapshotsAt(hours(4))+": sound, 5 snapshots\n", stdout)
	code, _, _ = run(hours(5), "list", "--json", "--data-dir", dir)
	require.Zero(t, code)
}

// TestCatalogueIsMadeAnew: the catalogue is rebuilt from the backups, whatever happened to it.
func TestCatalogueIsMadeAnew(t *testing.T) {
	dir := clitest.NodeDir(t, 1)
	folder := filepath.Join(dir, "backups")
	for i := range 3 {
		require.NoError(t, clitest.AppendOne(filepath.Join(dir, "l2_snapshots.dat"), 2+i))
		quiet(t, hours(i), "--data-dir", dir)
	}
	path := filepath.Join(folder, backups.CatalogueName)
	before := catalogue(t, folder)
	for i, spoil := range []func() error{
		func() error { return os.Remove(path) },
		func() error { return os.Truncate(path, 100) },
		func() error { return os.WriteFile(path, []byte(`{"version": 99}`), 0o600) },
		func() error { return errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path)) },
	} {
		require.NoError(t, spoil())
		quiet(t, hours(3+i), "--data-dir", dir)
		after := catalogue(t, folder)
		require.Len(t, after.Backups, 6+2*(i+1))
		for _, b := range before.Backups {
			again := after.Find(b.Name)
			require.Equal(t, []string{b.SHA256, b.ContentSHA256}, []string{again.SHA256, again.ContentSHA256})
			require.Equal(t, b.Made, again.Made)
		}
		require.Empty(t, after.Losses)
	}
}

// TestFolderOfAnother: root works as the owner of the folder, and follows no planted link.
func TestFolderOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	dir := clitest.NodeDir(t, 2)
	top := clitest.ForNobody(t)
	data := filepath.Join(top, "ailee")
	require.NoError(t, os.Rename(dir, data))
	require.NoError(t, filepath.WalkDir(data, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, clitest.Nobody, clitest.Nobody))
	}))
	folder := filepath.Join(data, "backups")
	require.NoError(t, os.Mkdir(folder, 0o750))
	require.NoError(t, os.Lchown(folder, clitest.Nobody, clitest.Nobody))
	victim := filepath.Join(t.TempDir(), "victim")
	require.NoError(t, os.WriteFile(victim, []byte("mine"), 0o600))
	for _, name := range []string{backups.LatestName, backups.CatalogueName, ".ailee-backup.tmp", ".ailee-catalogue.json.ailee-tmp"} {
		require.NoError(t, os.Symlink(victim, filepath.Join(folder, name)))
	}
	clitest.RunProcess(t, exit.OK, "ailee-backup", "--data-dir", data)
	require.Equal(t, "mine", clitest.Read(t, victim))
	require.Equal(t, 3, requireSound(t, folder))
	for _, name := range names(t, folder) {
		info, err := os.Lstat(filepath.Join(folder, name))
		require.NoError(t, err)
		require.EqualValues(t, clitest.Nobody, info.Sys().(*syscall.Stat_t).Uid, name)
	}
	// The folder of a third user, who cannot read the data: root reads it beforehand.
	third := filepath.Join(filepath.Dir(top), filepath.Base(top)+"-third")
	require.NoError(t, os.Mkdir(third, 0o755))
	t.Cleanup(func() { _ = os.RemoveAll(third) })
	require.NoError(t, os.Lchown(third, 12345, 12345))
	require.NoError(t, os.Chmod(data, 0o700))
	clitest.RunProcess(t, exit.OK, "ailee-backup", "--data-dir", data, "--backup-dir", third)
	require.Equal(t, 3, requireSound(t, third))
}

// TestDocument checks the JSON fields that scripts read.
func TestDocument(t *testing.T) {
	dir := clitest.NodeDir(t, 2)
	age(t, dir)
	code, stdout, _ := run(start, "--data-dir", dir, "--json")
	require.Zero(t, code)
	code, _, _ = run(hours(1), "--data-dir", dir, "--json")
	require.Zero(t, code)
	for _, what := range []string{"list", "verify"} {
		code, _, _ = run(hours(1), what, "--data-dir", dir, "--json")
		require.Zero(t, code)
	}
	var doc struct {
		Snapshots struct {
			File        string `json:"file"`
			TimestampMs uint64 `json:"timestamp_ms"`
		} `json:"snapshots"`
		Deleted []string `json:"deleted"`
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &doc))
	require.Equal(t, filepath.Join(dir, "backups", snapshotsAt(start)), doc.Snapshots.File)
	require.EqualValues(t, 2, doc.Snapshots.TimestampMs)
}

// TestOddFilesBesideBackups: files, links, pipes and folders that are not backups, whatever
// their names, are neither read nor removed, and do not flood the list.
func TestOddFilesBesideBackups(t *testing.T) {
	dir := clitest.NodeDir(t, 1)
	folder := filepath.Join(dir, "backups")
	require.NoError(t, os.Mkdir(folder, 0o755))
	odd := []string{"reorg_db_20250101_000000.tar.gz", "l2_snapshots_20250101_000000.dat.bak", "l2_snapshots_20250102_000000.dat.bak"}
	require.NoError(t, unix.Mkfifo(filepath.Join(folder, odd[0]), 0o644))
	require.NoError(t, os.Symlink(filepath.Join(dir, "l2_snapshots.dat"), filepath.Join(folder, odd[1])))
	require.NoError(t, os.Mkdir(filepath.Join(folder, odd[2]), 0o755))
	for i := range 500 {
		odd = append(odd, fmt.Sprintf("l2_snapshots_%d.dat.bak", i), fmt.Sprintf("reorg_db_%d.tar.gz", i))
	}
	for _, name := range odd[3:] {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), nil, 0o644))
	}
	for i := range 3 {
		changed(t, dir)
		quiet(t, hours(i), "--data-dir", dir, "--keep", "1", "--keep-daily", "0", "--keep-weekly", "0")
	}
	require.Len(t, names(t, folder), 3+3)
	require.Subset(t, clitest.Names(t, folder), odd)
	code, stdout, _ := run(hours(3), "list", "--data-dir", dir)
	require.Zero(t, code)
	require.Equal(t, 20, strings.Count(stdout, " is not a backup.\n"))
	require.Contains(t, stdout, fmt.Sprintf("\n%d more files are not backups; --json lists them all.\n", len(odd)-20))
	code, stdout, _ = run(hours(3), "list", "--json", "--data-dir", dir)
	require.Zero(t, code)
	require.Len(t, unknown(t, stdout), len(odd))
}

// unknown returns the names in a list that are not backups.
func unknown(t *testing.T, list string) []string {
	t.Helper()
	var doc struct{ Unknown []string }
	require.NoError(t, json.Unmarshal([]byte(list), &doc))
	return doc.Unknown
}
