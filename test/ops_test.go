package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/backup"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/golden"
	"ailee-recovery/reorgdb"
)

// command is a script of scripts/, which finds the tools on PATH. Its time is now
// unless 0.
func command(now int64, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join("..", "scripts", name), args...)
	cmd.Env = os.Environ()
	if now != 0 {
		cmd.Env = append(cmd.Env, fmt.Sprintf("AILEE_NOW=%d", now))
	}
	return cmd
}

func runScript(t *testing.T, now int64, name string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	if name == backup.Name {
		return backUp(t, now, args...)
	}
	return runCommand(t, command(now, name, args...))
}

// backUp runs ailee-backup in this process.
func backUp(t *testing.T, now int64, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	clitest.SkipUnderRace(t)
	var out, errs bytes.Buffer
	streams := cli.Streams{Out: &out, Err: &errs}
	if now != 0 {
		streams.Now = func() time.Time { return time.Unix(now, 0) }
	}
	code = cli.Execute(t.Context(), backup.Tool(), append([]string{backup.Name}, args...), streams)
	require.NoError(t, clitest.Record(backup.Name, args, out.String()))
	return code, out.String(), errs.String()
}

func runCommand(t *testing.T, cmd *exec.Cmd) (code int, stdout, stderr string) {
	t.Helper()
	clitest.SkipUnderRace(t)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		require.NoError(t, err)
	}
	require.NoError(t, clitest.Record(filepath.Base(cmd.Args[0]), cmd.Args, out.String()))
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// quiet asserts that a script did its work and had nothing to say.
func quiet(t *testing.T, now int64, name string, args ...string) {
	t.Helper()
	code, stdout, stderr := runScript(t, now, name, args...)
	require.Zero(t, code, "%s%s", stdout, stderr)
	require.Empty(t, stdout)
	require.Empty(t, stderr)
}

// start is the time of the first backup of most tests.
const start = 1739577600 // 2025-02-15 00:00:00 UTC

func stampOf(now int64) string { return time.Unix(now, 0).UTC().Format("20060102_150405") }

// nodeDir is a node's data directory with the given number of snapshots and a
// database.
func nodeDir(t *testing.T, count int) string {
	t.Helper()
	clitest.SkipUnderRace(t)
	dir := filepath.Join(t.TempDir(), "ailee")
	require.NoError(t, os.Mkdir(dir, 0o750))
	for i := 1; i <= count; i++ {
		require.NoError(t, clitest.AppendOne(filepath.Join(dir, "l2_snapshots.dat"), i))
	}
	require.NoError(t, golden.Unpack("node-rocksdb-6.11.4", dir))
	require.NoError(t, os.Rename(filepath.Join(dir, "node-rocksdb-6.11.4"), filepath.Join(dir, "reorg_db")))
	return dir
}

// contents is every file below a folder, by its path.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir+"/")] = string(data)
		return err
	}))
	return all
}

// requireRestorable restores every backup in a folder into a directory of its own,
// and verifies what is there then.
func requireRestorable(t *testing.T, backups string) (count int) {
	t.Helper()
	for _, name := range clitest.Names(t, backups) {
		if strings.HasPrefix(name, "ailee-") {
			continue // what is known of them
		}
		dir := t.TempDir()
		flag := "--snapshot-backup"
		if strings.HasPrefix(name, "reorg_db_") {
			flag = "--db-backup"
		}
		code, stdout, stderr := runScript(t, 0, "ailee-restore", "--data-dir", dir, flag, filepath.Join(backups, name))
		require.Zero(t, code, "%s: %s%s", name, stdout, stderr)
		if flag == "--db-backup" {
			clitest.RunTool(t, exit.OK, reorgverify.Tool(), "--db-path", filepath.Join(dir, "reorg_db"))
		} else {
			clitest.RunTool(t, exit.OK, l2verify.Tool(), "--accept-earlier-anchors", "--strict", "--snapshot", filepath.Join(dir, "l2_snapshots.dat"))
		}
		count++
	}
	return count
}

// TestRestoreRefusesARunningNode, whichever of its files it has open.
func TestRestoreRefusesARunningNode(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 3)
	quiet(t, start, "ailee-backup", "--data-dir", dir)
	stop, err := reorgtest.StartNode(filepath.Join(dir, "reorg_db"))
	require.NoError(t, err)
	code, _, stderr := runScript(t, 0, "ailee-restore", "--data-dir", dir, "--snapshot-only")
	looked, _, stderrLooked := runScript(t, 0, "ailee-restore", "--data-dir", dir, "--dry-run")
	require.NoError(t, stop())
	require.Equal(t, 1, code)
	require.Regexp(t, `reorg_db is in use by ailee_node \(pid [0-9]+\)\n.*hint: stop the node first`, stderr)
	require.Zero(t, looked, "what replaces nothing is no danger: %s", stderrLooked)

	before := contents(t, dir)
	file, err := os.OpenFile(filepath.Join(dir, "l2_snapshots.dat"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	code, _, stderr = runScript(t, 0, "ailee-restore", "--data-dir", dir)
	require.NoError(t, file.Close())
	require.Equal(t, 1, code)
	require.Contains(t, stderr, fmt.Sprintf("l2_snapshots.dat is in use by test.test (pid %d)", os.Getpid()))
	require.Equal(t, before, contents(t, dir))

	// Somebody removed all that the node has, and the node goes on.
	db, err := reorgdb.Open(filepath.Join(dir, "reorg_db"))
	require.NoError(t, err)
	defer db.Close()
	// RocksDB may still make a file there.
	for os.RemoveAll(filepath.Join(dir, "reorg_db")) != nil {
	}
	code, _, stderr = runScript(t, 0, "ailee-restore", "--data-dir", dir)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, fmt.Sprintf("reorg_db, which was removed, is in use by test.test (pid %d)", os.Getpid()))
	require.NoDirExists(t, filepath.Join(dir, "reorg_db"))
}

// TestRestoreReplacesBothOrNone: a name that is taken is seen before anything is
// replaced, and what was replaced before an error is said.
func TestRestoreReplacesBothOrNone(t *testing.T) {
	dir := nodeDir(t, 3)
	quiet(t, start, "ailee-backup", "--data-dir", dir)
	taken := filepath.Join(dir, "reorg_db.replaced_"+stampOf(start+5))
	require.NoError(t, os.Mkdir(taken, 0o700))
	before := contents(t, dir)
	code, _, stderr := runScript(t, start+5, "ailee-restore", "--data-dir", dir)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "error: "+taken+" already exists\n")
	require.Equal(t, before, contents(t, dir))
	require.NoError(t, os.Remove(taken))

	// mv moves files and no folders.
	bin := t.TempDir()
	real, err := exec.LookPath("mv")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(bin, "mv"),
		[]byte("#!/bin/sh\nfor path; do [ ! -d \"$path\" ] || exit 1; done\nexec "+real+" \"$@\"\n"), 0o755))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	code, stdout, _ := runScript(t, start+5, "ailee-restore", "--data-dir", dir, "--json")
	require.Equal(t, 1, code)
	var doc struct {
		Restored []struct {
			Restored string `json:"restored"`
		} `json:"restored"`
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &doc))
	require.Len(t, doc.Restored, 1)
	require.Equal(t, filepath.Join(dir, "l2_snapshots.dat"), doc.Restored[0].Restored)
}

// TestScriptsWithoutOutput: what a script has to do does not depend on who listens.
func TestScriptsWithoutOutput(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 3)
	quiet(t, start, "ailee-backup", "--data-dir", dir)
	want := reorgtest.Records(t, filepath.Join(dir, "reorg_db"))
	for i, listener := range []string{">/dev/full", ">&-", "| true", ">/dev/full 2>&1", "--json >/dev/full", ">&- 2>&-"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "l2_snapshots.dat"), []byte("lost"), 0o600))
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "reorg_db")))
		cmd := exec.Command("bash", "-o", "pipefail", "-c", `"$0" --data-dir "$1" `+listener, filepath.Join("..", "scripts", "ailee-restore"), dir)
		cmd.Env = append(os.Environ(), fmt.Sprintf("AILEE_NOW=%d", start+1+i))
		var stderr strings.Builder
		cmd.Stderr = &stderr
		require.Error(t, cmd.Run(), listener)
		require.Equal(t, 1, cmd.ProcessState.ExitCode(), "%s: %s", listener, &stderr)
		if !strings.Contains(listener, "2>") {
			require.Equal(t, "ailee-restore: error: cannot write to standard output\n"+
				"ailee-restore: hint: what this run had to do is done, but for the errors above: look before you run it again\n", stderr.String())
		}
		require.Equal(t, []uint64{1, 2, 3}, clitest.Times(t, filepath.Join(dir, "l2_snapshots.dat")), listener)
		require.Equal(t, want, reorgtest.Records(t, filepath.Join(dir, "reorg_db")), listener)
	}
}

// TestNoVerdictOfADeadTool: a program in Go that the system gives no memory or thread
// exits with 2, as one that found data to be wrong. It found nothing.
func TestNoVerdictOfADeadTool(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 3)
	quiet(t, start, "ailee-backup", "--data-dir", dir)
	before := contents(t, dir)
	for _, name := range []string{"ailee_l2_verify", "ailee_reorg_verify"} {
		for _, script := range []string{"ailee-restore", "ailee-monitor --state-file= --max-snapshot-age=1000000"} {
			bin := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(bin, name),
				[]byte("#!/bin/sh\necho 'fatal error: failed to reserve page summary memory' >&2\nexit 2\n"), 0o755))
			fields := strings.Fields(script)
			cmd := command(start+1, fields[0], append(fields[1:], "--data-dir", dir, "--json")...)
			cmd.Env = append(cmd.Env, "AILEE_BIN="+bin)
			code, stdout, stderr := runCommand(t, cmd)
			require.Equal(t, exit.Failed, code, "%s without %s: %s", script, name, stderr)
			require.Contains(t, stdout, `"exit_code": 1`)
			if fields[0] == "ailee-restore" {
				require.Equal(t, before, contents(t, dir))
			}
			for path := range contents(t, dir) {
				if _, ok := before[path]; !ok {
					require.NoError(t, os.Remove(filepath.Join(dir, path)))
				}
			}
		}
	}
}

// TestRestore takes the newest backups that verify, and keeps what it replaces.
func TestRestore(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 3)
	file, backups := filepath.Join(dir, "l2_snapshots.dat"), filepath.Join(dir, "backups")
	quiet(t, start, "ailee-backup", "--data-dir", dir)
	want := reorgtest.Records(t, filepath.Join(dir, "reorg_db"))
	// Newer ones: somebody's own, damaged, and one that ends in half a snapshot.
	require.NoError(t, os.WriteFile(filepath.Join(backups, "reorg_db_20290101_000000.tar.gz"), []byte("no archive"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(backups, "l2_snapshots_20290101_000000.dat.bak"), []byte("nothing"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(backups, "l2_snapshots_20280101_000000.dat.bak"), []byte(clitest.Numbered(8)+clitest.Numbered(9)+clitest.Numbered(10)[:300]), 0o644))
	require.NoError(t, os.WriteFile(file, []byte("damaged"), 0o644))
	require.NoError(t, os.Chmod(file, 0o604))
	require.NoError(t, os.Remove(filepath.Join(dir, "reorg_db", "CURRENT")))
	// An archive that is whole, of a database that is not.
	require.NoError(t, exec.Command("tar", "-C", dir, "-czf", filepath.Join(backups, "reorg_db_20280101_000000.tar.gz"), "reorg_db").Run())
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(file, 12, 34))
		require.NoError(t, os.Chown(filepath.Join(dir, "reorg_db"), 12, 34))
	}
	before := contents(t, dir)

	code, stdout, stderr := runScript(t, start+5, "ailee-restore", "--data-dir", dir, "--dry-run")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "would restore "+file+" from "+backups+"/l2_snapshots_20280101_000000.dat.bak\n")
	require.Equal(t, before, contents(t, dir))

	code, stdout, stderr = runScript(t, start+5, "ailee-restore", "--data-dir", dir)
	require.Zero(t, code, stderr)
	require.Contains(t, stderr, "l2_snapshots_20290101_000000.dat.bak does not verify: ")
	require.Contains(t, stderr, "reorg_db_20290101_000000.tar.gz does not verify: ")
	require.Contains(t, stderr, "reorg_db_20280101_000000.tar.gz does not verify: ")
	require.Contains(t, stdout, "Restored "+file+" from "+backups+"/l2_snapshots_20280101_000000.dat.bak\n")
	require.Equal(t, []uint64{8, 9}, clitest.Times(t, file))
	require.Equal(t, want, reorgtest.Records(t, filepath.Join(dir, "reorg_db")))
	kept := "l2_snapshots.dat.replaced_" + stampOf(start+5)
	require.Equal(t, "damaged", contents(t, dir)[kept])
	require.Equal(t, []string{"backups", "l2_snapshots.dat", kept, "reorg_db", "reorg_db.replaced_" + stampOf(start+5)}, clitest.Names(t, dir))
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.EqualValues(t, 0o604, info.Mode().Perm())
	if os.Geteuid() == 0 {
		for _, path := range []string{file, filepath.Join(dir, "reorg_db"), filepath.Join(dir, "reorg_db", "CURRENT")} {
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.EqualValues(t, 12, info.Sys().(*syscall.Stat_t).Uid)
			require.EqualValues(t, 34, info.Sys().(*syscall.Stat_t).Gid)
		}
	}

	// The same second again, and nothing that verifies.
	code, _, stderr = runScript(t, start+5, "ailee-restore", "--data-dir", dir, "--snapshot-only")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, kept+" already exists")
	for _, name := range clitest.Names(t, backups) {
		require.NoError(t, os.WriteFile(filepath.Join(backups, name), []byte("rotten"), 0o644))
	}
	before = contents(t, dir)
	code, stdout, stderr = runScript(t, start+6, "ailee-restore", "--data-dir", dir, "--json")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "no backup of the snapshots in "+backups+" verifies")
	require.JSONEq(t, fmt.Sprintf(`{"errors": [{"message": "no backup of the snapshots in %s verifies",
		"hint": "see what can be recovered: ailee_recover_snapshots --dry-run FILE... OUT, ailee_init_reorg_db --path NEW --copy-from OLD"}],
		"exit_code": 2}`, backups), stdout)
	require.Equal(t, before, contents(t, dir))
}

// TestRestoreKilled: the live file is there at any instant, the old one or the new
// one, and a second run completes.
func TestRestoreKilled(t *testing.T) {
	clitest.InMemory(t)
	dir := nodeDir(t, 3)
	file := filepath.Join(dir, "l2_snapshots.dat")
	quiet(t, start, "ailee-backup", "--data-dir", dir)
	want := reorgtest.Records(t, filepath.Join(dir, "reorg_db"))
	rng := rand.New(rand.NewSource(4))
	for i := range clitest.Kills(40) + 2 {
		require.NoError(t, os.WriteFile(file, []byte("damaged"), 0o600))
		cmd := command(int64(start+1+i), "ailee-restore", "--data-dir", dir)
		cmd.Env = append(cmd.Env, clitest.Unrecorded)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		require.NoError(t, cmd.Start())
		// This is the moment of the crash, not a way to wait for something.
		time.Sleep(time.Duration(rng.Intn(150)) * time.Millisecond)
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		require.True(t, string(data) == "damaged" || string(data) == clitest.Numbered(1)+clitest.Numbered(2)+clitest.Numbered(3))
	}
	code, _, stderr := runScript(t, start+1000, "ailee-restore", "--data-dir", dir)
	require.Zero(t, code, stderr)
	require.Equal(t, []uint64{1, 2, 3}, clitest.Times(t, file))
	require.Equal(t, want, reorgtest.Records(t, filepath.Join(dir, "reorg_db")))
	require.NotContains(t, clitest.Names(t, dir), ".ailee-restore.tmp")
}

// TestRestoreTwice: a second run for the same directory ends at once, also when it
// takes other backups, and changes nothing.
func TestRestoreTwice(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 1)
	backups := filepath.Join(t.TempDir(), "b")
	quiet(t, start, "ailee-backup", "--data-dir", dir, "--backup-dir", backups)
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".ailee-restore.tmp"), 0o700)) // of the first
	held, err := os.Open(dir)
	require.NoError(t, err)
	defer held.Close()
	require.NoError(t, unix.Flock(int(held.Fd()), unix.LOCK_EX))
	before := tree(t, dir)
	code, _, stderr := runScript(t, start+1, "ailee-restore", "--data-dir", dir, "--backup-dir", backups)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "ailee-restore: error: another ailee-backup or ailee-restore is at work in "+dir)
	require.Equal(t, before, tree(t, dir))
	// Both folders are locked, also where they are one.
	require.NoError(t, held.Close())
	for name := range contents(t, backups) {
		require.NoError(t, os.Rename(filepath.Join(backups, name), filepath.Join(dir, name)))
	}
	code, _, stderr = runScript(t, start+1, "ailee-restore", "--data-dir", dir, "--backup-dir", dir)
	require.Zero(t, code, stderr)
}

// TestRestoreOfWhatCannotBeRead: only what was read can be found to be wrong.
func TestRestoreOfWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 1)
	backups := filepath.Join(dir, "backups")
	name := func(number int) string {
		return filepath.Join(backups, "l2_snapshots_"+stampOf(int64(start+number))+".dat.bak")
	}
	restore := func(args ...string) (int, string) {
		t.Helper()
		code, _, stderr := runScript(t, start, "ailee-restore", append(args, "--data-dir", dir, "--dry-run")...)
		return code, stderr
	}
	// A folder is no backup.
	require.NoError(t, os.MkdirAll(name(3), 0o700))
	code, stderr := restore("--snapshot-only")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "error: "+backups+" has no backup of the snapshots\n")
	code, stderr = restore("--snapshot-backup", name(3))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, name(3)+" cannot be restored: cat: "+name(3)+": Is a directory\n")
	// A file that gives an error when it is read.
	const failing = "/proc/self/mem"
	for _, suffix := range []string{"", ".gz"} {
		require.NoError(t, os.Symlink(failing, name(2)+suffix))
		code, stderr = restore("--snapshot-only")
		require.Equal(t, 1, code, stderr)
		require.Contains(t, stderr, "warning: "+name(2)+suffix+" cannot be read: cat: "+name(2)+suffix+": Input/output error: trying the one before it\n")
		require.Contains(t, stderr, "error: no backup of the snapshots in "+backups+" can be read\n")
	}
	// One of them was read, and is wrong.
	require.NoError(t, os.WriteFile(name(1)+".gz", bytes.Repeat([]byte("rotten"), 100_000), 0o600))
	for _, args := range [][]string{{"--snapshot-only"}, {"--snapshot-backup", name(1) + ".gz"}} {
		code, stderr = restore(args...)
		require.Equal(t, 2, code, stderr)
	}
	require.Contains(t, stderr, "not in gzip format")
	// One of them is good.
	require.NoError(t, os.WriteFile(name(0), []byte(clitest.Numbered(1)), 0o600))
	code, stderr = restore("--snapshot-only")
	require.Zero(t, code, stderr)
}

// TestRestoreThroughALink: the link stays, and the file that it leads to is replaced,
// on whatever disk it is.
func TestRestoreThroughALink(t *testing.T) {
	t.Parallel()
	for _, other := range []string{os.TempDir(), "/dev/shm"} {
		if _, err := os.Stat(other); err != nil {
			continue
		}
		dir := nodeDir(t, 2)
		disk, err := os.MkdirTemp(other, "disk")
		require.NoError(t, err)
		t.Cleanup(func() { _ = os.RemoveAll(disk) })
		file, moved := filepath.Join(dir, "l2_snapshots.dat"), filepath.Join(disk, "moved.dat")
		quiet(t, start, "ailee-backup", "--data-dir", dir)
		require.NoError(t, os.Remove(file))
		require.NoError(t, os.Symlink(moved, file))
		require.NoError(t, os.WriteFile(moved, []byte("damaged"), 0o604))
		code, stdout, stderr := runScript(t, start, "ailee-restore", "--data-dir", dir, "--snapshot-only")
		require.Zero(t, code, stderr)
		require.Contains(t, stdout, "Restored "+moved+" from ")
		target, err := os.Readlink(file)
		require.NoError(t, err)
		require.Equal(t, moved, target)
		require.Equal(t, map[string]string{"moved.dat": clitest.Numbered(1) + clitest.Numbered(2), "moved.dat.replaced_" + stampOf(start): "damaged"}, contents(t, disk))
		info, err := os.Stat(moved)
		require.NoError(t, err)
		require.EqualValues(t, 0o604, info.Mode().Perm())
		require.Equal(t, []string{"backups", "l2_snapshots.dat", "reorg_db"}, clitest.Names(t, dir))
		require.NoError(t, os.RemoveAll(disk))
		code, _, stderr = runScript(t, start, "ailee-restore", "--data-dir", dir, "--snapshot-only")
		require.Equal(t, 1, code)
		require.Contains(t, stderr, "is a link that leads nowhere")
	}
}

// TestRestoreDatabaseThroughALink: the same for the folder of the database.
func TestRestoreDatabaseThroughALink(t *testing.T) {
	t.Parallel()
	for _, other := range []string{os.TempDir(), "/dev/shm"} {
		if _, err := os.Stat(other); err != nil {
			continue
		}
		dir := nodeDir(t, 1)
		disk, err := os.MkdirTemp(other, "disk")
		require.NoError(t, err)
		t.Cleanup(func() { _ = os.RemoveAll(disk) })
		db, moved := filepath.Join(dir, "reorg_db"), filepath.Join(disk, "moved")
		want := reorgtest.Records(t, db)
		quiet(t, start, "ailee-backup", "--data-dir", dir)
		require.NoError(t, os.RemoveAll(db))
		require.NoError(t, os.Symlink(moved, db))
		kept := "moved.replaced_" + stampOf(start)
		// What a killed run left on the other disk is in nobody's way.
		require.NoError(t, os.MkdirAll(filepath.Join(disk, ".moved.ailee-restore.tmp", "old"), 0o700))
		for _, there := range []bool{false, true} {
			if there {
				require.NoError(t, os.Remove(filepath.Join(moved, "CURRENT")))
			}
			code, stdout, stderr := runScript(t, start, "ailee-restore", "--data-dir", dir, "--db-only")
			require.Zero(t, code, stderr)
			require.Contains(t, stdout, "Restored "+moved+" from ")
			require.Equal(t, want, reorgtest.Records(t, db))
			require.Equal(t, []string{"backups", "l2_snapshots.dat", "reorg_db"}, clitest.Names(t, dir))
		}
		require.Equal(t, []string{"moved", kept}, clitest.Names(t, disk))
		target, err := os.Readlink(db)
		require.NoError(t, err)
		require.Equal(t, moved, target)
	}
}

// TestLeftoverOfAPrune: what a prune left that was killed is reported until it is
// complete, and is no part of the file that a restore puts in the place of its own.
func TestLeftoverOfAPrune(t *testing.T) {
	t.Parallel()
	dir := watched(t)
	file := filepath.Join(dir, "l2_snapshots.dat")
	size := clitest.FileSize(t, file)
	left := filepath.Join(dir, fmt.Sprintf(".l2_snapshots.dat.ailee-old-%d-%d", size, size))
	before := contents(t, dir)["l2_snapshots.dat"]
	require.NoError(t, os.WriteFile(left, []byte(before+clitest.Numbered(5)), 0o640))
	monitor := func() (int, string) {
		t.Helper()
		code, _, stderr := runScript(t, start, "ailee-monitor", "--data-dir", dir)
		return code, stderr
	}
	code, stderr := monitor()
	require.Equal(t, 2, code)
	require.Equal(t, "ailee-monitor: warning: an earlier prune of "+file+" was killed and left "+left+"\n"+
		"ailee-monitor: hint: complete it: ailee_prune_snapshots --in-place --keep all --file "+file+"\n", stderr)
	// One that is at it has its lock.
	running, err := os.Open(left)
	require.NoError(t, err)
	require.NoError(t, unix.Flock(int(running.Fd()), unix.LOCK_EX))
	code, stderr = monitor()
	require.Zero(t, code, stderr)
	require.NoError(t, running.Close())

	require.NoError(t, os.WriteFile(left+"1", []byte("another"), 0o640))
	code, stdout, stderr := runScript(t, start, "ailee-restore", "--data-dir", dir, "--snapshot-only", "--dry-run")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "would set "+left+" aside\n")
	code, _, stderr = runScript(t, start, "ailee-restore", "--data-dir", dir, "--snapshot-only")
	require.Zero(t, code, stderr)
	kept := file + ".unfinished_" + stampOf(start)
	require.Contains(t, stderr, "warning: an earlier prune of "+file+" was killed: what it left is set aside as "+kept+"\n")
	after := contents(t, dir)
	require.Equal(t, before+clitest.Numbered(5), after[filepath.Base(kept)])
	require.Equal(t, "another", after[filepath.Base(kept)+"_"])
	require.NoFileExists(t, left)
	code, stderr = monitor()
	require.Zero(t, code, stderr)
	clitest.RunTool(t, exit.OK, prunesnapshots.Tool(), "--in-place", "--keep", "all", "--file", file)
	require.Equal(t, before, contents(t, dir)["l2_snapshots.dat"])
}

// TestScriptVersions: a script says that of the tools that it is installed with.
func TestScriptVersions(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ailee-restore", "ailee-monitor"} {
		code, stdout, stderr := runScript(t, 0, name, "--version")
		require.Zero(t, code, stderr)
		out, err := exec.Command("ailee_l2_verify", "--version").Output()
		require.NoError(t, err)
		require.Equal(t, strings.Replace(string(out), "ailee_l2_verify", name, 1), stdout)
	}
}
