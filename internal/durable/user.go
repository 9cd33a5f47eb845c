package durable

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/workers"
)

// ErrUser says that this process, which runs as root, cannot become the user in whose
// folder it is to write.
var ErrUser = errors.New("cannot become the user")

// became is the user that this process became, and the folder that decided it.
var became struct {
	user, folder string
	within       bool // folder is the working directory
}

// Shown returns a path for messages, after BecomeUserOf: a path that leads into the folder that
// became the working directory gets that folder's name in front.
func Shown(path string) string {
	if !became.within || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(became.folder, path)
}

// nobody is the id of a user and a group without any rights.
const nobody = 65534

// BecomeUserOf makes this process, if it runs as root, become the owner of the folder at path, or
// of the folder in which path is to be made, permanently and with all its threads. It must be
// called before anything in the folder is opened. What only root can read must be opened before.
//
// The owner of a folder can put links, pipes and other folders at every name in it, at any time.
// If root worked there by name, it would do that user's bidding; the user itself can do no more
// than it can anyway. So the first folder or link on the path, starting at /, that does not
// belong to root decides: from there on, its owner controls where the path leads. A folder of
// root's counts as root's even if others may write to it.
//
// If the owner cannot reach the folder by name, as with the volume of a container, the folder
// becomes the working directory; path, and those of the other paths that lead into it, are then
// relative to it. The error wraps [ErrUser] if the process cannot become the user.
func BecomeUserOf(path *string, others ...*string) error {
	return Owner{}.BecomeUserOf(path, others...)
}

// BecomeUserOf is like the function of that name. If the user is this owner, it gets this owner's
// group.
func (o Owner) BecomeUserOf(path *string, others ...*string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	folder, err := firstNotOfRoot(*path)
	if err != nil || folder.uid == 0 || !isMapped(folder.uid) {
		return err // not mapped: in a user namespace whose root cannot become that user
	}
	inside := map[*string]string{path: folder.rest}
	for _, other := range others {
		if f, err := firstNotOfRoot(*other); *other != "" && err == nil && f.path == folder.path {
			inside[other] = f.rest
		}
	}
	fd, err := unix.Open(folder.path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: folder.path, Err: err}
	}
	defer unix.Close(fd)
	gid, groups := groupsOf(folder.uid, folder.gid)
	if o.Set && o.UID == folder.uid {
		gid = o.GID
	}
	if err := become(folder.uid, gid, groups); err != nil {
		return fmt.Errorf("%w with id %d, who owns %s: %w", ErrUser, folder.uid, folder.path, err)
	}
	became.user, became.folder = strconv.Itoa(folder.uid), folder.path
	if u, err := user.LookupId(became.user); err == nil {
		became.user = u.Username
	}
	if unix.Access(folder.path, unix.X_OK) != nil && unix.Fchdir(fd) == nil {
		became.within = true
		for path, rest := range inside {
			*path = "./" + rest
		}
	}
	// Root's TMPDIR may be writable for root alone.
	if unix.Access(os.TempDir(), unix.W_OK|unix.X_OK) != nil {
		return os.Unsetenv("TMPDIR")
	}
	return nil
}

// UserOf returns the user that root would become with [BecomeUserOf] for a path, 0 if it would
// stay root.
func UserOf(path string) (uid int, err error) {
	folder, err := firstNotOfRoot(path)
	if err != nil || !isMapped(folder.uid) {
		return 0, err
	}
	return folder.uid, nil
}

// AsUserOf calls write, which writes to the path that it gets, as the user that root would become
// with [BecomeUserOf] for path. This process stays root: AsUserOf is for tools that write to the
// folders of several users. write must not start a goroutine that opens or changes anything. If
// the user cannot reach the folder by name, write gets another path to the same place.
func AsUserOf(path string, write func(path string) error) error {
	if os.Geteuid() != 0 {
		return write(path)
	}
	folder, err := firstNotOfRoot(path)
	if err != nil {
		return err
	}
	if folder.uid == 0 || !isMapped(folder.uid) {
		return write(path)
	}
	fd, err := unix.Open(folder.path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: folder.path, Err: err}
	}
	defer unix.Close(fd)
	gid, groups := groupsOf(folder.uid, folder.gid)
	return <-workers.Start(func() error {
		runtime.LockOSThread() // and never unlocks it: the thread ends with the function
		if err := becomeAlone(folder.uid, gid, groups); err != nil {
			return fmt.Errorf("%w with id %d, who owns %s: %w", ErrUser, folder.uid, folder.path, err)
		}
		if unix.Access(folder.path, unix.X_OK) != nil {
			path = fmt.Sprintf("/proc/self/fd/%d/%s", fd, folder.rest)
		}
		return write(path)
	})
}

// becomeAlone makes only the current thread become another user.
func becomeAlone(uid, gid int, groups []int) error {
	list := make([]uint32, len(groups))
	for i, group := range groups {
		list[i] = uint32(group)
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(list)), uintptr(unsafe.Pointer(unsafe.SliceData(list))), 0)
	if errno != 0 && !groupsDenied() {
		return errno
	}
	if _, _, errno = unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)); errno != 0 {
		return errno
	}
	if _, _, errno = unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
		return errno
	}
	return nil
}

func become(uid, gid int, groups []int) error {
	if err := syscall.Setgroups(groups); err != nil && !groupsDenied() {
		return err
	}
	if err := syscall.Setresgid(gid, gid, gid); err != nil {
		return err
	}
	if err := syscall.Setresuid(uid, uid, uid); err != nil {
		return err
	}
	if syscall.Setuid(0) == nil {
		return errors.New("the kernel lets it become root again")
	}
	return nil
}

// foreign is the first folder or link on a path that does not belong to root.
type foreign struct {
	path, rest string // its own path, and the rest of the path
	uid, gid   int    // its owner; 0 if all belong to root, or the path does not exist
}

// firstNotOfRoot finds the first folder or link on a path that does not belong to root. It looks
// only into folders of root's, in which no other user changes anything meanwhile.
func firstNotOfRoot(path string) (foreign, error) {
	if !filepath.IsAbs(path) {
		here, err := os.Getwd()
		if err != nil {
			return foreign{}, err
		}
		path = here + "/" + path // not cleaned: where .. leads depends on links
	}
	at, rest := "/", strings.Split(path, "/")
	for links := 0; len(rest) > 0; {
		next := filepath.Join(at, rest[0])
		rest = rest[1:]
		info, err := os.Lstat(next)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			return foreign{}, nil // reported when it is opened
		}
		if err != nil {
			return foreign{}, err
		}
		isLink := info.Mode()&fs.ModeSymlink != 0
		if stat := info.Sys().(*syscall.Stat_t); (isLink || info.IsDir()) && stat.Uid != 0 {
			return foreign{next, strings.Join(rest, "/"), int(stat.Uid), int(stat.Gid)}, nil
		}
		if !isLink {
			at = next
			continue
		}
		if links++; links > 40 {
			return foreign{}, &fs.PathError{Op: "open", Path: path, Err: unix.ELOOP}
		}
		target, err := os.Readlink(next)
		if err != nil {
			return foreign{}, err
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = slices.Concat(strings.Split(target, "/"), rest)
	}
	return foreign{}, nil
}

// groupsOf returns the groups of a user, and the one of them for new files: the group of the
// folder, if the user is in it. For a user in no user database it returns the group of the
// folder, unless that is root's.
func groupsOf(uid, folderGID int) (gid int, groups []int) {
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		if folderGID == 0 {
			folderGID = nobody
		}
		return folderGID, []int{folderGID}
	}
	gid, _ = strconv.Atoi(u.Gid)
	groups = []int{gid}
	ids, _ := u.GroupIds()
	for _, text := range ids {
		if id, err := strconv.Atoi(text); err == nil && !slices.Contains(groups, id) {
			groups = append(groups, id)
		}
	}
	if slices.Contains(groups, folderGID) {
		gid = folderGID
	}
	return gid, groups
}

// isMapped reports whether a user is mapped in this user namespace. In the initial namespace all
// users are; in others, users that are not mapped appear as nobody.
func isMapped(uid int) bool {
	f, err := os.Open("/proc/self/uid_map")
	if err != nil {
		return true
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var inside, outside, count int
		if _, err := fmt.Sscan(lines.Text(), &inside, &outside, &count); err != nil {
			continue
		}
		if count == math.MaxUint32 || uid != nobody && uid >= inside && uid-inside < count {
			return true
		}
	}
	return false
}

// groupsDenied reports whether groups cannot be changed in this user namespace. The process then
// has no groups that the creator of the namespace did not have.
func groupsDenied() bool {
	text, err := os.ReadFile("/proc/self/setgroups")
	return err == nil && strings.TrimSpace(string(text)) == "deny"
}
