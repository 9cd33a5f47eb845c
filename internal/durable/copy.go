// Package durable writes files and folders that are there whole or not at all,
// also after a crash: it copies in the kernel, syncs, and renames into place.
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
var ErrShort = errors.New("the source became shorter while it was copied")

// copyStep is how much is copied between two looks at the context.
const copyStep = 64 << 20

// CopyRange copies n bytes of src from off on to the position of dst, in the
// kernel where the file systems can, and calls progress with what was copied.
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
			// What it says is as often of the call as of the files: some file systems
			// answer EIO, or 0, where they cannot. Reading and writing tell.
			return copyThrough(ctx, dst, src, off, n, progress)
		}
		startWriteback(dst, int64(copied))
		n -= int64(copied)
		progress(int64(copied))
	}
	return nil
}

// startWriteback lets the disk begin with the n bytes before the position of f, so
// that the sync that follows finds less to wait for. Where it cannot, nothing is lost.
func startWriteback(f *os.File, n int64) {
	if end, err := unix.Seek(int(f.Fd()), 0, io.SeekCurrent); err == nil {
		_ = unix.SyncFileRange(int(f.Fd()), end-n, n, unix.SYNC_FILE_RANGE_WRITE)
	}
}

// copyThrough copies through user space, for file systems that cannot otherwise.
func copyThrough(ctx context.Context, dst, src *os.File, off, n int64, progress func(int64)) error {
	buf := make([]byte, 1<<20)
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := buf[:min(n, int64(len(buf)))]
		if _, err := src.ReadAt(part, off); errors.Is(err, io.EOF) {
			return fmt.Errorf("%s at byte %d: %w", src.Name(), off, ErrShort)
		} else if err != nil {
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
