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

// ending are the signals that interrupt a run: it cleans up and ends by the same signal.
var ending = []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}

// interruption is the signal that interrupted a run, as the cause of its context's end.
type interruption struct{ by syscall.Signal }

func (i *interruption) Error() string { return "interrupted by " + i.by.String() }

// code is the exit status that a shell reports for a process that ended by the signal.
func (i *interruption) code() int { return 128 + int(i.by) }

// interruptedBy returns the signal that ended the context, nil for none.
func interruptedBy(ctx context.Context) (i *interruption) {
	errors.As(context.Cause(ctx), &i)
	return i
}

// interruptible returns a context that the first signal ends. A second signal ends the
// process at once.
func interruptible() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	for _, s := range ending {
		// A signal that was ignored when the process started, as by nohup, stays ignored.
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

// endBy ends the process by a signal, as if it did not handle it. This tells the shell to end
// its loop or script, too, and systemd that the process was stopped.
func endBy(s syscall.Signal) {
	// The kernel does not let a signal end the first process of a container.
	if os.Getpid() != 1 {
		signal.Reset(s)
		_ = syscall.Kill(os.Getpid(), s)
		time.Sleep(time.Minute) // the signal may be delivered to another thread
	}
	os.Exit(128 + int(s))
}

// Settle gives the error of an interrupted run its message, hint and exit code, the same on
// standard error and in documents. Any other error is returned unchanged.
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
