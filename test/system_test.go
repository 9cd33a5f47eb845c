package test

import (
	"os"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// fifo NAME FILE makes a named pipe and feeds it with the file's content, once.
func fifo(ts *testscript.TestScript, _ bool, args []string) {
	path, content := ts.MkAbs(args[0]), []byte(ts.ReadFile(args[1]))
	ts.Check(unix.Mkfifo(path, 0o600))
	go func() {
		if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
			_, _ = f.Write(content)
			_ = f.Close()
		}
	}()
}

// readonly FILE asserts nothing and takes away every permission.
func readonly(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.Chmod(ts.MkAbs(args[0]), 0))
}
