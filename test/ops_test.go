package test

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/command/restore"
	"ailee-recovery/internal/exit"
)

// runAt runs a tool in this process, with the clock at a time in Unix seconds.
func runAt(t *testing.T, now int64, name string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	clitest.SkipUnderRace(t)
	var out, errs bytes.Buffer
	code = cli.Execute(t.Context(), toolNamed(t, name), append([]string{name}, args...),
		cli.Streams{Out: &out, Err: &errs, Now: func() time.Time { return time.Unix(now, 0) }})
	require.NoError(t, clitest.Record(name, args, out.String()))
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

// quiet asserts that a tool succeeds and prints nothing.
func quiet(t *testing.T, now int64, name string, args ...string) {
	t.Helper()
	code, stdout, stderr := runAt(t, now, name, args...)
	require.Zero(t, code, "%s%s", stdout, stderr)
	require.Empty(t, stdout)
	require.Empty(t, stderr)
}

// start is the time of the first backup of most tests.
const start = 1739577600 // 2025-02-15 00:00:00 UTC

func stampOf(now int64) string { return time.Unix(now, 0).UTC().Format("20060102_150405") }

// nodeDir makes a node's data directory with the given number of snapshots and a database.
func nodeDir(t *testing.T, count int) string {
	t.Helper()
	clitest.SkipUnderRace(t)
	return clitest.NodeDir(t, count)
}

// requireRestorable restores every backup in a folder into a new directory, verifies the result,
// and returns how many there are.
func requireRestorable(t *testing.T, backups string) (count int) {
	t.Helper()
	for _, name := range clitest.Names(t, backups) {
		if strings.HasPrefix(name, "ailee-") {
			continue // the catalogue and its records
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
