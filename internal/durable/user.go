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

// ErrUser says that this process, which is root's, cannot become the user in whose
// folder it is to write.
var ErrUser = errors.New("cannot become the user")

// became is the user that this process became, and why.
var became struct {
	user, folder string
	within       bool // folder is the working directory
}

// Shown is what a path is called in messages, after BecomeUserOf: one that leads into the
// folder that became the working directory has the name that it was given by.
func Shown(path string) string {
	if !became.within || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(became.folder, path)
}

// nobody is a user, and a group, without any rights.
const nobody = 65534

// BecomeUserOf makes this process, when it is root's, the user to whom the folder belongs
// that is at path or that path is to be made in, for good and with all its threads. It is
// called before anything in the folder is opened; what only root can read is opened before.
//
// Whoever a folder belongs to can put links, pipes and other folders at every name in it,
// at any time. Root that works there by name would do that user's bidding; the user
// itself can do no more than it can anyway. So the first folder, or link, on the way
// from / that is not root's decides: from there on, its user says where the path leads.
// Folders of root's that others may write to count as root's.
//
// A folder that its user cannot reach by name, as the volume of a container, becomes the
// working directory; path, and those of the other paths that lead into it, then begin
// there. The error wraps [ErrUser] where the user cannot be become.
func BecomeUserOf(path *string, others ...*string) error {
	return Owner{}.BecomeUserOf(path, others...)
}

// BecomeUserOf is the function of that name; the user, where it is this owner, gets the
// owner's group.
func (o Owner) BecomeUserOf(path *string, others ...*string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	folder, err := firstNotOfRoot(*path)
	if err != nil || folder.uid == 0 || !isMapped(folder.uid) {
		return err // not mapped: in a user namespace, whose root is another one's user
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
		return fmt.Errorf("%w with id %d, to whom %s belongs: %w", ErrUser, folder.uid, folder.path, err)
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
	// Root may have one that is for root alone.
	if unix.Access(os.TempDir(), unix.W_OK|unix.X_OK) != nil {
		return os.Unsetenv("TMPDIR")
	}
	return nil
}

// UserOf returns the user that [BecomeUserOf] makes of root for a path; 0 where it stays root.
func UserOf(path string) (uid int, err error) {
	folder, err := firstNotOfRoot(path)
	if err != nil || !isMapped(folder.uid) {
		return 0, err
	}
	return folder.uid, nil
}

// AsUserOf calls write, which writes at the path that it is given, as the user that
// [BecomeUserOf] makes of root at path. This process stays root: it is for what may write in
// the folders of several users. write starts no goroutine that opens or changes anything. It
// is given another path of the same folder where its user cannot reach that by name.
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
			return fmt.Errorf("%w with id %d, to whom %s belongs: %w", ErrUser, folder.uid, folder.path, err)
		}
		if unix.Access(folder.path, unix.X_OK) != nil {
			path = fmt.Sprintf("/proc/self/fd/%d/%s", fd, folder.rest)
		}
		return write(path)
	})
}

// becomeAlone makes the thread that it runs on another user, and no other thread.
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

// foreign is the first folder or link on the way of a path that does not belong to root.
type foreign struct {
	path, rest string // of itself, and from there on
	uid, gid   int    // 0 where all belong to root, or where the path ends before
}

// firstNotOfRoot looks at folders of root's only, in which nobody else changes anything
// meanwhile.
func firstNotOfRoot(path string) (foreign, error) {
	if !filepath.IsAbs(path) {
		here, err := os.Getwd()
		if err != nil {
			return foreign{}, err
		}
		path = here + "/" + path // not cleaned: what .. is depends on links
	}
	at, rest := "/", strings.Split(path, "/")
	for links := 0; len(rest) > 0; {
		next := filepath.Join(at, rest[0])
		rest = rest[1:]
		info, err := os.Lstat(next)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			return foreign{}, nil // whoever is to open it says so
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

// groupsOf returns the groups that a user has, and the one of them for new files: that of
// the folder, where the user is in it. Of a user that no list has it is believed, but for
// root's.
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

// isMapped reports whether a user is one of this user namespace. In the first one all are;
// in others, whoever is not is shown as nobody.
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

// groupsDenied reports whether nobody in this user namespace may change groups: it then has
// none that its maker had not.
func groupsDenied() bool {
	text, err := os.ReadFile("/proc/self/setgroups")
	return err == nil && strings.TrimSpace(string(text)) == "deny"
}
