package swap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/lease"
)

// all keeps all of a file, and lets a test do something in its steps.
type all struct {
	size   int64
	repeat int // how many times Pieces returns the one piece, 0 for once
	plan   func(old *os.File) error
	tail   func(to *os.File) error
}

func (a *all) Plan(_ context.Context, old *os.File) (bool, error) {
	info, err := old.Stat()
	if err == nil && a.plan != nil {
		err = a.plan(old)
	}
	if err == nil {
		a.size = info.Size()
	}
	return true, err
}

func (a *all) Copy(_ context.Context, to, old *os.File) error {
	_, err := io.Copy(to, io.NewSectionReader(old, 0, a.size))
	return err
}

func (a *all) Check(context.Context, *os.File, *os.File) error { return nil }

func (a *all) Tail(_ context.Context, to, _ *os.File, _ int64) (int64, error) {
	if a.tail == nil {
		return 0, nil
	}
	return 0, a.tail(to)
}

func (a *all) Pieces() []Piece {
	pieces := []Piece{{Size: a.size}}
	for range a.repeat {
		pieces = append(pieces, pieces[0])
	}
	return pieces
}

// replaced replaces a file with the content, and returns the error.
func replaced(t *testing.T, path string, c Content) error {
	t.Helper()
	r, err := Lock(path, 0, t.Logf)
	require.NoError(t, err)
	err = r.Replace(t.Context(), c)
	require.NoError(t, r.Close())
	return err
}

func requireHint(t *testing.T, hint, says string, err error) {
	t.Helper()
	var known *exit.Error
	require.ErrorAs(t, err, &known)
	require.Equal(t, hint, known.Hint)
	require.ErrorContains(t, err, says)
}

// TestReplaceHints: what others do with the file meanwhile is reported, and the file stays.
func TestReplaceHints(t *testing.T) {
	write := func(path, text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	t.Run("rewritten again and again", func(t *testing.T) {
		path, rewrites := filepath.Join(t.TempDir(), "f"), 0
		write(path, "x")
		err := replaced(t, path, &all{plan: func(*os.File) error {
			rewrites++
			write(path+".new", fmt.Sprint(rewrites))
			return os.Rename(path+".new", path)
		}})
		requireHint(t, "find out what rewrites it, and run the command again", "changed while it was being read", err)
		require.Equal(t, planTries, rewrites)
		requireOnly(t, path, fmt.Sprint(planTries))
	})
	t.Run("the new file is open elsewhere", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "f")
		write(path, "x")
		var other *os.File
		err := replaced(t, path, &all{tail: func(to *os.File) (err error) {
			if other == nil {
				other, err = os.Open(to.Name())
			}
			return err
		}})
		requireHint(t, "find out what opens it, and run the command again", "another process has it open", err)
		require.NoError(t, other.Close())
		requireOnly(t, path, "x")
		require.NoError(t, replaced(t, path, &all{}), "as the hint says")
	})
	t.Run("writers that come too often", func(t *testing.T) {
		if testing.Short() {
			t.Skip("takes as long as writers can be kept waiting")
		}
		path := filepath.Join(t.TempDir(), "f")
		write(path, "x")
		r, err := Lock(path, 0, t.Logf)
		require.NoError(t, err)
		old, err := r.openFile(r.base, unix.O_RDONLY)
		require.NoError(t, err)
		writer, err := os.OpenFile(path, os.O_WRONLY, 0)
		require.NoError(t, err)
		_, _, err = r.sameBytes(t.Context(), (&all{size: 1, repeat: 50_000_000}).Pieces(), old, old.File, false)
		requireHint(t, "run the command again when the node is less busy, or stop it", "writers come too often", err)
		require.NoError(t, errors.Join(writer.Close(), old.Close(), r.Close()))
	})
}

// requireOnly asserts that a file has the text, and that nothing is left next to it.
func requireOnly(t *testing.T, path, text string) {
	t.Helper()
	names, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, names, 1)
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
}

// TestCarryFails: what was appended to the old file and cannot be written to the new one is
// carried over by the next run.
func TestCarryFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(path, []byte("old\nappended\n"), 0o600))
	require.NoError(t, os.WriteFile(path+".new", []byte("new\n"), 0o600))
	r, err := Lock(path, 0, t.Logf)
	require.NoError(t, err)
	// It is open for reading only, as if its disk were full.
	current, err := r.openFile(r.base+".new", unix.O_RDONLY)
	require.NoError(t, err)
	src, err := r.openFile(r.base, unix.O_RDONLY)
	require.NoError(t, err)
	current.alone = true
	r.open[current.inode] = current
	for _, f := range []*file{src, current} {
		taken, err := f.Try()
		require.NoError(t, err)
		require.True(t, taken)
	}
	_, err = r.carry(&second{dst: current.inode, at: 4}, src, current, &insertion{src: src.File, from: 4, size: 9})
	requireHint(t, "run the command again to complete it", "bad file descriptor", err)
	require.NoError(t, errors.Join(src.Close(), r.Close()))
}

// TestHints: what only some file systems and failing disks bring about has its hint, too.
func TestHints(t *testing.T) {
	requireHint(t, "run it again when the writer is done, or stop it", "kept open", explain(fmt.Errorf("f is %w by sh (pid 7)", lease.ErrHeld)))
	requireHint(t, "run it as the file's owner or as root; if the file system has no leases, stop the node and prune with --output", "leases", explain(lease.ErrUnsupported))
	for _, errno := range []unix.Errno{unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP} {
		requireHint(t, "stop the node, and prune with --output", "f: this file system cannot exchange two files", noExchange("f", errno))
	}
	for _, errno := range []unix.Errno{unix.EXDEV, unix.EBUSY} {
		requireHint(t, "stop the node, and prune with --output", "f is mounted by itself, so it cannot be replaced", noExchange("f", errno))
	}
	requireHint(t, "run the command again to complete it", "input/output error", hinted(unix.EIO))
	requireHint(t, "run it again when the writer is done, or stop it", "kept open", hinted(lease.ErrHeld))
	require.Equal(t, durable.ErrBusy, hinted(durable.ErrBusy))
}
