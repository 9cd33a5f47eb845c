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

// PendingDir is a folder that is being built beside its place. Until Commit the
// place is untouched. Its temporary name, .NAME.ailee-tmp, is locked while it is
// built; one that a killed run left is emptied and taken over.
type PendingDir struct {
	Path  string // of the folder while it is built
	place string
	lock  *os.File
	// ownerLost says that Give could not give an owner, and has said so.
	ownerLost bool
}

// CreateDir starts a folder that is to be at path, which must be missing or an
// empty folder. The error wraps [ErrBusy] when another run is at it,
// [fs.ErrExist] when there is anything at path, and [ErrMountPoint] when something
// is mounted there.
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

// claimFolder makes a temporary folder, or empties what a killed run left,
// and locks it. A link is an error: it leads elsewhere.
func claimFolder(tmp string, perm fs.FileMode) (lock *os.File, resumed bool, err error) {
	open := func() (*os.File, error) { return openFolder(tmp) }
	return claim(tmp, func() (*os.File, error) {
		if err := os.Mkdir(tmp, perm); err != nil {
			return nil, err
		}
		folder, err := open()
		if err != nil {
			err = errors.Join(err, os.Remove(tmp)) // not if it is another's by now, and holds something
		}
		return folder, err
	}, open)
}

// openFolder opens a folder, and nothing that a link leads to.
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

// rootOf opens a folder for what is in it, as long as it has its name. The error
// wraps [ErrBusy] when another one has it.
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

// emptyFolder removes everything in a folder, as long as it has its name.
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

// Empty removes what was built so far.
func (d *PendingDir) Empty() error { return emptyFolder(d.lock) }

// Give gives the folder with all that is in it its owner and the modes: 0750 for
// folders, 0640 for files. The error wraps [ErrOwner] where only the owner cannot be
// given.
func (d *PendingDir) Give(owner Owner) error {
	err := owner.giveAll(d.lock)
	d.ownerLost = errors.Is(err, ErrOwner)
	return err
}

// Commit syncs the folder with all files in it and puts it in its place, with
// mode and owner of the empty folder that it replaces, if there is one. Anything
// that is there by now is an error that wraps [fs.ErrExist].
func (d *PendingDir) Commit() error {
	if err := SyncFS(d.lock); err != nil {
		return err
	}
	if before, err := os.Lstat(d.place); err == nil && before.IsDir() {
		if err := keepFolder(d.lock, before); err != nil && !(d.ownerLost && errors.Is(err, ErrOwner)) {
			return err
		}
		// Replaces an empty folder, and no other. os.Rename refuses every folder.
		if err := unix.Rename(d.Path, d.place); err != nil {
			return renameError(d.Path, d.place, err)
		}
	} else if err := RenameNew(d.Path, d.place); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(d.place), d.lock), d.lock.Close())
}

// keepFolder gives a folder mode and owner of another.
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
	_ = d.lock.Close()
}
