// Package stdio knows of a standard output that was closed when the process was started. The
// Go runtime opens /dev/null in its place before any Go code runs, and nothing tells that from
// one that leads there on purpose: all that is printed would be lost without an error. So it is
// looked at before: with cgo by a constructor in C, without it by an entry point of its own,
// which the linker has to be told of with -E ailee_entry. A build without cgo and that flag
// sees no closed output.
package stdio

import (
	"io"
	"os"
	"syscall"
)

// Output is standard output, which fails where it was closed.
func Output() io.Writer {
	if outputWasClosed() {
		return closed{}
	}
	return os.Stdout
}

// closed fails as the system would.
type closed struct{}

func (closed) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EBADF}
}
