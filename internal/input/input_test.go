package input_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/input"
)

const content = "0123456789"

func sample(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	return path
}

func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, unix.Mkfifo(path, 0o600))
	return path
}

func TestFile(t *testing.T) {
	path := sample(t)
	in, err := input.Open(t.Context(), path, nil)
	require.NoError(t, err)
	require.Equal(t, path, in.Name)
	require.True(t, in.Seekable)
	require.Equal(t, [2]int64{0, 10}, [2]int64{in.Base, in.Size})
	text, err := io.ReadAll(in)
	require.NoError(t, err)
	require.Equal(t, content, string(text))
	part := make([]byte, 3)
	_, err = in.Section().ReadAt(part, 4)
	require.NoError(t, err)
	require.Equal(t, "456", string(part))
	_, err = in.Write([]byte("x"))
	require.Error(t, err, "it is open for reading only")
	require.NoError(t, in.Close())
}

// TestStandardInput: of a file, the input is what is after the current position.
func TestStandardInput(t *testing.T) {
	stdin, err := os.Open(sample(t))
	require.NoError(t, err)
	_, err = stdin.Seek(4, io.SeekStart)
	require.NoError(t, err)
	in, err := input.Open(t.Context(), input.Stdin, stdin)
	require.NoError(t, err)
	require.True(t, in.Seekable)
	require.Equal(t, "-", in.Name)
	require.Equal(t, [2]int64{4, 6}, [2]int64{in.Base, in.Size})
	text, err := io.ReadAll(in.Section())
	require.NoError(t, err)
	require.Equal(t, "456789", string(text))

	// There is nothing after the end.
	_, err = stdin.Seek(100, io.SeekStart)
	require.NoError(t, err)
	in, err = input.Open(t.Context(), input.Stdin, stdin)
	require.NoError(t, err)
	require.Zero(t, in.Size)
	require.NoError(t, in.Close())

	r, w, err := os.Pipe()
	require.NoError(t, err)
	_, err = w.WriteString(content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	in, err = input.Open(t.Context(), input.Stdin, r)
	require.NoError(t, err)
	require.False(t, in.Seekable)
	text, err = io.ReadAll(in)
	require.NoError(t, err)
	require.Equal(t, content, string(text))
	require.NoError(t, in.Close())
}

// TestWhatCannotBeRead: opening a folder reports that it is a folder.
func TestWhatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	_, err := input.Open(t.Context(), dir, nil)
	require.ErrorIs(t, err, syscall.EISDIR)
	require.ErrorContains(t, err, dir)
	_, err = input.OpenRegular(t.Context(), dir)
	require.ErrorIs(t, err, syscall.EISDIR)
	for _, open := range []func(string) (*input.Input, error){
		func(name string) (*input.Input, error) { return input.Open(t.Context(), name, nil) },
		func(name string) (*input.Input, error) { return input.OpenRegular(t.Context(), name) },
	} {
		_, err = open(filepath.Join(dir, "missing"))
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
}

// TestRegular: an input that cannot be read twice is refused, without waiting for a writer.
func TestRegular(t *testing.T) {
	in, err := input.OpenRegular(t.Context(), sample(t))
	require.NoError(t, err)
	require.NoError(t, in.Close())
	for _, name := range []string{fifo(t), os.DevNull, "/dev/zero"} {
		_, err := input.OpenRegular(t.Context(), name)
		require.ErrorIs(t, err, input.ErrNotSeekable, name)
		require.ErrorContains(t, err, name)
	}
}

// TestInterrupted: opening and reading end with the context.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	opened := make(chan error, 1)
	go func() {
		_, err := input.Open(ctx, fifo(t), nil) // there is no writer
		opened <- err
	}()
	cancel()
	require.ErrorIs(t, <-opened, context.Canceled)

	// A pipe that stays open and empty.
	pipe := fifo(t)
	writer, err := os.OpenFile(pipe, os.O_RDWR, 0)
	require.NoError(t, err)
	defer writer.Close()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer w.Close()
	for name, stdin := range map[string]*os.File{pipe: nil, input.Stdin: r} {
		ctx, cancel := context.WithCancel(t.Context())
		in, err := input.Open(ctx, name, stdin)
		require.NoError(t, err)
		reading := make(chan error, 1)
		go func() {
			_, err := in.Read(make([]byte, 1))
			reading <- err
		}()
		cancel()
		require.ErrorIs(t, <-reading, context.Canceled, name)
		require.NoError(t, in.Close())
	}

	// An endless device, and a file that may be long.
	for _, name := range []string{"/dev/zero", sample(t)} {
		ctx, cancel := context.WithCancel(t.Context())
		in, err := input.Open(ctx, name, nil)
		require.NoError(t, err)
		_, err = in.Read(make([]byte, 1))
		require.NoError(t, err)
		cancel()
		_, err = in.Read(make([]byte, 1))
		require.ErrorIs(t, err, context.Canceled)
		_, err = in.Section().ReadAt(make([]byte, 1), 0)
		require.True(t, errors.Is(err, context.Canceled) || !in.Seekable && errors.Is(err, io.EOF), "%s: %v", name, err)
		require.NoError(t, in.Close())
	}
}
