package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A dry run fails where the run itself would. These checks leave nothing behind, however the
// process ends, and are possible while another run is active. They do not check for space: on
// file systems that share blocks or compress, the need is not known in advance.

// CouldCreate returns the error that [Create] and [Pending.Commit] would return.
func CouldCreate(path string, replace bool) error {
	err := CouldWriteIn(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "open", Path: temporary(path), Err: unix.ENOENT}
	}
	if err == nil {
		err = free(temporary(path))
	}
	if err != nil {
		return err
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !replace:
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	case info.Mode()&fs.ModeDevice != 0:
		return &fs.PathError{Op: "replace", Path: path, Err: ErrNotRegular}
	case info.IsDir():
		return &fs.PathError{Op: "replace", Path: path, Err: unix.EISDIR}
	}
	return nil
}

// CouldStage returns the error that [Stage] would return. resumed reports whether an earlier run
// was killed there.
func CouldStage(dir, name string) (resumed bool, err error) {
	there, err := nearest(dir)
	if err != nil {
		return false, err
	}
	if err := CouldWriteIn(there); err != nil {
		return false, err
	}
	staging := filepath.Join(dir, name)
	if isFresh(dir) {
		staging = temporary(dir)
	}
	if err := free(staging); err != nil {
		return false, err
	}
	_, err = os.Lstat(staging)
	return err == nil, nil
}

// Missing returns an error that wraps [fs.ErrExist] if there is anything at path.
func Missing(path string) error {
	_, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil:
		err = fs.ErrExist
	}
	return &fs.PathError{Op: "create", Path: path, Err: err}
}

// CouldWriteIn returns the error that creating a file in a folder would return.
func CouldWriteIn(dir string) error {
	if info, err := os.Stat(dir); err != nil {
		return err
	} else if !info.IsDir() {
		return &fs.PathError{Op: "open", Path: dir, Err: unix.ENOTDIR}
	}
	f, err := Unnamed(filepath.Join(dir, "x"))
	if err != nil {
		return err
	}
	return f.Close()
}

// nearest returns the folder, or its nearest parent that exists.
func nearest(dir string) (string, error) {
	for dir = filepath.Clean(dir); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			return dir, err
		}
	}
}

// free returns an error that wraps [ErrBusy] if another run has a temporary file or folder. One
// that cannot be opened does not belong to a run of this user: the run itself will remove it, or
// be refused.
func free(tmp string) error {
	f, err := os.OpenFile(tmp, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer Unlock(f)
	return Lock(f)
}
