package tool

import (
	"errors"
	"fmt"
	"strings"
)

// The exit codes of every tool.
const (
	// OK: done, or verified.
	OK = 0
	// Failed: could not do the job; nothing that existed is changed.
	Failed = 1
	// Wrong: the check was made and the data is wrong.
	Wrong = 2
)

// ExitCodes is the table as help and man pages show it.
const ExitCodes = `EXIT STATUS:
   0  done, or verified
   1  could not do the job (usage, input, I/O); nothing that existed is changed
   2  the check was made and the data is wrong
`

// Error is an error with its exit code and what to do next.
type Error struct {
	Code int
	Err  error  // nil when what is wrong has been said already
	Hint string // "" for none
}

func (e *Error) Error() string {
	if e.Err == nil {
		return "the data is wrong"
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Fail is an error with exit code [Failed] and a hint.
func Fail(hint string, err error) error { return &Error{Code: Failed, Err: err, Hint: hint} }

// Failf is [Fail] with a formatted message.
func Failf(hint, format string, args ...any) error { return Fail(hint, fmt.Errorf(format, args...)) }

// WrongData is an error with exit code [Wrong] and a hint. err is nil when what
// is wrong has been said already.
func WrongData(hint string, err error) error { return &Error{Code: Wrong, Err: err, Hint: hint} }

// ExitCode is the one place that turns an error into an exit code.
func ExitCode(err error) int {
	if err == nil {
		return OK
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Failed
}

// message is the text of an error in one line: several that are joined, one behind
// the other, and not each on a line of its own.
func message(err error) string {
	text := err.Error()
	var inner []error
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		inner = e.Unwrap()
		if joined := errors.Join(inner...); joined != nil && joined.Error() == text {
			texts := make([]string, len(inner))
			for i, one := range inner {
				texts[i] = message(one)
			}
			return strings.Join(texts, "; ")
		}
	case interface{ Unwrap() error }:
		inner = []error{e.Unwrap()}
	}
	for _, one := range inner {
		if one != nil {
			text = strings.Replace(text, one.Error(), message(one), 1)
		}
	}
	return text
}

// sprintf is [fmt.Sprintf] with errors in one line.
func sprintf(format string, args ...any) string {
	for i, arg := range args {
		if err, ok := arg.(error); ok {
			args[i] = message(err)
		}
	}
	return fmt.Sprintf(format, args...)
}
