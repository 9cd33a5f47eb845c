package test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/backup"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/command/restore"
	"ailee-recovery/internal/exit"
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
	return clitest.NodeDir(t, count)
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
		clitest.RunProcess(t, exit.OK, restore.Name, "--data-dir", dir, flag, filepath.Join(backups, name))
		if flag == "--db-backup" {
			clitest.RunTool(t, exit.OK, reorgverify.Tool(), "--db-path", filepath.Join(dir, "reorg_db"))
		} else {
			clitest.RunTool(t, exit.OK, l2verify.Tool(), "--accept-earlier-anchors", "--strict", "--snapshot", filepath.Join(dir, "l2_snapshots.dat"))
		}
		count++
	}
	return count
}

// TestNoVerdictOfADeadTool: a program in Go that the system gives no memory or thread
// exits with 2, as one that found data to be wrong. It found nothing.
func TestNoVerdictOfADeadTool(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 3)
	quiet(t, start, "ailee-backup", "--data-dir", dir)
	before := clitest.Contents(t, dir)
	for _, name := range []string{"ailee_l2_verify", "ailee_reorg_verify"} {
		for _, script := range []string{"ailee-monitor --state-file= --max-snapshot-age=1000000"} {
			bin := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(bin, name),
				[]byte("#!/bin/sh\necho 'fatal error: failed to reserve page summary memory' >&2\nexit 2\n"), 0o755))
			fields := strings.Fields(script)
			cmd := command(start+1, fields[0], append(fields[1:], "--data-dir", dir, "--json")...)
			cmd.Env = append(cmd.Env, "AILEE_BIN="+bin)
			code, stdout, stderr := runCommand(t, cmd)
			require.Equal(t, exit.Failed, code, "%s without %s: %s", script, name, stderr)
			require.Contains(t, stdout, `"exit_code": 1`)
			for path := range clitest.Contents(t, dir) {
				if _, ok := before[path]; !ok {
					require.NoError(t, os.Remove(filepath.Join(dir, path)))
				}
			}
		}
	}
}

// TestLeftoverOfAPrune: what a prune left that was killed is reported until it is
// complete.
func TestLeftoverOfAPrune(t *testing.T) {
	t.Parallel()
	dir := watched(t)
	file := filepath.Join(dir, "l2_snapshots.dat")
	size := clitest.FileSize(t, file)
	left := filepath.Join(dir, fmt.Sprintf(".l2_snapshots.dat.ailee-old-%d-%d", size, size))
	before := clitest.Contents(t, dir)["l2_snapshots.dat"]
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

	clitest.RunTool(t, exit.OK, prunesnapshots.Tool(), "--in-place", "--keep", "all", "--file", file)
	_, stderr = monitor()
	require.NotContains(t, stderr, "an earlier prune")
}

// TestScriptVersions: a script says that of the tools that it is installed with.
func TestScriptVersions(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ailee-monitor"} {
		code, stdout, stderr := runScript(t, 0, name, "--version")
		require.Zero(t, code, stderr)
		out, err := exec.Command("ailee_l2_verify", "--version").Output()
		require.NoError(t, err)
		require.Equal(t, strings.Replace(string(out), "ailee_l2_verify", name, 1), stdout)
	}
}
