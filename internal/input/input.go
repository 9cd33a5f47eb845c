// Package input opens what a tool reads: a file, a pipe or standard input. It never opens
// anything for writing.
package input

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"ailee-recovery/internal/workers"
)

// Input is an open file or stream.
type Input struct {
	*os.File
	Name string
	// Seekable is set for a regular file. Its bytes [Base, Base+Size) are the
	// input: all of it, or for standard input what is after its current position.
	Seekable   bool
	Base, Size int64

	start   []byte // the first bytes of a stream, as far as read
	ctx     context.Context
	release func() bool
}

// Stdin is the name for standard input.
const Stdin = "-"

// Open opens the file with the given name, or stdin for [Stdin]. Opening and
// reading a pipe end with the context's error when it is cancelled. A directory
// is an error that wraps [syscall.EISDIR].
func Open(ctx context.Context, name string, stdin *os.File) (*Input, error) {
	f, err := open(ctx, name, stdin)
	if err != nil {
		return nil, err
	}
	return opened(ctx, name, f)
}

func opened(ctx context.Context, name string, f *os.File) (*Input, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	in := &Input{File: f, Name: name, ctx: ctx, Seekable: info.Mode().IsRegular(), Size: info.Size()}
	switch {
	case info.IsDir():
		return nil, errors.Join(&os.PathError{Op: "read", Path: name, Err: syscall.EISDIR}, f.Close())
	case in.Seekable && name == Stdin:
		if in.Base, err = f.Seek(0, io.SeekCurrent); err != nil {
			return nil, err
		}
		in.Size = max(0, in.Size-in.Base)
	}
	// A deadline is the only way to end a blocked read; a regular file has none
	// and needs none.
	in.release = context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(longAgo) })
	return in, nil
}

func open(ctx context.Context, name string, stdin *os.File) (*os.File, error) {
	if name == Stdin {
		// A separate descriptor can be read with a deadline, without making the shared one
		// non-blocking. Sockets cannot be opened this way.
		if info, err := stdin.Stat(); err == nil && !info.Mode().IsRegular() {
			if f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", stdin.Fd())); err == nil {
				return f, nil
			}
		}
		return stdin, nil
	}
	// Opening a named pipe waits for its writer.
	var f *os.File
	opened := workers.Start(func() (err error) {
		f, err = os.Open(name)
		return err
	})
	select {
	case err := <-opened:
		return f, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Read reads the next bytes. After the context is cancelled it returns the context's error.
func (in *Input) Read(p []byte) (int, error) {
	// An endless device has no deadline.
	if err := in.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := in.File.Read(p)
	if !in.Seekable && len(in.start) < StartLen {
		in.start = append(in.start, p[:min(n, StartLen-len(in.start))]...)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = context.Canceled
	}
	return n, err
}

// Start returns the first [StartLen] bytes, or fewer if there are no more. Of a stream, it
// returns only bytes that were already read.
func (in *Input) Start() ([]byte, error) {
	if !in.Seekable {
		return in.start, nil
	}
	start := make([]byte, StartLen)
	n, err := in.Section().ReadAt(start, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return start[:n], err
}

// Section returns the bytes of a seekable input, starting at offset 0. Reading ends with the
// context's error when it is cancelled, since looking for the next snapshot may read a whole
// file.
func (in *Input) Section() *io.SectionReader {
	return io.NewSectionReader(interruptible{in}, in.Base, in.Size)
}

type interruptible struct{ *Input }

func (r interruptible) ReadAt(p []byte, off int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.File.ReadAt(p, off)
}

// Close closes the input.
func (in *Input) Close() error {
	in.release()
	return in.File.Close()
}

var longAgo = time.Unix(1, 0)
