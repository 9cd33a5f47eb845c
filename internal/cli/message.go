package cli

import (
	"errors"
	"fmt"
	"strings"
)

// message returns the text of an error on one line: joined errors are separated by
// semicolons instead of newlines.
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

// sprintf is [fmt.Sprintf] with each error on one line.
func sprintf(format string, args ...any) string {
	for i, arg := range args {
		if err, ok := arg.(error); ok {
			args[i] = message(err)
		}
	}
	return fmt.Sprintf(format, args...)
}
