package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	urfave "github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/workers"
)

// TraceVariable is the environment variable that makes an internal error show its stack.
// Traces hold the values of panics, and so perhaps data from files: they are not shown
// without it.
const TraceVariable = "AILEE_TRACE"

var traceEntry = Entry{Name: TraceVariable, Text: "set to 1 to print the stack of an internal error, for a bug report"}

// noVerdictByAccident is for crashes that cannot be recovered from: fatal errors of the Go
// runtime and signals in C code. Go exits with 2 then, which is a verdict here; with this
// traceback level it ends by SIGABRT instead. No core is written, since it might hold a
// password. The limit is 1 because the kernel takes it as "none at all", also for core
// handlers behind a pipe, which ignore a limit of 0.
func noVerdictByAccident() {
	debug.SetTraceback("crash")
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1})
}

// runGuarded runs the app and returns a panic as an error.
func runGuarded(ctx context.Context, app *urfave.App, args []string) (err error) {
	defer workers.Recover(&err)
	return app.RunContext(ctx, args)
}

// explainPanic gives a panic, however it is wrapped, its exit code and hint: the program is
// at fault, not the data.
func explainPanic(err error) error {
	var p *workers.PanicError
	if !errors.As(err, &p) {
		return err
	}
	hint := "please report this line with the version (--version) and what is printed with " + TraceVariable + "=1"
	return exit.Fail(hint, fmt.Errorf("internal error: %w", p))
}

// trace prints the stack of a panic if that was asked for.
func (out *IO) trace(err error) {
	var p *workers.PanicError
	if os.Getenv(TraceVariable) == "" || !errors.As(err, &p) {
		return
	}
	out.line("trace", fmt.Sprint(p.Value))
	for line := range bytes.Lines(p.Stack) {
		out.line("trace", strings.ReplaceAll(strings.TrimSuffix(string(line), "\n"), "\t", "    "))
	}
}
