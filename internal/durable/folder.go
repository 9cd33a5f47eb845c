package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// PendingDir is a folder that is being built next to its final place, which is untouched
// until Commit. It is locked while it is built under its temporary name,
// .NAME.ailee-tmp. A folder that a killed run left there is emptied and taken over.
type PendingDir struct {
	Path  string // of the folder while it is built
	place string
	lock  *os.File
	// ownerLost is set if Give could not set the owner, and returned that error.
	ownerLost bool
}

// CreateDir starts a folder that is to be at path, which must be missing or an empty
// folder. The error wraps [ErrBusy] if another run is building it, [fs.ErrExist] if
// there is anything else at path, and [ErrMountPoint] if path is a mount point.
func CreateDir(path string) (*PendingDir, error) {
	path = filepath.Clean(path)
	if err := emptyOrMissing(path); err != nil {
		return nil, err
	}
	if isMountPoint(path) {
		return nil, &fs.PathError{Op: "replace", Path: path, Err: ErrMountPoint}
	}
	tmp := temporary(path)
	lock, _, err := claimFolder(tmp, 0o700)
	if err != nil {
		return nil, err
	}
	return &PendingDir{Path: tmp, place: path, lock: lock}, nil
}

// claimFolder makes a temporary folder, or empties what a killed run left, and locks it.
// It does not follow a link.
func claimFolder(tmp string, perm fs.FileMode) (lock *os.File, resumed bool, err error) {
	open := func() (*os.File, error) { return openFolder(tmp) }
	return claim(tmp, func() (*os.File, error) {
		if err := os.Mkdir(tmp, perm); err != nil {
			return nil, err
		}
		folder, err := open()
		if err != nil {
			err = errors.Join(err, os.Remove(tmp)) // fails if it now belongs to another run and is not empty
		}
		return folder, err
	}, open)
}

// openFolder opens a folder without following a link.
func openFolder(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

func emptyOrMissing(path string) error {
	names, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(names) > 0:
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	return nil
}

// rootOf opens a folder by its name, for access to what is in it. The error wraps
// [ErrBusy] if another folder has the name now.
func rootOf(folder *os.File) (*os.Root, error) {
	root, err := os.OpenRoot(folder.Name())
	if err != nil {
		return nil, err
	}
	mine, err := folder.Stat()
	if err == nil {
		var named fs.FileInfo
		if named, err = root.Stat("."); err == nil && !os.SameFile(mine, named) {
			err = fmt.Errorf("%s: %w", folder.Name(), ErrBusy)
		}
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// emptyFolder removes everything in a folder, if it still has its name.
func emptyFolder(folder *os.File) error {
	root, err := rootOf(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	for _, name := range names {
		err = errors.Join(err, root.RemoveAll(name))
	}
	return err
}

// Empty removes what has been built so far.
func (d *PendingDir) Empty() error { return emptyFolder(d.lock) }

// Give sets the owner and mode of the folder and everything in it: mode 0750 for
// folders, 0640 for files. The error wraps [ErrOwner] if only owners cannot be set.
func (d *PendingDir) Give(owner Owner) error {
	err := owner.giveAll(d.lock)
	d.ownerLost = errors.Is(err, ErrOwner)
	return err
}

// Commit syncs the folder with all files in it and moves it to its place. If it replaces
// an empty folder, it gets the mode and owner of that. If there is anything else by now,
// the error wraps [fs.ErrExist].
func (d *PendingDir) Commit() error {
	if err := SyncFS(d.lock); err != nil {
		return err
	}
	if before, err := os.Lstat(d.place); err == nil && before.IsDir() {
		if err := keepFolder(d.lock, before); err != nil && !(d.ownerLost && errors.Is(err, ErrOwner)) {
			return err
		}
		// This replaces only an empty folder. os.Rename refuses to replace any folder.
		if err := unix.Rename(d.Path, d.place); err != nil {
			return renameError(d.Path, d.place, err)
		}
	} else if err := RenameNew(d.Path, d.place); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(d.place), d.lock), Unlock(d.lock))
}

// keepFolder gives a folder the mode and owner of another.
func keepFolder(dst *os.File, src fs.FileInfo) error {
	stat := src.Sys().(*syscall.Stat_t)
	_, err := keepOwner(dst, &unix.Stat_t{Uid: stat.Uid, Gid: stat.Gid})
	if err != nil && !errors.Is(err, ErrOwner) {
		return err
	}
	if err := chmod(dst, stat.Mode&0o7777); err != nil && !errors.Is(err, ErrAttributes) {
		return err
	}
	return err
}

// Abort removes the folder. It does nothing after Commit.
func (d *PendingDir) Abort() {
	mine, err := d.lock.Stat()
	if err != nil {
		return
	}
	if named, err := os.Lstat(d.Path); err == nil && os.SameFile(mine, named) {
		_ = os.RemoveAll(d.Path)
	}
	_ = Unlock(d.lock)
}
