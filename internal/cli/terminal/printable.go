// Package terminal is what commands need for whoever sits at a terminal: text from
// files that is fit for one, and progress.
package terminal

import (
	"io"

	"golang.org/x/term"

	"ailee-recovery/internal/printable"
)

// Text is [printable.Text].
func Text(s string) string { return printable.Text(s) }

// Is reports whether w is a terminal.
func Is(w io.Writer) bool {
	f, ok := w.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}

// For returns s as it may be written to w: exactly on a file or pipe, made
// printable on a terminal.
func For(w io.Writer, s string) string {
	if Is(w) {
		return Text(s)
	}
	return s
}
