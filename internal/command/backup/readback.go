package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/workers"
)

// readBack is a file that is written from front to back, and read back from the disk while the
// rest is still being written. That takes hardly longer than writing alone. Not safe for
// concurrent use.
type readBack struct {
	file    *durable.BehindWriter
	written int64
	told    int64 // up to where the reader was told to read

	wrote *xxh3.Hasher // of what was written
	has   *xxh3.Hasher // of what was read
	read  int64
	buf   []byte
	until chan int64
	ended <-chan error
}

// readBackStep is how much is written before it is read back, in bytes.
const readBackStep = 32 << 20

// newReadBack returns a readBack for an empty file. The caller must call check or abort.
func newReadBack(ctx context.Context, f *os.File) *readBack {
	r := &readBack{file: &durable.BehindWriter{File: f}, wrote: xxh3.New(), has: xxh3.New(), buf: make([]byte, 256<<10), until: make(chan int64, 1)}
	todo := r.until
	r.ended = workers.Start(func() (err error) {
		for until := range todo {
			if err == nil {
				err = r.to(ctx, until)
			}
		}
		return err
	})
	return r
}

// Write implements [io.Writer].
func (r *readBack) Write(p []byte) (int, error) {
	n, err := r.file.Write(p)
	_, _ = r.wrote.Write(p[:n])
	r.written += int64(n)
	if r.written-r.told >= readBackStep {
		select {
		case <-r.until: // replace a value that was not received yet
		default:
		}
		r.until <- r.written
		r.told = r.written
	}
	return n, err
}

// to reads the file back from the disk, up to an offset. If the kernel does not drop its cached
// pages, it reads those instead.
func (r *readBack) to(ctx context.Context, until int64) error {
	const whole = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	fd := int(r.file.Fd())
	if unix.SyncFileRange(fd, r.read, until-r.read, whole) == nil {
		_ = unix.Fadvise(fd, r.read, until-r.read, unix.FADV_DONTNEED)
	}
	for r.read < until {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.file.ReadAt(r.buf[:min(int64(len(r.buf)), until-r.read)], r.read)
		_, _ = r.has.Write(r.buf[:n])
		r.read += int64(n)
		if err != nil && r.read < until {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("%s: %w", r.file.Name(), durable.ErrNotWritten)
			}
			return err
		}
	}
	return nil
}

// check syncs the file, and reads back the rest. The error wraps [durable.ErrNotWritten] if the disk does
// not have what was written.
func (r *readBack) check(ctx context.Context) error {
	if err := r.abort(); err != nil {
		return err
	}
	if err := r.file.Sync(); err != nil {
		return err
	}
	if err := r.to(ctx, r.written); err != nil {
		return err
	}
	if r.has.Sum128() != r.wrote.Sum128() {
		return fmt.Errorf("%s: %w", r.file.Name(), durable.ErrNotWritten)
	}
	return nil
}

// abort ends reading back, and returns its error. It does nothing after check.
func (r *readBack) abort() error {
	if r.until == nil {
		return nil
	}
	close(r.until)
	r.until = nil
	return <-r.ended
}
