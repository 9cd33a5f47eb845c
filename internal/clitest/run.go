package clitest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/cli"
)

// Run runs a tool in this process.
func Run(command cli.Tool, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = cli.Execute(context.Background(), command, append([]string{command.Name}, args...), cli.Streams{Out: &out, Err: &errs})
	if err := Record(command.Name, args, out.String()); err != nil {
		panic(err)
	}
	return code, out.String(), errs.String()
}

// RunTool runs a tool in this process and asserts its exit code.
func RunTool(t *testing.T, want int, command cli.Tool, args ...string) {
	t.Helper()
	code, stdout, stderr := Run(command, args...)
	require.Equal(t, want, code, "%s%s", stdout, stderr)
}

// Outcome runs a command and compares its exit code and standard output. Standard error must
// contain stderr, or be empty if that is "".
func Outcome(t *testing.T, want int, stdout, stderr string, command cli.Tool, args ...string) {
	t.Helper()
	code, out, errs := Run(command, args...)
	require.Equal(t, want, code, "%s%s", out, errs)
	require.Equal(t, stdout, out)
	if stderr == "" {
		require.Empty(t, errs)
	}
	require.Contains(t, errs, stderr)
}

// RunProcess runs a tool as a separate process: within one process the tools share the values of
// flags.
func RunProcess(t *testing.T, want int, name string, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	require.Equal(t, want, cmd.ProcessState.ExitCode(), "%s%s", out.String(), errs.String())
	return out.String(), errs.String()
}

// Kill runs a command, kills it at a random moment within the given time, and reports whether it
// had already ended by itself.
func Kill(t *testing.T, rng *rand.Rand, limit time.Duration, name string, args ...string) (ended bool) {
	t.Helper()
	cmd := exec.Command(name, args...)
	require.NoError(t, cmd.Start())
	// This chooses the moment of the crash; it does not wait for something.
	time.Sleep(time.Duration(rng.Int63n(int64(limit))))
	_ = cmd.Process.Kill()
	return cmd.Wait() == nil
}

// WaitFor waits until a process has made the condition true. If the process hangs, the overall
// time limit ends it: no other limit is right for every machine.
func WaitFor(t *testing.T, cmd *exec.Cmd, condition func() bool) {
	t.Helper()
	for !condition() {
		if Exited(cmd.Process.Pid) && !condition() {
			require.Fail(t, "the process has ended", "%q", cmd.Args)
		}
		time.Sleep(time.Millisecond)
	}
}

// Exited reports whether a process that was not waited for has ended.
func Exited(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || bytes.Contains(text, []byte(") Z "))
}

// Opened reports whether a process has a file open.
func Opened(pid int, file string) bool {
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && target == file {
			return true
		}
	}
	return false
}
