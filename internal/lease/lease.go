// Package lease finds out from the kernel whether anybody has a file open for
// writing, and holds off those who want to open it, with file leases
// (fcntl(2), F_SETLEASE). A lease ends with the process that holds it, and the
// kernel breaks one that keeps others waiting for longer than
// /proc/sys/fs/lease-break-time seconds.
package lease

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrUnsupported says that the file system, or the rights of this process, do
// not allow leases: only a file's owner or a privileged process can have one.
var ErrUnsupported = errors.New("no file lease to be had")

// ErrHeld says that somebody keeps the file open.
var ErrHeld = errors.New("kept open")

// poll is how often a file is looked at that somebody has open.
const poll = 2 * time.Millisecond

// AwaitNoWriter waits until nobody has f open for writing, and takes a lease
// that blocks whoever wants to open it so, until Release. f itself must be
// open for reading only. After the wait is over the error wraps [ErrHeld] and
// names the processes.
func AwaitNoWriter(ctx context.Context, f *os.File, wait time.Duration) error {
	return await(ctx, f, unix.F_RDLCK, wait)
}

// AwaitAlone waits until nobody else has f open at all, and takes a lease that
// blocks everyone who wants to open it, until Release. After the wait is over the
// error wraps [ErrHeld] and names the processes.
func AwaitAlone(ctx context.Context, f *os.File, wait time.Duration) error {
	return await(ctx, f, unix.F_WRLCK, wait)
}

func await(ctx context.Context, f *os.File, kind int, wait time.Duration) error {
	deadline := time.Now().Add(wait)
	for {
		err := set(f, kind)
		if !errors.Is(err, unix.EAGAIN) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is %w%s", f.Name(), ErrHeld, holders(f))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(poll):
		}
	}
}

// Release gives a lease back.
func Release(f *os.File) error { return set(f, unix.F_UNLCK) }

// Wanted tells whether somebody waits for the lease on f to be given back.
func Wanted(f *os.File) (bool, error) {
	kind, err := unix.FcntlInt(f.Fd(), unix.F_GETLEASE, 0)
	return kind == unix.F_UNLCK, err
}

// The kernel says with SIGIO that somebody waits for a lease. Nothing here needs it,
// and on a thread of a C library it would end the process.
var ignoreSignal = sync.OnceFunc(func() { signal.Ignore(unix.SIGIO) })

func set(f *os.File, kind int) error {
	ignoreSignal()
	for {
		_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, kind)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EACCES), errors.Is(err, unix.ENOLCK), errors.Is(err, unix.EOPNOTSUPP):
			return fmt.Errorf("%s: %w (%w)", f.Name(), ErrUnsupported, err)
		}
		return err
	}
}

// holders names the processes that have f open, as far as /proc shows them.
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
		name, _ := os.ReadFile("/proc/" + pid + "/comm")
		names = append(names, fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), pid))
	}
	if len(names) == 0 {
		return ""
	}
	return " by " + strings.Join(names, ", ")
}
