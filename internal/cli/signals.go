package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/workers"
)

// ending are the signals that interrupt a run: it cleans up, and ends by the same signal.
var ending = []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}

// interruption is the signal that interrupted a run, as the cause of the end of its context.
type interruption struct{ by syscall.Signal }

func (i *interruption) Error() string { return "interrupted by " + i.by.String() }

// code is the exit status that a shell has for a process that ended by the signal.
func (i *interruption) code() int { return 128 + int(i.by) }

// interruptedBy is the signal that ended the context, nil for none.
func interruptedBy(ctx context.Context) (i *interruption) {
	errors.As(context.Cause(ctx), &i)
	return i
}

// interruptible returns a context that the first signal ends. A second one ends the process
// at once.
func interruptible() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	for _, s := range ending {
		// What was ignored when the process was started, as by nohup, stays so.
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	workers.Start(func() error {
		cancel(&interruption{(<-signals).(syscall.Signal)})
		endBy((<-signals).(syscall.Signal))
		return nil
	})
	return ctx
}

// endBy ends the process by a signal, as one that does not handle it. By that the shell
// knows that its loop or script is to end, too, and systemd that it was stopped.
func endBy(s syscall.Signal) {
	// The kernel lets no signal end the first process of a container.
	if os.Getpid() != 1 {
		signal.Reset(s)
		_ = syscall.Kill(os.Getpid(), s)
		time.Sleep(time.Minute) // any thread may be the one that it comes to
	}
	os.Exit(128 + int(s))
}

// Settle gives the error of a run that was interrupted its message, hint and exit code: the
// same on standard error and in documents. Any other error stays as it is.
func (out *IO) Settle(err error) error {
	said := errors.Is(err, exit.ErrInterrupted)
	if !said && (err == nil || out.ctx.Err() == nil || !errors.Is(err, out.ctx.Err())) {
		return err
	}
	settled := &exit.Error{Code: exit.Failed, Err: exit.ErrInterrupted, Hint: out.leaves}
	if i := interruptedBy(out.ctx); i != nil {
		settled.Code = i.code()
	}
	if said {
		settled.Err = err
		var e *exit.Error
		if errors.As(err, &e) {
			settled.Err, settled.Hint = e.Err, e.Hint
		}
	}
	return settled
}
