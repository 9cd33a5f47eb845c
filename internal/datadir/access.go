package datadir

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os/user"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// account is a user with all of its groups.
type account struct {
	uid, gid int
	groups   []int
}

func accountOf(uid, gid int) account {
	a := account{uid: uid, gid: gid, groups: []int{gid}}
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return a
	}
	ids, _ := u.GroupIds()
	for _, text := range ids {
		if id, err := strconv.Atoi(text); err == nil && !slices.Contains(a.groups, id) {
			a.groups = append(a.groups, id)
		}
	}
	return a
}

// nameOf returns user:group, each by name if it has one.
func nameOf(uid, gid int) string {
	name, group := strconv.Itoa(uid), strconv.Itoa(gid)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	if g, err := user.LookupGroupId(group); err == nil {
		group = g.Name
	}
	return name + ":" + group
}

// accessList is the extended attribute that holds an access control list: 4 bytes of version,
// then for each entry 2 bytes of tag, 2 of rights and 4 of user or group, in little-endian
// order.
const accessList = "system.posix_acl_access"

// The tags of entries in an access control list.
const (
	aclOwner      = 0x01
	aclUser       = 0x02
	aclOwnerGroup = 0x04
	aclGroup      = 0x08
	aclMask       = 0x10
	aclOther      = 0x20
)

type aclEntry struct {
	tag    uint16
	rights uint32
	id     int
}

// accessOf reads the access control list of a file, or makes the one equivalent to its mode.
func accessOf(path string, st *syscall.Stat_t) ([]aclEntry, error) {
	buf := make([]byte, 4096)
	n, err := unix.Getxattr(path, accessList, buf)
	switch {
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
		return []aclEntry{{aclOwner, st.Mode >> 6 & 7, 0}, {aclOwnerGroup, st.Mode >> 3 & 7, 0}, {aclOther, st.Mode & 7, 0}}, nil
	case err != nil:
		return nil, &fs.PathError{Op: "read the access list of", Path: path, Err: err}
	}
	var list []aclEntry
	for at := 4; at+8 <= n; at += 8 {
		list = append(list, aclEntry{binary.LittleEndian.Uint16(buf[at:]), uint32(binary.LittleEndian.Uint16(buf[at+2:])) & 7, int(binary.LittleEndian.Uint32(buf[at+4:]))})
	}
	return list, nil
}

// may reports whether the account has all of the rights (4 read, 2 write, 1 search), by the
// kernel's rules in acl(5).
func (a account) may(st *syscall.Stat_t, list []aclEntry, rights uint32) bool {
	if a.uid == 0 {
		return true
	}
	mask := uint32(7)
	for _, e := range list {
		if e.tag == aclMask {
			mask = e.rights
		}
	}
	for _, e := range list {
		switch {
		case e.tag == aclOwner && int(st.Uid) == a.uid:
			return e.rights&rights == rights
		case e.tag == aclUser && e.id == a.uid:
			return e.rights&mask&rights == rights
		}
	}
	inGroup := false
	for _, e := range list {
		member := e.tag == aclOwnerGroup && slices.Contains(a.groups, int(st.Gid)) || e.tag == aclGroup && slices.Contains(a.groups, e.id)
		if !member {
			continue
		}
		if e.rights&mask&rights == rights {
			return true
		}
		inGroup = true
	}
	if inGroup {
		return false
	}
	for _, e := range list {
		if e.tag == aclOther {
			return e.rights&rights == rights
		}
	}
	return false
}

// shown formats owner and mode as operators know them.
func shown(uid, gid int, mode uint32) string {
	return fmt.Sprintf("%s %04o", nameOf(uid, gid), mode)
}
