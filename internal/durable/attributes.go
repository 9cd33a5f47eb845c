package durable

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

var (
	// ErrOwner says that an owner cannot be kept.
	ErrOwner = errors.New("cannot keep the owner")
	// ErrAttributes says that a mode, an access list or another attribute cannot be kept.
	ErrAttributes = errors.New("cannot keep the attributes")
)

// accessList is the attribute that holds an access list (acl(5)). With an access list, the group
// bits of the mode are not the rights of the group: they are the most that the list can give to
// anybody but the owner.
const accessList = "system.posix_acl_access"

// KeepAttributes gives dst the owner, mode, access list and extended attributes of src. It does
// not touch those that dst already has. At no time can anybody do more with dst than with src: if
// something cannot be kept, rights are reduced. The error wraps [ErrOwner] or [ErrAttributes], or
// both, if everything else is kept. Attributes that only a privileged user may set are left out
// silently.
func KeepAttributes(dst, src *os.File) error {
	var from unix.Stat_t
	if err := unix.Fstat(int(src.Fd()), &from); err != nil {
		return &os.PathError{Op: "stat", Path: src.Name(), Err: err}
	}
	list, err := getXattr(src, accessList)
	if err != nil {
		return err
	}
	sameGroup, lost := keepOwner(dst, &from)
	if lost != nil && !errors.Is(lost, ErrOwner) {
		return lost
	}
	dropped, err := copyXattrs(dst, src)
	if err != nil {
		return err
	}
	if len(dropped) > 0 {
		lost = also(lost, fmt.Errorf("%w %s", ErrAttributes, strings.Join(dropped, ", ")))
	}
	mode := from.Mode & 0o7777
	if errors.Is(lost, ErrOwner) {
		mode &= 0o1777 // with the set-id bits it would run as a different user or group
	}
	if !sameGroup {
		list, mode = nil, mode&^0o077|leastRights(mode, list)
	}
	kept, err := keepList(dst, list)
	switch {
	case err != nil:
		return err
	case !kept:
		lost = also(lost, fmt.Errorf("%w: no access list", ErrAttributes))
		mode = mode&^0o070 | groupRights(mode, list)<<3
	}
	// Last: chown clears the set-id bits.
	if err := chmod(dst, mode); err != nil {
		if !errors.Is(err, ErrAttributes) {
			return err
		}
		lost = also(lost, err)
	}
	return lost
}

// also joins two errors in one line.
func also(a, b error) error {
	if a == nil {
		return b
	}
	return fmt.Errorf("%w; %w", a, b)
}

// keepOwner sets the owner and group of dst. sameGroup reports whether at least the group is right.
func keepOwner(dst *os.File, want *unix.Stat_t) (sameGroup bool, err error) {
	fd := int(dst.Fd())
	var have unix.Stat_t
	if err := unix.Fstat(fd, &have); err != nil {
		return false, &os.PathError{Op: "stat", Path: dst.Name(), Err: err}
	}
	if have.Uid == want.Uid && have.Gid == want.Gid {
		return true, nil
	}
	// Rights of the old group and of others must not pass to the new group.
	if have.Mode&0o6077 != 0 {
		if err := unix.Fchmod(fd, have.Mode&0o700); err != nil && !notGiven(err) {
			return false, &os.PathError{Op: "chmod", Path: dst.Name(), Err: err}
		}
	}
	err = unix.Fchown(fd, int(want.Uid), int(want.Gid))
	if err == nil {
		return true, nil
	}
	if !notGiven(err) {
		return false, &os.PathError{Op: "chown", Path: dst.Name(), Err: err}
	}
	sameGroup = have.Gid == want.Gid || unix.Fchown(fd, -1, int(want.Gid)) == nil
	return sameGroup, fmt.Errorf("%w (user %d, group %d): %w", ErrOwner, want.Uid, want.Gid, err)
}

// chmod sets the mode of a file. The error wraps [ErrAttributes] if the file has another mode
// and it cannot be changed.
func chmod(f *os.File, mode uint32) error {
	fd := int(f.Fd())
	var have unix.Stat_t
	if err := unix.Fstat(fd, &have); err != nil {
		return &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	if have.Mode&0o7777 == mode {
		return nil
	}
	err := unix.Fchmod(fd, mode)
	if notGiven(err) {
		return fmt.Errorf("%w: mode %04o instead of %04o: %w", ErrAttributes, have.Mode&0o7777, mode, err)
	}
	if err != nil {
		return &os.PathError{Op: "chmod", Path: f.Name(), Err: err}
	}
	return nil
}

// keepList gives dst an access list, or removes it if list is nil. kept is false if the list
// cannot be set.
func keepList(dst *os.File, list []byte) (kept bool, err error) {
	have, err := getXattr(dst, accessList)
	if err != nil || bytes.Equal(have, list) {
		return true, err
	}
	if list == nil {
		// dst may have inherited a default access list from its folder.
		err = unix.Fremovexattr(int(dst.Fd()), accessList)
		if errors.Is(err, unix.ENODATA) {
			err = nil
		}
	} else if err = unix.Fsetxattr(int(dst.Fd()), accessList, list, 0); notGiven(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("keep the access list of %s: %w", dst.Name(), err)
	}
	return true, nil
}

// Tags of the entries of an access list.
const (
	ownerEntry = 0x01
	groupEntry = 0x04
	maskEntry  = 0x10
)

// listEntries calls entry for the entries of an access list. The list has 4 bytes of version, and
// for each entry 2 bytes of tag, 2 of rights and 4 of user or group, in little-endian order.
func listEntries(list []byte, entry func(tag uint16, rights uint32)) {
	for at := 4; at+8 <= len(list); at += 8 {
		entry(binary.LittleEndian.Uint16(list[at:]), uint32(binary.LittleEndian.Uint16(list[at+2:]))&7)
	}
}

// groupRights returns the rights of the group of a file, 0 to 7.
func groupRights(mode uint32, list []byte) uint32 {
	rights := mode >> 3 & 7
	listEntries(list, func(tag uint16, r uint32) {
		if tag == groupEntry || tag == maskEntry {
			rights &= r
		}
	})
	return rights
}

// leastRights returns the mode bits for group and others that give nobody more rights than before,
// whatever groups a user is in.
func leastRights(mode uint32, list []byte) uint32 {
	rights := groupRights(mode, list) & mode & 7
	listEntries(list, func(tag uint16, r uint32) {
		if tag != ownerEntry {
			rights &= r
		}
	})
	return rights<<3 | rights
}

// copyXattrs copies all extended attributes except the access list. It returns the names of user
// and system attributes that could not be kept.
func copyXattrs(dst, src *os.File) (dropped []string, err error) {
	names, err := xattr(func(buf []byte) (int, error) { return unix.Flistxattr(int(src.Fd()), buf) })
	if unsupported(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the extended attributes of %s: %w", src.Name(), err)
	}
	for text := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		if text == "" || text == accessList {
			continue
		}
		value, err := getXattr(src, text)
		if err != nil || value == nil {
			continue // it cannot be read, or is gone
		}
		if have, err := getXattr(dst, text); err == nil && have != nil && bytes.Equal(have, value) {
			continue
		}
		err = unix.Fsetxattr(int(dst.Fd()), text, value, 0)
		switch {
		case err == nil:
		case !notGiven(err) && !isOneOf(err, unix.ENOSPC, unix.E2BIG, unix.ERANGE):
			return nil, fmt.Errorf("keep the extended attribute %s: %w", text, err)
		case strings.HasPrefix(text, "user."), strings.HasPrefix(text, "system."):
			dropped = append(dropped, fmt.Sprintf("%q", text))
		}
	}
	return dropped, nil
}

// getXattr returns an attribute, nil if there is none.
func getXattr(f *os.File, name string) ([]byte, error) {
	value, err := xattr(func(buf []byte) (int, error) { return unix.Fgetxattr(int(f.Fd()), name, buf) })
	if errors.Is(err, unix.ENODATA) || unsupported(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the extended attribute %s of %s: %w", name, f.Name(), err)
	}
	return append([]byte{}, value...), nil
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
