// Package workers runs goroutines whose panics become errors. A panic that is not
// recovered, in any goroutine, ends the process: without cleaning up, with a trace in
// place of a message, and with exit code 2, which is a verdict here.
package workers

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sync/errgroup"
)

// PanicError is a panic that was recovered. Its text says what and where, and
// contains no data.
type PanicError struct {
	Value any
	Stack []byte // of the goroutine, as [debug.Stack] formats it
	where string
}

func (e *PanicError) Error() string {
	what := fmt.Sprintf("a panic with a %T", e.Value)
	// The runtime's own panics contain only types, indexes and addresses.
	var known runtime.Error
	if err, ok := e.Value.(error); ok && errors.As(err, &known) {
		what = known.Error()
	}
	return fmt.Sprintf("%s in %s", what, e.where)
}

// Recover must be deferred. It puts a panic into err as a *[PanicError].
func Recover(err *error) {
	switch value := recover().(type) {
	case nil:
	case *PanicError: // from a worker, passed on
		*err = value
	default:
		*err = &PanicError{Value: value, Stack: debug.Stack(), where: origin()}
	}
}

// origin names the function that panicked, while the panic unwinds the stack.
func origin() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for panicking := false; ; {
		frame, more := frames.Next()
		inRuntime := strings.HasPrefix(frame.Function, "runtime.")
		if panicking && !inRuntime {
			return fmt.Sprintf("%s (%s:%d)", strings.TrimPrefix(frame.Function, "ailee-recovery/"), path.Base(frame.File), frame.Line)
		}
		if !more {
			return "an unknown function"
		}
		panicking = panicking || inRuntime
	}
}

// Start runs f in a goroutine and returns a channel that gets its error once: nil, a
// *[PanicError], or whatever f returns. It need not be received.
func Start(f func() error) <-chan error {
	ended := make(chan error, 1)
	go func() {
		var err error
		defer func() { ended <- err }()
		defer Recover(&err)
		err = f()
	}()
	return ended
}

// Group is an [errgroup.Group] in which a panic is the error of its function.
type Group struct{ group *errgroup.Group }

// NewGroup returns an empty group.
func NewGroup() *Group { return &Group{new(errgroup.Group)} }

// WithContext returns a group and a context that is cancelled at the first error
// and when Wait returns.
func WithContext(ctx context.Context) (*Group, context.Context) {
	group, ctx := errgroup.WithContext(ctx)
	return &Group{group}, ctx
}

// SetLimit bounds how many functions run at once; [Group.Go] waits for its turn.
func (g *Group) SetLimit(n int) { g.group.SetLimit(n) }

// Go runs f in a goroutine.
func (g *Group) Go(f func() error) {
	g.group.Go(func() (err error) {
		defer Recover(&err)
		return f()
	})
}

// Wait waits for all functions and returns the first error.
func (g *Group) Wait() error { return g.group.Wait() }
