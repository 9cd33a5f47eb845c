package reorgdb

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// LockedError says that another process has the database open for writing.
type LockedError struct {
	Path    string
	PID     int    // 0 when it cannot be told
	Process string // its name, "" when it cannot be told
}

func (e *LockedError) Error() string {
	switch {
	case e.PID == 0:
		return e.Path + " is in use by another process"
	case e.Process == "":
		return fmt.Sprintf("%s is in use by pid %d", e.Path, e.PID)
	}
	return fmt.Sprintf("%s is in use by %s (pid %d)", e.Path, e.Process, e.PID)
}

// Holder returns a *[LockedError] when another process holds the database's lock,
// and nil when none does or when it cannot be told. The lock is on the file LOCK,
// not the file itself: one that lies about means nothing.
//
// It must not be called while this process has the database open for writing:
// closing any descriptor of LOCK gives the process's own lock up.
func Holder(path string) error {
	f, err := os.Open(filepath.Join(path, "LOCK"))
	if err != nil {
		return nil
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil || lock.Type == unix.F_UNLCK {
		return nil
	}
	e := &LockedError{Path: path, PID: max(0, int(lock.Pid))}
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", e.PID)); err == nil {
		e.Process = strings.TrimSpace(string(name))
	}
	return e
}
