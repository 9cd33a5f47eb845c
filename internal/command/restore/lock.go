package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/durable"
	"ailee-recovery/reorgdb"
)

// lockDatabase takes the lock of a database as a node does, so that no node opens it until the
// file is closed. It returns nil if there is no LOCK and none is to be made. If a node has the
// lock, the error is a *[reorgdb.LockedError]. LOCK is never removed again: a process that had
// opened it meanwhile would hold a lock that no other process sees.
//
// The lock belongs to the open file (F_OFD_SETLK), and not to the process like a node's lock:
// it is not lost when another descriptor of the same file is closed.
func lockDatabase(folder string, make bool) (*os.File, error) {
	path, flags := filepath.Join(folder, "LOCK"), unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC
	if make {
		flags |= unix.O_CREAT
	}
	fd, err := unix.Open(path, flags, 0o640)
	if errors.Is(err, unix.ENOENT) && !make {
		return nil, nil
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "lock", Path: path, Err: durable.ErrNotRegular}
	}
	if err == nil {
		err = takeLock(f, folder)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// releaseLock releases the lock on LOCK, and closes it. As with [durable.Unlock], closing alone
// would leave the lock to a child that has not executed its program yet.
func releaseLock(f *os.File) error {
	_ = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_UNLCK}) // closing releases it otherwise
	return f.Close()
}

func takeLock(f *os.File, folder string) error {
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock)
	if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) {
		if err != nil {
			return &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
		return nil
	}
	held := &reorgdb.LockedError{Path: folder}
	lock = unix.Flock_t{Type: unix.F_WRLCK}
	if unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock) == nil && lock.Type != unix.F_UNLCK && lock.Pid > 0 {
		held.PID = int(lock.Pid)
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", held.PID))
		held.Process = strings.TrimSpace(string(name))
	}
	return held
}
