package lease_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/lease"
)

// long is longer than the tests may take.
const long = 24 * time.Hour

func awaitNoWriter(ctx context.Context, f *os.File, wait time.Duration) error {
	return lease.Reading(f).Take(ctx, wait, func() error { return nil })
}

func open(t *testing.T, path string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flags, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func sample(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(path, []byte("x"), 0o644))
	return path
}

// holder starts another process that has a file open, for writing with ">>" and for
// reading with "<", until end is called.
func holder(t *testing.T, how, path string) (pid int, end func()) {
	t.Helper()
	cmd := exec.Command("sh", "-c", `eval "exec 3`+how+`\"\$1\""; echo open; read line`, "sh", path)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "open\n", line)
	end = func() {
		_ = in.Close()
		_ = cmd.Wait()
	}
	t.Cleanup(end)
	return cmd.Process.Pid, end
}

// TestHeld: the error names the process that keeps the file open.
func TestHeld(t *testing.T) {
	path := sample(t)
	f := open(t, path, os.O_RDONLY)
	pid, end := holder(t, ">>", path)
	for _, await := range []func(context.Context, *os.File, time.Duration) error{awaitNoWriter, lease.AwaitAlone} {
		err := await(t.Context(), f, 0)
		require.ErrorIs(t, err, lease.ErrHeld)
		require.EqualError(t, err, fmt.Sprintf("%s is kept open by sh (pid %d)", path, pid))
	}
	end()
	require.NoError(t, awaitNoWriter(t.Context(), f, long))

	// A reader only prevents being alone.
	pid, _ = holder(t, "<", path)
	require.NoError(t, awaitNoWriter(t.Context(), f, 0))
	err := lease.AwaitAlone(t.Context(), f, 0)
	require.EqualError(t, err, fmt.Sprintf("%s is kept open by sh (pid %d)", path, pid))

	// This process is not named.
	path = sample(t)
	f = open(t, path, os.O_RDONLY)
	open(t, path, os.O_RDWR)
	require.EqualError(t, awaitNoWriter(t.Context(), f, 0), path+" is kept open")
}

// TestAwait: the wait ends when the writer does, or with the context.
func TestAwait(t *testing.T) {
	path := sample(t)
	f := open(t, path, os.O_RDONLY)
	writer := open(t, path, os.O_WRONLY)
	var closing atomic.Bool
	done := make(chan error)
	go func() {
		err := awaitNoWriter(t.Context(), f, long)
		if err == nil && !closing.Load() {
			err = errors.New("it did not wait")
		}
		done <- err
	}()
	closing.Store(true)
	require.NoError(t, writer.Close())
	require.NoError(t, <-done)
	require.NoError(t, lease.Release(f))

	open(t, path, os.O_WRONLY)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- lease.AwaitAlone(ctx, f, long) }()
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

// TestLease: a lease keeps processes waiting that want to open the file, and shows that
// they do, until it is given back.
func TestLease(t *testing.T) {
	for name, c := range map[string]struct {
		lease func(*os.File) *lease.Lease
		flags int // of the open that has to wait
	}{
		"no writer":          {lease.Reading, os.O_WRONLY},
		"alone, a writer":    {lease.Alone, os.O_WRONLY},
		"alone, to truncate": {lease.Alone, os.O_WRONLY | os.O_TRUNC},
		"alone, a reader":    {lease.Alone, os.O_RDONLY},
	} {
		t.Run(name, func(t *testing.T) {
			path := sample(t)
			f := open(t, path, os.O_RDONLY)
			l := c.lease(f)
			requireHeld(t, l, false)
			requireAlone(t, l)
			requireHeld(t, l, true)
			_, err := os.OpenFile(path, c.flags|unix.O_NONBLOCK, 0)
			require.ErrorIs(t, err, unix.EWOULDBLOCK)
			opened := make(chan error)
			go func() {
				other, err := os.OpenFile(path, c.flags, 0)
				if err == nil {
					err = other.Close()
				}
				opened <- err
			}()
			for alone := true; alone; {
				alone, err = l.Try()
				require.NoError(t, err)
			}
			// The kernel does not break it for a while.
			requireHeld(t, l, true)
			require.NoError(t, l.GiveBack())
			requireHeld(t, l, false)
			require.NoError(t, <-opened)
		})
	}
	// A reader does not have to wait for a lease that keeps writers off.
	path := sample(t)
	l := lease.Reading(open(t, path, os.O_RDONLY))
	requireAlone(t, l)
	open(t, path, os.O_RDONLY)
	requireAlone(t, l)
}

func requireAlone(t *testing.T, l *lease.Lease) {
	t.Helper()
	alone, err := l.Try()
	require.NoError(t, err)
	require.True(t, alone)
}

func requireHeld(t *testing.T, l *lease.Lease, want bool) {
	t.Helper()
	held, err := l.Held()
	require.NoError(t, err)
	require.Equal(t, want, held)
}

// TestUnsupported: a file that cannot have a lease is an error at once, however long the
// wait.
func TestUnsupported(t *testing.T) {
	for _, path := range []string{os.DevNull, t.TempDir()} {
		f := open(t, path, os.O_RDONLY)
		require.ErrorIs(t, awaitNoWriter(t.Context(), f, long), lease.ErrUnsupported, path)
	}
}
