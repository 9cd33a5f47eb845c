// Package durable writes files and folders that appear completely or not at all, even
// after a crash: it copies in the kernel, syncs, and renames into place.
package durable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// ErrShort says that a source ended before the range that was to be copied.
var ErrShort = errors.New("the source shrank while it was being copied")

// copyStep is how much is copied between two checks of the context, in bytes.
const copyStep = 64 << 20

// CopyRange copies n bytes of src, starting at off, to dst at its position, in the
// kernel if the file systems can, and calls progress with the number of bytes copied.
func CopyRange(ctx context.Context, dst, src *os.File, off, n int64, progress func(int64)) error {
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		copied, err := unix.CopyFileRange(int(src.Fd()), &off, int(dst.Fd()), nil, int(min(n, copyStep)), 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || copied == 0 {
			// The error need not be of the files: some file systems return EIO, or 0, if they
			// do not support the call. Reading and writing will show.
			return copyThrough(ctx, dst, src, off, n, progress)
		}
		startWriteback(dst, int64(copied))
		n -= int64(copied)
		progress(int64(copied))
	}
	return nil
}

// startWriteback starts writing the n bytes before the position of f to the disk, so
// that a later sync has less to wait for. It is only an optimization and may fail.
func startWriteback(f *os.File, n int64) {
	if end, err := unix.Seek(int(f.Fd()), 0, io.SeekCurrent); err == nil {
		_ = unix.SyncFileRange(int(f.Fd()), end-n, n, unix.SYNC_FILE_RANGE_WRITE)
	}
}

// copyThrough copies through user space, for file systems that cannot copy in the kernel.
func copyThrough(ctx context.Context, dst, src *os.File, off, n int64, progress func(int64)) error {
	buf := make([]byte, 1<<20)
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := buf[:min(n, int64(len(buf)))]
		if err := ReadFull(part, src, off); err != nil {
			return err
		}
		if _, err := dst.Write(part); err != nil {
			return err
		}
		off += int64(len(part))
		n -= int64(len(part))
		progress(int64(len(part)))
	}
	return nil
}

// ReadFull reads len(buf) bytes of src at offset off. The error wraps [ErrShort] if the file is
// shorter.
func ReadFull(buf []byte, src *os.File, off int64) error {
	_, err := src.ReadAt(buf, off)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s at byte %d: %w", src.Name(), off, ErrShort)
	}
	return err
}

// Clone makes dst, which is empty, share the blocks of src as it is now. It reports whether the
// file system can; if not, dst stays empty.
func Clone(dst, src *os.File) (bool, error) {
	err := unix.IoctlFileClone(int(dst.Fd()), int(src.Fd()))
	if unsupported(err) || isOneOf(err, unix.EXDEV, unix.EPERM, unix.ETXTBSY) {
		return false, nil
	}
	if err != nil {
		return false, &os.PathError{Op: "clone to", Path: dst.Name(), Err: err}
	}
	return true, nil
}

// Uncached drops the synced pages of a file from the page cache, so that reads come from the
// disk. It may fail silently.
func Uncached(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }

// ErrNotWritten says that a disk does not have what was written to it.
var ErrNotWritten = errors.New("it differs from what was written")

// BehindWriter is a file that is written from front to back. It starts writing to the disk early,
// so that a later sync has less to wait for.
type BehindWriter struct {
	*os.File
	behind int64 // bytes for which writeback was not started
}

// behindStep is after how many bytes writeback is started.
const behindStep = 8 << 20

func (w *BehindWriter) Write(p []byte) (int, error) {
	n, err := w.File.Write(p)
	if w.behind += int64(n); w.behind >= behindStep {
		startWriteback(w.File, w.behind)
		w.behind = 0
	}
	return n, err
}
