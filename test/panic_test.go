package test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/workers"
)

// panicking is a tool with bugs, to test how they end.
func panicking() cli.Tool {
	return cli.Tool{
		Name:       "panicking",
		Positional: 1,
		Flags:      []urfave.Flag{cli.JSONFlag},
		Run: func(ctx context.Context, c *urfave.Context, _ *cli.IO) error {
			f, err := durable.Create("result", 0o600)
			if err != nil {
				return err
			}
			defer f.Abort()
			var none []int
			switch c.Args().First() {
			case "main":
				none[c.NArg()]++
			case "worker":
				group, ctx := workers.WithContext(ctx)
				group.Go(func() error { <-ctx.Done(); return nil })
				group.Go(func() error { none[c.NArg()]++; return nil })
				return exit.WrongData("the data is not what is wrong", group.Wait())
			case "secret":
				panic(errors.New("hunter2\x1b[2J"))
			case "fatal":
				new(sync.Mutex).Unlock()
			case "elsewhere":
				go func() { none[c.NArg()]++ }()
				select {}
			}
			return nil
		},
	}
}

// TestPanics: one line, no verdict, and nothing left behind.
func TestPanics(t *testing.T) {
	dir := t.TempDir()
	start := func(trace string, args ...string) (state *os.ProcessState, stdout, stderr string) {
		var out, errs bytes.Buffer
		cmd := exec.Command("sh", append([]string{"-c", `ulimit -c unlimited 2>/dev/null; exec panicking "$@"`, "sh"}, args...)...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errs
		cmd.Env = append(os.Environ(), cli.TraceVariable+"="+trace)
		require.Error(t, cmd.Run())
		return cmd.ProcessState, out.String(), errs.String()
	}
	const hint = "panicking: hint: please report this line with the version \\(--version\\) and what is printed with AILEE_TRACE=1\n$"
	for _, where := range []string{"main", "worker"} {
		state, stdout, stderr := start("", where)
		require.Equal(t, 1, state.ExitCode(), stderr)
		require.Empty(t, stdout)
		require.Regexp(t, `^panicking: error: internal error: runtime error: index out of range \[1\] with length 0 in test\.\S+ \(panic_test\.go:\d+\)\n`+hint, stderr)
		require.Empty(t, clitest.Names(t, dir))

		_, stdout, _ = start("", "--json", where)
		require.Contains(t, stdout, `"exit_code": 1`)
		_, _, stderr = start("1", where)
		require.Contains(t, stderr, "\npanicking: trace: goroutine ")
		require.Contains(t, stderr, "panic_test.go:")
	}

	state, _, stderr := start("", "secret")
	require.Equal(t, 1, state.ExitCode(), stderr)
	require.Regexp(t, `^panicking: error: internal error: a panic with a \*errors\.errorString in test\.\S+ \(panic_test\.go:\d+\)\n`+hint, stderr)
	_, _, stderr = start("1", "secret")
	require.Contains(t, stderr, `panicking: trace: hunter2\x1b[2J`)

	// Crashes that cannot be recovered from in Go.
	for _, where := range []string{"fatal", "elsewhere"} {
		state, _, stderr := start("", where)
		require.Equal(t, syscall.SIGABRT, state.Sys().(syscall.WaitStatus).Signal(), stderr)
		require.False(t, state.Sys().(syscall.WaitStatus).CoreDump())
		require.Equal(t, []string{".result.ailee-tmp"}, clitest.Names(t, dir), "the next run takes it over")
	}
}

// TestCrashOfC: a signal, as from broken C code, is not a verdict either.
func TestCrashOfC(t *testing.T) {
	var errs bytes.Buffer
	cmd := exec.Command(l2verify.Name, "--snapshot", "-")
	cmd.Stderr = &errs
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	// Once it reads, it has started.
	_, err = stdin.Write(bytes.Repeat([]byte("\n"), 1<<20))
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Signal(syscall.SIGSEGV))
	require.Error(t, cmd.Wait())
	require.Equal(t, syscall.SIGABRT, cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(), errs.String())
}
