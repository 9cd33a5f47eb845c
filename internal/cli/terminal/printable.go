// Package terminal is for output on a terminal: text from files made safe to print, and
// progress.
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

// For returns s in the form in which to write it to w: unchanged for a file or pipe, made
// printable for a terminal.
func For(w io.Writer, s string) string {
	if Is(w) {
		return Text(s)
	}
	return s
}
