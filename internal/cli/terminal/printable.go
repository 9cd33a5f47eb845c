// Package terminal is what commands need for whoever sits at a terminal: text from
// files that is fit for one, and progress.
package terminal

import (
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// Text returns s with every byte that is no printable UTF-8 written as \xNN, so
// that no terminal acts on it and it stays one line. Backslashes are kept.
func Text(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if (r == utf8.RuneError && size == 1) || !unicode.IsPrint(r) {
			for i := range size {
				b.WriteString(`\x`)
				if s[i] < 0x10 {
					b.WriteByte('0')
				}
				b.WriteString(strconv.FormatUint(uint64(s[i]), 16))
			}
		} else {
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

// Is tells whether w is a terminal.
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
