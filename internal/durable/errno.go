package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// What a file system says is judged here, and nowhere else: that it has no such thing,
// which leaves another way to do the job, or that the job cannot be done, which leaves
// an error with the reason and a hint.

// ErrMountPoint says that a name is a mount point: nothing can take its place.
var ErrMountPoint = errors.New("it is a mount point, which nothing can take the place of")

// isOneOf reports whether err is one of the errnos.
func isOneOf(err error, errnos ...unix.Errno) bool {
	return slices.ContainsFunc(errnos, func(errno unix.Errno) bool { return errors.Is(err, errno) })
}

// unsupported reports whether a file system has no such call, or not with these flags:
// flags of renameat2 on FUSE, NFS, 9p and older ZFS; fsync of a folder on CIFS and FUSE.
func unsupported(err error) bool {
	return isOneOf(err, unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP, unix.ENOTTY)
}

// noLinks reports whether a file system has no hard links.
func noLinks(err error) bool { return unsupported(err) || isOneOf(err, unix.EPERM, unix.EMLINK) }

// notGiven reports whether an owner, a mode or an attribute cannot be given: not by this
// process (EPERM, EACCES: NFS with root_squash, dropped capabilities), not to a user that
// is not mapped (EINVAL, EOVERFLOW), or not on this file system (ENOTSUP, ENOSYS: FAT).
func notGiven(err error) bool {
	return unsupported(err) || isOneOf(err, unix.EPERM, unix.EACCES, unix.EOVERFLOW)
}

// renameError is the error of a rename that was refused.
func renameError(from, to string, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY) && (isMountPoint(to) || isMountPoint(from)):
		return &fs.PathError{Op: "replace", Path: to, Err: ErrMountPoint}
	case isOneOf(err, unix.ENOTEMPTY, unix.EEXIST):
		return &fs.PathError{Op: "create", Path: to, Err: fs.ErrExist}
	}
	return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
}

// isMountPoint reports whether something is mounted at a name.
func isMountPoint(path string) bool {
	var stat unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, 0, &stat)
	if err == nil && stat.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
	}
	// Before Linux 5.8, what is mounted from the same file system does not show.
	var here, above unix.Stat_t
	return unix.Lstat(path, &here) == nil && unix.Lstat(filepath.Dir(path), &above) == nil && here.Dev != above.Dev
}

// CannotLook reports whether an error says nothing of the data: this process may not look
// at it, or has not what looking takes.
func CannotLook(err error) bool {
	return isOneOf(err, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EACCES, unix.EPERM)
}

// Hint says what to do about an error of the system: it follows from what failed, and
// where. It is "" where there is nothing to say, as for a file that is missing and was to be read.
func Hint(err error) string {
	temporaryFiles := inTemporaryFolder(err)
	switch {
	case errors.Is(err, ErrBusy):
		return "wait until it is done"
	case errors.Is(err, ErrMountPoint):
		return "work beside the mount point and copy the result into it, or mount the folder above it"
	case errors.Is(err, ErrNotRegular):
		return "find out who put it there, and move it away"
	case errors.Is(err, ErrUser):
		return "run it as that user"
	case errors.Is(err, ErrOwner), errors.Is(err, ErrAttributes):
		return "run it as root, on a file system that keeps owners, modes and access lists"
	case temporaryFiles && errors.Is(err, fs.ErrNotExist):
		return "make the folder for temporary files, or name another in TMPDIR"
	case temporaryFiles && isOneOf(err, unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EACCES, unix.EPERM, unix.ENOTDIR):
		return "name another folder for temporary files in TMPDIR"
	case noFolder(err):
		return "make the folder first"
	case isOneOf(err, unix.ENOSPC, unix.EDQUOT):
		return "see how much space is left, with df and quota; then run the command again"
	case errors.Is(err, unix.EROFS):
		return "the file system is mounted read-only: see why, with findmnt and dmesg"
	case errors.Is(err, unix.EMFILE):
		return "raise the limit of open files: ulimit -n 65536, or LimitNOFILE=65536 in the unit of a service"
	case errors.Is(err, unix.ENFILE):
		return "raise the limit of open files of the machine: sysctl fs.file-max"
	case errors.Is(err, unix.EIO):
		return "look for a failing disk, with dmesg"
	case errors.Is(err, fs.ErrPermission):
		return mayNot()
	case unsupported(err):
		return "the file system lacks what this takes: use another, such as ext4 or XFS"
	}
	return ""
}

// mayNot is the hint for what this process may not do.
func mayNot() string {
	switch {
	case became.user != "":
		return fmt.Sprintf("run as root it works as the user %s, to whom %s belongs: give that user what it may not use, with chown, or move it where only root may write",
			became.user, became.folder)
	case os.Geteuid() == 0:
		return "even root may not: look for the attributes of lsattr, a network file system that maps root to nobody, or dropped capabilities"
	}
	return "run it as the owner of the folder, or as root"
}

// noFolder reports whether the folder is missing in which a file or folder was to be made.
func noFolder(err error) bool {
	var failed *fs.PathError
	return errors.Is(err, fs.ErrNotExist) && errors.As(err, &failed) && strings.HasSuffix(failed.Path, temporarySuffix)
}

// inTemporaryFolder reports whether an error is of the folder for temporary files, or of a
// file in it that a tool of ours makes.
func inTemporaryFolder(err error) bool {
	var failed *fs.PathError
	if !errors.As(err, &failed) {
		return false
	}
	temp := filepath.Clean(os.TempDir())
	return failed.Path == temp || filepath.Dir(failed.Path) == temp && strings.HasPrefix(filepath.Base(failed.Path), ".ailee-")
}
