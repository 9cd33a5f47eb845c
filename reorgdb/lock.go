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

	"ailee-recovery/internal/durable"
)

// LockedError means that another process has the database open for writing.
type LockedError struct {
	Path    string
	PID     int    // of the process, 0 if not known
	Process string // its name, "" if not known
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

// Holder returns a *[LockedError] if another process holds the lock of the database at path,
// and nil if none does or if that cannot be determined. The lock is a lock on the file LOCK:
// the file alone means nothing.
//
// Holder must not be called while this process has the database open for writing: closing
// any descriptor of LOCK releases the process's own lock. Otherwise it is safe for concurrent
// use.
func Holder(path string) error {
	f, err := durable.OpenRegular(filepath.Join(path, "LOCK"), os.O_RDONLY)
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

// removedLock is [Holder] for a LOCK that was removed, and perhaps made again since. The
// process that has the database open still has the removed file open, but no other process
// can find that lock: without this check, there could be two writers. The path by which the
// process opened the database is not known, so its files are compared by device and inode.
func removedLock(path string) error {
	folder, err := os.Stat(path)
	if err != nil {
		return nil
	}
	written := writtenFiles(path)
	for _, process := range namesIn("/proc") {
		pid, err := strconv.Atoi(process)
		if err != nil || pid == os.Getpid() {
			continue
		}
		p := filepath.Join("/proc", process)
		for _, fd := range namesIn(filepath.Join(p, "fd")) {
			if removedIn(p, fd, folder) || writes(p, fd, written) {
				return lockedBy(path, pid)
			}
		}
	}
	return nil
}

// removedIn reports whether a descriptor of a process is a LOCK that was removed from the
// folder. The path in its name is as that process sees it, which may have other mounts.
func removedIn(process, fd string, folder fs.FileInfo) bool {
	target, err := os.Readlink(filepath.Join(process, "fd", fd))
	if err != nil {
		return false
	}
	dir, ok := strings.CutSuffix(target, "/LOCK (deleted)")
	if !ok {
		return false
	}
	info, err := os.Stat(filepath.Join(process, "root", dir))
	return err == nil && os.SameFile(info, folder)
}

// file identifies a file, whatever path it was opened by.
type file struct{ dev, ino uint64 }

// writtenFiles returns the files that a process with the database open for writing may have
// open for writing.
func writtenFiles(path string) map[file]bool {
	written := map[file]bool{}
	for _, name := range namesIn(path) {
		log, _ := filepath.Match("*.log", name)
		manifest, _ := filepath.Match("MANIFEST-*", name)
		var stat unix.Stat_t
		if (log || manifest) && unix.Stat(filepath.Join(path, name), &stat) == nil {
			written[file{uint64(stat.Dev), stat.Ino}] = true
		}
	}
	return written
}

// writes reports whether a process has one of the files open for writing at a descriptor.
func writes(process, fd string, files map[file]bool) bool {
	var stat unix.Stat_t
	if unix.Stat(filepath.Join(process, "fd", fd), &stat) != nil || !files[file{uint64(stat.Dev), stat.Ino}] {
		return false
	}
	text, err := os.ReadFile(filepath.Join(process, "fdinfo", fd))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text), "flags:")
	line, _, _ := strings.Cut(rest, "\n")
	flags, err := strconv.ParseUint(strings.TrimSpace(line), 8, 64)
	return err == nil && flags&unix.O_ACCMODE != unix.O_RDONLY && flags&unix.O_PATH == 0
}

// namesIn returns the names in a folder, as far as it can be read.
func namesIn(dir string) []string {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	return names
}
