package clitest

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// fifo NAME FILE makes a named pipe and writes the content of the file to it, once.
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

// readonly FILE removes every permission.
func readonly(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.Chmod(ts.MkAbs(args[0]), 0))
}

// CanMount reports whether a file system can be mounted. That takes root, and does not work in
// every container.
func CanMount(t *testing.T) bool {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		return false
	}
	return unix.Unmount(dir, 0) == nil
}

// mount DIR SIZE mounts an empty file system of that size on a folder until the script ends.
func mount(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+args[1]))
	ts.Defer(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}
