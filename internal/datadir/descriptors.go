package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// errEnded means that a process no longer has anything open.
var errEnded = errors.New("the process has ended")

// descriptorsOf lists what a process has open, and the folder in /proc that shows it.
// A process that is ending is hidden from ordinary users, and shows nothing to root:
// descriptorsOf waits for it. If its first thread has ended, another thread is asked.
// It does not wait for processes of other users, most of which are never shown.
// Errors are errEnded, fs.ErrPermission for what may not be seen, and read errors.
func descriptorsOf(pid int, others bool) (dir string, fds []os.DirEntry, err error) {
	dir = fmt.Sprintf("/proc/%d", pid)
	fds, err = os.ReadDir(dir + "/fd")
	switch {
	case gone(err):
		return dir, nil, errEnded
	case err == nil && len(fds) > 0, err != nil && (others || !errors.Is(err, fs.ErrPermission)):
		return dir, fds, err
	}
	s, statErr := statOf(dir)
	switch {
	case statErr != nil, s.zombie && s.threads <= 1:
		return dir, nil, errEnded
	case s.zombie:
		if thread, fds := ofAnyThread(dir, pid); fds != nil {
			return thread, fds, nil
		}
	}
	// The threads of a process end one after the other, and a process that starts a program
	// is hidden for a moment.
	wait := startsWithin
	if s.zombie || s.exits {
		wait = again
	}
	switch {
	case err == nil && !s.zombie:
		return dir, nil, nil // it has nothing open
	case endsWithin(pid, wait):
		return dir, nil, errEnded
	}
	fds, err = os.ReadDir(dir + "/fd")
	if gone(err) {
		err = errEnded
	}
	return dir, fds, err
}

// startsWithin is how long a process that starts a program may be hidden.
const startsWithin = 50 * time.Millisecond

// ofAnyThread lists what a process has open after its first thread has ended. It returns nil
// if no thread shows it.
func ofAnyThread(dir string, pid int) (thread string, fds []os.DirEntry) {
	tasks, err := os.ReadDir(dir + "/task")
	if err != nil {
		return "", nil
	}
	for _, task := range tasks {
		if task.Name() == strconv.Itoa(pid) {
			continue
		}
		thread := dir + "/task/" + task.Name()
		if fds, err := os.ReadDir(thread + "/fd"); err == nil && len(fds) > 0 {
			return thread, fds
		}
	}
	return "", nil
}

// processStat holds the needed fields of /proc/PID/stat.
type processStat struct {
	zombie  bool // the first thread has ended
	exits   bool // it is about to end
	threads int
}

// statOf reads the state of a process: proc_pid_stat(5).
func statOf(dir string) (processStat, error) {
	const state, flags, threads = 0, 6, 17 // counted after the name, which may contain anything
	const pfExiting = 0x4                  // include/linux/sched.h
	text, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return processStat{}, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) <= threads {
		return processStat{}, fmt.Errorf("%s/stat has %d fields", dir, len(fields))
	}
	set, _ := strconv.ParseUint(fields[flags], 10, 64)
	count, _ := strconv.Atoi(fields[threads])
	return processStat{zombie: fields[state] == "Z" || fields[state] == "X", exits: set&pfExiting != 0, threads: count}, nil
}

// endsWithin reports whether all threads of a process end within a time.
func endsWithin(pid int, limit time.Duration) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return errors.Is(err, unix.ESRCH)
	}
	defer unix.Close(fd)
	deadline := time.Now().Add(limit)
	for {
		left := max(0, time.Until(deadline))
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds()))
		if !errors.Is(err, unix.EINTR) {
			return err == nil && n > 0
		}
	}
}
