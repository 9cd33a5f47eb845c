// Package lease finds out whether another process has a file open for writing, and
// keeps processes that want to open it waiting, with file leases (fcntl(2),
// F_SETLEASE). A lease ends with the process that holds it. The kernel breaks a lease
// that keeps others waiting for longer than /proc/sys/fs/lease-break-time seconds.
package lease

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrUnsupported says that the file system, or the privileges of this process, do not
// allow leases: only a file's owner or a privileged process can have one.
var ErrUnsupported = errors.New("file leases are not available on this file system")

// ErrHeld says that another process keeps the file open.
var ErrHeld = errors.New("kept open")

// poll is how often to try to lease a file that another process has open.
const poll = time.Millisecond

// Lease is a lease on a file that this process holds or wants. It is not safe for
// concurrent use.
type Lease struct {
	file *os.File
	kind int
	// unwanted is the last time at which no process is known to have waited for the lease;
	// zero while it is not held. The kernel breaks it no earlier than lease-break-time
	// after that.
	unwanted time.Time
}

// Reading returns the lease that keeps processes waiting that open f for writing. f itself
// must be open for reading only.
func Reading(f *os.File) *Lease { return &Lease{file: f, kind: unix.F_RDLCK} }

// Alone returns the lease that keeps processes waiting that open f at all.
func Alone(f *os.File) *Lease { return &Lease{file: f, kind: unix.F_WRLCK} }

// Try takes the lease. It reports false, and leaves a lease that is held as it is, if
// another process has the file open: for writing, or at all with [Alone]. A process that
// waits in open(2) counts, whether it waits for the lease or for a permission event.
func (l *Lease) Try() (bool, error) {
	now := time.Now()
	err := set(l.file, l.kind)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return false, nil
	case err == nil:
		l.unwanted = now
	}
	return err == nil, err
}

// Take takes the lease as soon as no other process has the file open. Until then it gives
// back a lease that is held, so that processes that wait can go on. each is called between
// two attempts. When wait is over, the error wraps [ErrHeld] and names the processes.
func (l *Lease) Take(ctx context.Context, wait time.Duration, each func() error) error {
	deadline := time.Now().Add(wait)
	for {
		if taken, err := l.Try(); taken || err != nil {
			return err
		}
		if err := l.GiveBack(); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is %w%s", l.file.Name(), ErrHeld, holders(l.file))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(poll):
		}
		if err := each(); err != nil {
			return err
		}
	}
}

// Held reports whether the lease was certainly held without a break since it was taken. It
// also returns false if a process may have waited for half of the time after which the
// kernel breaks the lease: the caller should then give it back.
func (l *Lease) Held() (bool, error) {
	now := time.Now()
	kind, err := unix.FcntlInt(l.file.Fd(), unix.F_GETLEASE, 0)
	if err != nil || l.unwanted.IsZero() {
		return false, err
	}
	if kind == l.kind {
		l.unwanted = now
		return true, nil
	}
	return time.Since(l.unwanted) < breakTime()/2, nil
}

// GiveBack gives the lease back.
func (l *Lease) GiveBack() error {
	l.unwanted = time.Time{}
	return Release(l.file)
}

// breakTime is how long the kernel lets a process wait for a lease.
var breakTime = sync.OnceValue(func() time.Duration {
	text, _ := os.ReadFile("/proc/sys/fs/lease-break-time")
	seconds, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || seconds <= 0 { // 0: for ever
		seconds = 45
	}
	return time.Duration(seconds) * time.Second
})

// AwaitAlone waits until no other process has f open at all, and takes a lease that
// blocks every process that wants to open it, until Release. When wait is over, the
// error wraps [ErrHeld] and names the processes.
func AwaitAlone(ctx context.Context, f *os.File, wait time.Duration) error {
	return Alone(f).Take(ctx, wait, func() error { return nil })
}

// Release gives a lease back.
func Release(f *os.File) error { return set(f, unix.F_UNLCK) }

// The kernel sends SIGIO when a process waits for a lease. Nothing here needs it, and
// on a thread of a C library it would end the process.
var ignoreSignal = sync.OnceFunc(func() { signal.Ignore(unix.SIGIO) })

func set(f *os.File, kind int) error {
	ignoreSignal()
	for {
		_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, kind)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN) && kind == unix.F_UNLCK:
			return nil // there is none
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EACCES), errors.Is(err, unix.ENOLCK), errors.Is(err, unix.EOPNOTSUPP):
			return fmt.Errorf("%s: %w (%w)", f.Name(), ErrUnsupported, err)
		}
		return err
	}
}

// holders names the other processes that have f open, as far as /proc shows them.
func holders(f *os.File) string {
	mine, err := f.Stat()
	if err != nil {
		return ""
	}
	var names []string
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	seen := map[string]bool{fmt.Sprint(os.Getpid()): true}
	for _, link := range links {
		pid := strings.Split(link, "/")[2]
		if info, err := os.Stat(link); seen[pid] || err != nil || !os.SameFile(info, mine) {
			continue
		}
		seen[pid] = true
		names = append(names, process(pid))
	}
	if len(names) == 0 {
		return ""
	}
	return " by " + strings.Join(names, ", ")
}

// process names a process.
func process(pid string) string {
	name, _ := os.ReadFile("/proc/" + pid + "/comm")
	return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), pid)
}

// Locker names the process that holds the lock on f (flock), after ": ", or returns "" if
// /proc does not show it.
func Locker(f *os.File) string {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return ""
	}
	locks, _ := os.ReadFile("/proc/locks")
	for line := range strings.Lines(string(locks)) {
		// 1: FLOCK  ADVISORY  WRITE 812 08:01:1234 0 EOF
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[1] != "FLOCK" {
			continue
		}
		if place := strings.Split(fields[5], ":"); len(place) == 3 && place[2] == strconv.FormatUint(st.Ino, 10) && fields[4] != "0" {
			return ": " + process(fields[4])
		}
	}
	return ""
}
