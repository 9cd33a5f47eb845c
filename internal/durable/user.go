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
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrUser says that this process, which is root's, cannot become the user in whose
// folder it is to write.
var ErrUser = errors.New("cannot become the user")

// became is the user that this process became, and why.
var became struct{ user, folder string }

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
// The error wraps [ErrUser] where that user cannot be become.
func BecomeUserOf(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	folder, uid, gid, err := firstNotOfRoot(path)
	if err != nil || uid == 0 {
		return err
	}
	if !isMapped(uid) {
		return nil // in a user namespace: this root is another one's user
	}
	gid, groups := groupsOf(uid, gid)
	if err := become(uid, gid, groups); err != nil {
		return fmt.Errorf("%w with id %d, to whom %s belongs: %w", ErrUser, uid, folder, err)
	}
	became.user, became.folder = strconv.Itoa(uid), folder
	if u, err := user.LookupId(became.user); err == nil {
		became.user = u.Username
	}
	// Root may have one that is for root alone.
	if unix.Access(os.TempDir(), unix.W_OK|unix.X_OK) != nil {
		return os.Unsetenv("TMPDIR")
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

// firstNotOfRoot returns the first folder or link on the way to path that does not belong
// to root, with its owner; uid is 0 where all do, or where the path ends before. What is
// looked at is in a folder of root's: nobody else changes it meanwhile.
func firstNotOfRoot(path string) (at string, uid, gid int, err error) {
	if !filepath.IsAbs(path) {
		here, err := os.Getwd()
		if err != nil {
			return "", 0, 0, err
		}
		path = here + "/" + path // not cleaned: what .. is depends on links
	}
	at = "/"
	rest := strings.Split(path, "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		next := filepath.Join(at, name)
		info, err := os.Lstat(next)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			return "", 0, 0, nil // whoever is to open it says so
		}
		if err != nil {
			return "", 0, 0, err
		}
		isLink := info.Mode()&fs.ModeSymlink != 0
		if stat := info.Sys().(*syscall.Stat_t); (isLink || info.IsDir()) && stat.Uid != 0 {
			return next, int(stat.Uid), int(stat.Gid), nil
		}
		if !isLink {
			at = next
			continue
		}
		if links++; links > 40 {
			return "", 0, 0, &fs.PathError{Op: "open", Path: path, Err: unix.ELOOP}
		}
		target, err := os.Readlink(next)
		if err != nil {
			return "", 0, 0, err
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = slices.Concat(strings.Split(target, "/"), rest)
	}
	return "", 0, 0, nil
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

// isMapped tells whether a user is one of this user namespace. In the first one all are;
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

// groupsDenied tells whether nobody in this user namespace may change groups: it then has
// none that its maker had not.
func groupsDenied() bool {
	text, err := os.ReadFile("/proc/self/setgroups")
	return err == nil && strings.TrimSpace(string(text)) == "deny"
}
