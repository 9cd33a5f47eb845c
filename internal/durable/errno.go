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

	"ailee-recovery/internal/exit"
)

// Errors of file systems are interpreted here, and nowhere else: either the file system does not
// support a call, and there is another way to do the job, or the job cannot be done, and the
// error needs a reason and a hint.

// ErrMountPoint says that a name is a mount point: it cannot be replaced.
var ErrMountPoint = errors.New("it is a mount point, which cannot be replaced")

// isOneOf reports whether err is one of the errnos.
func isOneOf(err error, errnos ...unix.Errno) bool {
	return slices.ContainsFunc(errnos, func(errno unix.Errno) bool { return errors.Is(err, errno) })
}

// unsupported reports whether a file system does not support a call, or its flags: flags of
// renameat2 on FUSE, NFS, 9p and older ZFS; fsync of a folder on CIFS and FUSE.
func unsupported(err error) bool {
	return isOneOf(err, unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP, unix.ENOTTY)
}

// noLinks reports whether a file system has no hard links.
func noLinks(err error) bool { return unsupported(err) || isOneOf(err, unix.EPERM, unix.EMLINK) }

// notGiven reports whether an owner, a mode or an attribute cannot be set: not by this process
// (EPERM, EACCES: NFS with root_squash, dropped capabilities), not for a user that is not
// mapped (EINVAL, EOVERFLOW), or not on this file system (ENOTSUP, ENOSYS: FAT).
func notGiven(err error) bool {
	return unsupported(err) || isOneOf(err, unix.EPERM, unix.EACCES, unix.EOVERFLOW)
}

// renameError returns the error for a rename that failed.
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
	// Before Linux 5.8, a bind mount from the same file system is not recognized.
	var here, above unix.Stat_t
	return unix.Lstat(path, &here) == nil && unix.Lstat(filepath.Dir(path), &above) == nil && here.Dev != above.Dev
}

// CannotLook reports whether an error says nothing about the data: this process may not read it,
// or lacks the resources to read it.
func CannotLook(err error) bool {
	return isOneOf(err, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EACCES, unix.EPERM)
}

// Hint says what to do about a system error, depending on what failed and where. It is "" if
// there is nothing to say, as for a missing file that was to be read.
func Hint(err error) string {
	temporaryFiles := inTemporaryFolder(err)
	switch {
	case errors.Is(err, ErrBusy):
		return "wait until it is done"
	case errors.Is(err, ErrMountPoint):
		return "write next to the mount point and copy the result into it, or mount its parent folder instead"
	case errors.Is(err, ErrNotRegular):
		return "this must be a regular file or folder: see what it is with ls -l, and move it away"
	case errors.Is(err, ErrUser):
		return "run it as that user"
	case errors.Is(err, ErrOwner), errors.Is(err, ErrAttributes):
		return "run it as root, on a file system that supports owners, modes and access lists"
	case temporaryFiles && errors.Is(err, fs.ErrNotExist): // the folder for temporary files is missing
		return fmt.Sprintf("the folder for temporary files, %s, is missing: make it, or name another: export TMPDIR=/var/tmp", os.TempDir())
	case temporaryFiles && isOneOf(err, unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EACCES, unix.EPERM, unix.ENOTDIR): // the folder for temporary files is full, or cannot be written to
		return fmt.Sprintf("temporary files cannot be written to %s: name another folder: export TMPDIR=DIR", os.TempDir())
	case noFolder(err): // the folder in which something is to be made is missing
		return "make the folder first: " + exit.Command("mkdir", "-p", filepath.Dir(pathOf(err)))
	case isOneOf(err, unix.ENOSPC, unix.EDQUOT):
		return "free some space, then run the command again; see what is left: " + exit.Command("df", "-h", folderOf(err))
	case errors.Is(err, unix.EROFS):
		return readOnlyHint(err)
	case errors.Is(err, unix.EMFILE):
		return "raise the limit on open files: ulimit -n 65536, or LimitNOFILE=65536 in the unit of a service"
	case errors.Is(err, unix.ENFILE):
		return "raise the system-wide limit on open files: sysctl -w fs.file-max=1000000"
	case errors.Is(err, unix.EIO):
		return "the disk may be failing: check the kernel log: dmesg --level=err"
	case errors.Is(err, fs.ErrPermission):
		return mayNotHint(err)
	case unsupported(err): // invalid argument; function not implemented; operation not supported
		return "the file system does not support this: use another, such as ext4 or XFS"
	}
	return ""
}

// noFolder reports whether the folder in which a file or folder was to be made is missing.
func noFolder(err error) bool {
	var failed *fs.PathError
	return errors.Is(err, fs.ErrNotExist) && errors.As(err, &failed) && strings.HasSuffix(failed.Path, temporarySuffix)
}

// inTemporaryFolder reports whether an error concerns the folder for temporary files, or a file
// in it that one of the tools makes.
func inTemporaryFolder(err error) bool {
	var failed *fs.PathError
	if !errors.As(err, &failed) {
		return false
	}
	temp := filepath.Clean(os.TempDir())
	return failed.Path == temp || filepath.Dir(failed.Path) == temp && strings.HasPrefix(filepath.Base(failed.Path), ".ailee-")
}
