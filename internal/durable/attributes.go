package durable

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrOwner says that an owner cannot be kept.
var ErrOwner = errors.New("cannot keep the owner")

// KeepAttributes gives dst the owner, mode and extended attributes of src.
// Attributes that only a privileged user may set are left out; where this user may not
// give the owner, the error wraps [ErrOwner], and the rest is kept.
func KeepAttributes(dst, src *os.File) error {
	from, err := src.Stat()
	if err != nil {
		return err
	}
	to, err := dst.Stat()
	if err != nil {
		return err
	}
	want, have := from.Sys().(*syscall.Stat_t), to.Sys().(*syscall.Stat_t)
	var ownerErr error
	if want.Uid != have.Uid || want.Gid != have.Gid {
		err := dst.Chown(int(want.Uid), int(want.Gid))
		switch {
		case errors.Is(err, unix.EPERM):
			ownerErr = fmt.Errorf("%w (user %d, group %d): %w", ErrOwner, want.Uid, want.Gid, err)
		case err != nil:
			return err
		}
	}
	if err := copyXattrs(dst, src); err != nil {
		return err
	}
	// Last: chown clears the set-id bits, and an ACL the group bits.
	return errors.Join(ownerErr, dst.Chmod(from.Mode()))
}

func copyXattrs(dst, src *os.File) error {
	names, err := xattr(func(buf []byte) (int, error) { return unix.Flistxattr(int(src.Fd()), buf) })
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list the extended attributes of %s: %w", src.Name(), err)
	}
	for name := range bytes.SplitSeq(bytes.TrimSuffix(names, []byte{0}), []byte{0}) {
		if len(name) == 0 {
			continue
		}
		value, err := xattr(func(buf []byte) (int, error) { return unix.Fgetxattr(int(src.Fd()), string(name), buf) })
		if err == nil {
			err = unix.Fsetxattr(int(dst.Fd()), string(name), value, 0)
		}
		if err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) &&
			!errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.ENODATA) {
			return fmt.Errorf("keep the extended attribute %s: %w", name, err)
		}
	}
	return nil
}

// xattr calls get with a buffer that is large enough.
func xattr(get func([]byte) (int, error)) ([]byte, error) {
	for {
		size, err := get(nil)
		if err != nil || size == 0 {
			return nil, err
		}
		buf := make([]byte, size)
		n, err := get(buf)
		if !errors.Is(err, unix.ERANGE) {
			return buf[:max(n, 0)], err
		}
	}
}
