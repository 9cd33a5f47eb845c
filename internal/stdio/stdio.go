// Package stdio detects a standard output that was closed when the process was started. The
// Go runtime opens /dev/null in its place before any Go code runs, which cannot be
// distinguished from an output that is /dev/null on purpose: everything printed would be lost
// without an error. So the check comes before the runtime starts: with cgo in a C constructor,
// without it in a separate entry point, which the linker needs the flag -E ailee_entry for. A
// build without cgo and without that flag does not notice a closed output.
package stdio

import (
	"io"
	"os"
	"syscall"
)

// Output returns standard output; writes to it fail if it was closed.
func Output() io.Writer {
	if outputWasClosed() {
		return closed{}
	}
	return os.Stdout
}

// closed fails as the system call would.
type closed struct{}

func (closed) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EBADF}
}
