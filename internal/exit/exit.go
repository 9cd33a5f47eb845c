// Package exit says how a command ends: errors with their exit code and what to do next. It
// imports no command-line library, so that packages below the commands can use it.
package exit

import (
	"errors"
	"fmt"
)

// The exit codes of every tool.
const (
	// OK: done, or verified.
	OK = 0
	// Failed: could not do the job.
	Failed = 1
	// Wrong: checked, and the data is wrong.
	Wrong = 2
)

// ErrInterrupted is the error of a run that was interrupted.
var ErrInterrupted = errors.New("interrupted")

// Error is an error with its exit code and what to do next.
type Error struct {
	Code int
	Err  error  // nil if what is wrong was printed already
	Hint string // "" for none
}

func (e *Error) Error() string {
	if e.Err == nil {
		return "the data is wrong"
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Fail returns an error with exit code [Failed] and a hint.
func Fail(hint string, err error) error { return &Error{Code: Failed, Err: err, Hint: hint} }

// Failf is [Fail] with a formatted message.
func Failf(hint, format string, args ...any) error { return Fail(hint, fmt.Errorf(format, args...)) }

// WrongData returns an error with exit code [Wrong] and a hint. err is nil if what is wrong was
// printed already.
func WrongData(hint string, err error) error { return &Error{Code: Wrong, Err: err, Hint: hint} }

// Code turns an error into an exit code; no other function does.
func Code(err error) int {
	if err == nil {
		return OK
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Failed
}
