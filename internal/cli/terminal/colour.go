package terminal

import (
	"io"
	"os"
)

// Red returns s in red if w is a terminal that wants colours. NO_COLOR (see
// https://no-color.org) and TERM=dumb turn them off. s must be printable.
func Red(w io.Writer, s string) string {
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" || !Is(w) {
		return s
	}
	return "\x1b[31m" + s + "\x1b[0m"
}
