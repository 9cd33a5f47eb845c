package reorgdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
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
	// A pipe in its place is not to be waited for.
	f, err := os.OpenFile(filepath.Join(path, "LOCK"), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return removedLock(path)
	}
	if err != nil {
		return nil
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil {
		return nil
	}
	if lock.Type == unix.F_UNLCK {
		return removedLock(path)
	}
	return lockedBy(path, max(0, int(lock.Pid)))
}

func lockedBy(path string, pid int) *LockedError {
	e := &LockedError{Path: path, PID: pid}
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", e.PID)); err == nil {
		e.Process = strings.TrimSpace(string(name))
	}
	return e
}

// removedLock is [Holder] for a LOCK that was removed, and perhaps made again since.
// Whoever has the database open still has the file that was removed, which no other
// process can lock or ask for: without this, there would be two writers.
func removedLock(path string) error {
	real, err := filepath.Abs(path)
	if err == nil {
		real, err = filepath.EvalSymlinks(real)
	}
	if err != nil {
		return nil
	}
	removed := filepath.Join(real, "LOCK") + " (deleted)"
	for _, process := range namesIn("/proc") {
		pid, err := strconv.Atoi(process)
		if err != nil || pid == os.Getpid() {
			continue
		}
		open := filepath.Join("/proc", process, "fd")
		for _, fd := range namesIn(open) {
			if target, err := os.Readlink(filepath.Join(open, fd)); err == nil && target == removed {
				return lockedBy(path, pid)
			}
		}
	}
	return nil
}

// namesIn is what is in a folder, as far as it can be read.
func namesIn(dir string) []string {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	return names
}
