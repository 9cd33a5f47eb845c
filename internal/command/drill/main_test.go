package drill_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/backup"
	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/internal/command/doctor"
	"ailee-recovery/internal/command/drill"
	"ailee-recovery/internal/command/extractsnapshots"
	"ailee-recovery/internal/command/initnode"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/command/restore"
	"ailee-recovery/internal/command/resyncblocks"
)

// scripts is where test_recovery.sh is.
const scripts = "../../../scripts"

// TestMain runs the drills with the tools as processes, found on PATH. This binary stands in for
// bitcoind when it is called by that name, and is ailee-doctor in tests that want it.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "bitcoind":
		bitcointest.Bitcoind()
		return
	case doctor.Name:
		cli.Main(doctor.Tool())
		return
	}
	if path, err := filepath.Abs(scripts); err == nil {
		_ = os.Setenv("PATH", os.Getenv("PATH")+":"+path)
	}
	clitest.Main(m, nil, drill.Tool(), l2verify.Tool(), initnode.Tool(), createanchor.Tool(), extractsnapshots.Tool(), prunesnapshots.Tool(),
		initreorgdb.Tool(), reorgverify.Tool(), resyncblocks.Tool(), backup.Tool(), restore.Tool())
}

func TestUsageErrors(t *testing.T) { clitest.UsageErrors(t, drill.Tool()) }

func TestScripts(t *testing.T) { clitest.Scripts(t, nil) }

// machine is the environment of a drill, with its folder for temporary files.
type machine struct {
	temporary string
	env       []string
}

// newMachine puts its folders in memory: the drills are not about the disk.
func newMachine(t *testing.T, env ...string) machine {
	t.Helper()
	clitest.SkipUnderRace(t)
	dir, err := os.MkdirTemp(clitest.Memory(), "drill-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return machine{dir, append([]string{"TMPDIR=" + dir}, env...)}
}

// command returns a drill on the machine.
func (m machine) command(args ...string) *exec.Cmd {
	cmd := exec.Command(drill.Name, args...)
	cmd.Env = append(os.Environ(), m.env...)
	return cmd
}

// run runs a drill, or another command, and returns its output.
func run(t *testing.T, cmd *exec.Cmd) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var ended *exec.ExitError
	if !errors.As(err, &ended) {
		require.NoError(t, err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// passes runs a drill, which must pass.
func (m machine) passes(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	code, stdout, stderr := run(t, m.command(args...))
	require.Zero(t, code, "%s%s", stdout, stderr)
	require.Empty(t, stderr)
	require.NotContains(t, stdout, "FAILED")
	return stdout
}

// withProgram returns PATH with a folder in front that has a program under another name.
func withProgram(t *testing.T, name, target string) string {
	t.Helper()
	bin := t.TempDir()
	require.NoError(t, os.Symlink(target, filepath.Join(bin, name)))
	return "PATH=" + bin + ":" + os.Getenv("PATH")
}

func withBtcd(t *testing.T) string { return withProgram(t, "btcd", bitcointest.Binary(t)) }

func withBitcoind(t *testing.T) string { return withProgram(t, "bitcoind", self(t)) }

func withDoctor(t *testing.T) string { return withProgram(t, doctor.Name, self(t)) }

// self returns the path of this binary.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	require.NoError(t, err)
	return path
}

// contents returns every file below a folder, by path: its text, or its target if it is a link.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.Type()&fs.ModeSymlink != 0:
			all[path], err = os.Readlink(path)
		case d.IsDir():
			all[path] = "a folder"
		default:
			var text []byte
			text, err = os.ReadFile(path)
			all[path] = string(text)
		}
		return err
	}))
	return all
}
