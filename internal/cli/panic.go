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

// TraceVariable is the environment variable that shows the stack behind a bug. Traces
// hold values of panics, and so perhaps data of files: none is shown without it.
const TraceVariable = "AILEE_TRACE"

var traceEntry = Entry{Name: TraceVariable, Text: "when set to 1, an internal error is followed by its stack, for a bug report"}

// noVerdictByAccident is for the ends of the process that cannot be recovered: fatal
// errors of the Go runtime and signals in C code. Go exits with 2 then, which is a
// verdict here: with this level of traceback it ends by SIGABRT instead. No core is
// written, which might hold a password: of 1, the kernel's own sign for "none at all",
// core handlers behind a pipe take notice too, of 0 they do not.
func noVerdictByAccident() {
	debug.SetTraceback("crash")
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1})
}

// runGuarded returns a panic as an error.
func runGuarded(ctx context.Context, app *urfave.App, args []string) (err error) {
	defer workers.Recover(&err)
	return app.RunContext(ctx, args)
}

// explainPanic gives a panic, whatever it is wrapped in, its exit code and hint: what
// is wrong is this program and not the data.
func explainPanic(err error) error {
	var p *workers.PanicError
	if !errors.As(err, &p) {
		return err
	}
	hint := "please report this line with the version (--version) and what is printed with " + TraceVariable + "=1"
	return exit.Fail(hint, fmt.Errorf("internal error: %w", p))
}

// trace shows the stack behind a panic where that was asked for.
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
