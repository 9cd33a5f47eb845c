package l2verify_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/golden"
)

// TestJUnitSaysWhatTheExitCodeSays: for every golden file, in every way of verifying it.
func TestJUnitSaysWhatTheExitCodeSays(t *testing.T) {
	clitest.InMemory(t)
	report := filepath.Join(t.TempDir(), "report.xml")
	files, err := filepath.Glob(golden.Dir() + "/verify/*.dat")
	require.NoError(t, err)
	require.Greater(t, len(files), 100)
	modes := [][]string{{"--all"}, nil, {"--strict"}, {"--all", "--strict"}, {"--accept-earlier-anchors"}}
	if testing.Short() {
		modes = modes[:1]
	}
	for _, file := range files {
		for _, flags := range modes {
			code, stdout, _ := clitest.Run(l2verify.Tool(), append(flags, "--snapshot", file, "--junit", report)...)
			plain, said, _ := clitest.Run(l2verify.Tool(), append(flags, "--snapshot", file)...)
			asJSON, _, _ := clitest.Run(l2verify.Tool(), append(flags, "--json", "--snapshot", file)...)
			require.Equal(t, plain, code)
			require.Equal(t, plain, asJSON)
			require.Equal(t, said, stdout)
			r := clitest.ReadJUnit(t, report)
			require.Equal(t, code == exit.Failed, r.Errors > 0, "%s %v", file, flags)
			require.Equal(t, code == exit.Wrong, r.Failures > 0, "%s %v", file, flags)
			require.Equal(t, file, r.Suites[0].Name)
		}
	}
}

// TestJUnitOfHostileBytes: control characters, markup and bytes that are not text become
// text, and a report does not grow with the damage.
func TestJUnitOfHostileBytes(t *testing.T) {
	dir := t.TempDir()
	file, report := filepath.Join(dir, "<&\"\x01\xff]]>.dat"), filepath.Join(dir, "report.xml")
	var pegOuts strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&pegOuts, "pegout \"%d \x00\x1b[2J\xff]]></failure>&\ufffe%s\" \"a\" \"b\" 1 1 0 \"\" 0 0\n", i, strings.Repeat("x", 100))
	}
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(clitest.Numbered(1), "pegouts 0\n", "pegouts 5000\n"+pegOuts.String(), 1)), 0o600))
	code, _, stderr := clitest.Run(l2verify.Tool(), "--all", "--snapshot", file, "--junit", report)
	require.Equal(t, exit.Wrong, code, stderr)
	r := clitest.ReadJUnit(t, report)
	require.Equal(t, dir+`/<&"\x01\xff]]>.dat`, r.Suites[0].Name)
	require.Less(t, clitest.FileSize(t, report), int64(100<<10))
}

// TestJUnitInterrupted: the earlier report stays, and nothing else is left.
func TestJUnitInterrupted(t *testing.T) {
	dir := t.TempDir()
	report := filepath.Join(dir, "report.xml")
	args := []string{l2verify.Name, "--snapshot", golden.Dir() + "/verify/valid_two_snapshots.dat", "--junit", report}
	out := cli.Streams{Out: io.Discard, Err: io.Discard}
	require.Equal(t, exit.OK, cli.Execute(context.Background(), l2verify.Tool(), args, out))
	before := clitest.Read(t, report)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.Equal(t, exit.Failed, cli.Execute(ctx, l2verify.Tool(), args, out))
	require.Equal(t, before, clitest.Read(t, report))
	require.Equal(t, []string{"report.xml"}, clitest.Names(t, dir))
}

// TestJUnitOfSomebodyElse: another user's earlier report is replaced if the folder is
// one's own.
func TestJUnitOfSomebodyElse(t *testing.T) {
	dir := clitest.ForNobody(t)
	require.NoError(t, os.Chown(dir, clitest.Nobody, clitest.Nobody))
	file, report := filepath.Join(dir, "f"), filepath.Join(dir, "report.xml")
	require.NoError(t, os.WriteFile(file, []byte(clitest.Numbered(1)), 0o644))
	require.NoError(t, exec.Command(l2verify.Name, "--snapshot", file, "--junit", report).Run())
	require.NoError(t, os.Chown(report, 0, 0))
	code, _, stderr := clitest.AsNobody(t, 0o022, l2verify.Name, "--snapshot", file, "--junit", report)
	require.Equal(t, exit.OK, code, stderr)
	require.Equal(t, l2verify.Name+": warning: "+report+": cannot keep the owner (user 0, group 0): operation not permitted\n", stderr)
	info, err := os.Stat(report)
	require.NoError(t, err)
	require.EqualValues(t, clitest.Nobody, info.Sys().(*syscall.Stat_t).Uid)
}

// panics is a context that panics once the file exists.
type panics struct {
	context.Context
	file string
}

func (p panics) Done() <-chan struct{} {
	if _, err := os.Stat(p.file); err == nil {
		panic("a bug")
	}
	return p.Context.Done()
}

func (p panics) Err() error {
	_ = p.Done()
	return nil
}

// TestJUnitAfterAPanic: nothing is left behind.
func TestJUnitAfterAPanic(t *testing.T) {
	dir := t.TempDir()
	args := []string{l2verify.Name, "--snapshot", golden.Dir() + "/verify/valid_two_snapshots.dat", "--junit", filepath.Join(dir, "report.xml")}
	var errs strings.Builder
	ctx := panics{context.Background(), filepath.Join(dir, ".report.xml.ailee-tmp")}
	require.Equal(t, exit.Failed, cli.Execute(ctx, l2verify.Tool(), args, cli.Streams{Out: io.Discard, Err: &errs}))
	require.Contains(t, errs.String(), "internal error")
	require.Empty(t, clitest.Names(t, dir))
}
