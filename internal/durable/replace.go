package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrBusy says that another run is writing the same file or folder.
var ErrBusy = errors.New("another run is writing it")

// Pending is a file that is being written beside its place. Until Commit the
// place is untouched. Its temporary name, .NAME.ailee-tmp, is locked while it is
// written; one that a killed run left is taken over, and whatever else has that name
// loses it: nothing is written through a link that somebody planted.
type Pending struct {
	*os.File
	place string
}

// Create starts a file that is to be at path, with the given permissions. The
// error wraps [ErrBusy] when another run is at it.
func Create(path string, perm os.FileMode) (*Pending, error) {
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".ailee-tmp")
	for {
		f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, perm)
		if errors.Is(err, unix.ELOOP) {
			err = os.Remove(tmp)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		taken, err := lockNamed(f, tmp)
		if err == nil && taken {
			taken, err = own(f)
			if err == nil && !taken {
				err = os.Remove(tmp)
			}
		}
		if err == nil && taken {
			p := &Pending{File: f, place: path}
			if err = f.Truncate(0); err == nil {
				err = f.Chmod(perm)
			}
			if err != nil {
				p.Abort()
				return nil, err
			}
			return p, nil
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
}

// Lock takes the lock on f by which the tools keep out of each other's way, until
// it is closed. The error wraps [ErrBusy] when another run has it.
func Lock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return fmt.Errorf("%s: %w", f.Name(), ErrBusy)
	case err != nil:
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

// lockNamed locks f, and reports whether name is still f: the run that held the
// lock may have renamed or removed it meanwhile.
func lockNamed(f *os.File, name string) (bool, error) {
	if err := Lock(f); err != nil {
		return false, err
	}
	mine, err := f.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(mine, named), err
}

// own tells whether a file or folder can only be what a run of this user left: a
// folder, or a regular file with no other name. A second name is a file from
// elsewhere, or one that was put in its place by a link and is done.
func own(f *os.File) (bool, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return false, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	kind := stat.Mode & unix.S_IFMT
	return int(stat.Uid) == os.Geteuid() && (kind == unix.S_IFDIR || kind == unix.S_IFREG && stat.Nlink == 1), nil
}

// Commit syncs the file and puts it in its place. Without replace an existing
// file there is an error that wraps [fs.ErrExist].
func (p *Pending) Commit(replace bool) error {
	if err := p.Sync(); err != nil {
		return err
	}
	rename := RenameNew
	if replace {
		rename = os.Rename
	}
	if err := rename(p.Name(), p.place); err != nil {
		return err
	}
	return errors.Join(p.Close(), SyncDir(filepath.Dir(p.place)))
}

// Abort removes the file. It does nothing after Commit.
func (p *Pending) Abort() {
	if mine, err := p.Stat(); err == nil {
		if named, err := os.Lstat(p.Name()); err == nil && os.SameFile(mine, named) {
			_ = os.Remove(p.Name())
		}
		_ = p.Close()
	}
}

// RenameNew renames a file to a name that must not exist yet; otherwise the
// error wraps [fs.ErrExist].
func RenameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		// The file system cannot: a link fails just as well where the name exists.
		if err = os.Link(from, to); err == nil {
			return os.Remove(from)
		}
		return err
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// SyncDir syncs a folder, which makes renames in it durable.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// SyncFS syncs everything written to the file system that f is on: cheaper than
// one sync for each of many files.
func SyncFS(f *os.File) error {
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync the file system of %s: %w", f.Name(), err)
	}
	return nil
}
