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

// Pending is a file that is being written next to its final place, which is untouched
// until Commit. It is locked while it is written under its temporary name,
// .NAME.ailee-tmp. A file that a killed run left there is taken over, and anything else
// with that name is removed: nothing is written through a planted link.
type Pending struct {
	*os.File
	place string
}

// Create starts a file that is to be at path, with the given permissions. The error
// wraps [ErrBusy] if another run is writing it.
func Create(path string, perm os.FileMode) (*Pending, error) {
	tmp := temporary(path)
	open := func(flags int) func() (*os.File, error) {
		return func() (*os.File, error) { return os.OpenFile(tmp, os.O_RDWR|flags, perm) }
	}
	f, _, err := claim(tmp, open(os.O_CREATE|os.O_EXCL), open(unix.O_NOFOLLOW))
	if err != nil {
		return nil, err
	}
	p := &Pending{File: f, place: path}
	err = chmod(f, uint32(perm.Perm()))
	if errors.Is(err, ErrAttributes) {
		err = nil // the file system has one mode for all files
	}
	if err = errors.Join(err, f.Truncate(0)); err != nil {
		p.Abort()
		return nil, err
	}
	return p, nil
}

// TemporaryName returns the name that a [Pending] file for this path has until Commit.
func TemporaryName(path string) string { return temporary(path) }

const temporarySuffix = ".ailee-tmp"

// temporary returns the name under which a file or folder is written.
func temporary(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+temporarySuffix)
}

// claim creates a temporary file or folder, or opens what a killed run left, and locks
// it. A folder is then empty. Anything else with that name is removed, but only once: on
// some file systems files do not belong to the user who creates them, and another user
// may put it there again. resumed reports whether it existed before.
func claim(tmp string, create, open func() (*os.File, error)) (f *os.File, resumed bool, err error) {
	for removed := false; ; {
		f, err = create()
		if resumed = errors.Is(err, fs.ErrExist); resumed {
			f, err = open()
			if errors.Is(err, fs.ErrNotExist) {
				continue // the run that had it is done
			}
		}
		taken, mine := false, false
		switch {
		case resumed && errors.Is(err, unix.ELOOP):
			taken, f, err = true, nil, nil // a link
		case err != nil:
			return nil, false, err
		default:
			if taken, err = lockNamed(f, tmp); taken {
				mine, err = own(f, !resumed)
			}
		}
		if err == nil && mine {
			return f, resumed, nil
		}
		if err == nil && taken {
			if removed {
				err = fmt.Errorf("%s belongs to another user, who keeps creating it", tmp)
			} else {
				removed, err = true, os.Remove(tmp)
			}
		}
		if f != nil {
			err = errors.Join(err, Unlock(f))
		}
		if err != nil {
			return nil, false, err
		}
	}
}

// Lock takes the lock on f with which the tools exclude each other, until [Unlock].
// The error wraps [ErrBusy] if another run has it.
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

// Unlock releases the lock that [Lock] took, if any, and closes f. Closing alone would leave the
// lock to a child that shares f because it has not executed its program yet.
func Unlock(f *os.File) error {
	_ = unix.Flock(int(f.Fd()), unix.LOCK_UN) // closing releases it otherwise
	return f.Close()
}

// lockNamed locks f, and reports whether name still leads to f: the run that held the
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

// own reports whether a file or folder must have been made by this run, or left by a run
// of this user. For a regular file that was just created that is certain. Another one must
// belong to this user and have no other name: it would be a file from elsewhere, or a
// completed one that got its final name with a link. Folders are emptied and must belong
// to this user: their owner could change what is built in them.
func own(f *os.File, made bool) (bool, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return false, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	uid := os.Geteuid()
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return made || int(stat.Uid) == uid && stat.Nlink == 1, nil
	case unix.S_IFDIR:
		if err := emptyFolder(f); err != nil || int(stat.Uid) == uid {
			return err == nil, err
		}
		uid, err := newFileOwner(f)
		if errors.Is(err, fs.ErrPermission) {
			return false, nil
		}
		return err == nil && stat.Uid == uid, err
	}
	return false, nil
}

// newFileOwner returns the owner of new files in a folder. That is not always the user
// who creates them, as on a network file system.
func newFileOwner(folder *os.File) (uid uint32, err error) {
	const name = "owner"
	fd, err := unix.Openat(int(folder.Fd()), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return 0, &fs.PathError{Op: "create", Path: filepath.Join(folder.Name(), name), Err: err}
	}
	var stat unix.Stat_t
	err = errors.Join(unix.Fstat(fd, &stat), unix.Close(fd), unix.Unlinkat(int(folder.Fd()), name, 0))
	return stat.Uid, err
}

// Commit syncs the file and moves it to its place. Without replace, an existing file
// there is an error that wraps [fs.ErrExist]. A device there, such as /dev/null, is
// never replaced: the error wraps [ErrNotRegular].
func (p *Pending) Commit(replace bool) error {
	if info, err := os.Lstat(p.place); replace && err == nil && info.Mode()&fs.ModeDevice != 0 {
		return &fs.PathError{Op: "replace", Path: p.place, Err: ErrNotRegular}
	}
	if err := p.Sync(); err != nil {
		return err
	}
	if replace {
		if err := os.Rename(p.Name(), p.place); err != nil {
			return renameError(p.Name(), p.place, errors.Unwrap(err))
		}
	} else if err := RenameNew(p.Name(), p.place); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(p.place), p.File), Unlock(p.File))
}

// Abort removes the file. It does nothing after Commit.
func (p *Pending) Abort() {
	if mine, err := p.Stat(); err == nil {
		if named, err := os.Lstat(p.Name()); err == nil && os.SameFile(mine, named) {
			_ = os.Remove(p.Name())
		}
		_ = Unlock(p.File)
	}
}

// RenameNew renames a file or folder to a name that must not exist yet; otherwise the error
// wraps [fs.ErrExist]. On a file system that cannot ensure that, a file gets the new name
// as a hard link before it loses the old one, and a folder replaces an empty one that is
// created for it: a plain rename replaces only an empty folder.
func RenameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if unsupported(err) {
		return renameToFree(from, to)
	}
	if err != nil {
		return renameError(from, to, err)
	}
	return nil
}

func renameToFree(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		err := os.Link(from, to)
		if err == nil {
			return os.Remove(from)
		}
		if !noLinks(err) {
			return err
		}
	}
	if err := markPlace(to, info.IsDir()); err != nil {
		return err
	}
	if err := unix.Rename(from, to); err != nil {
		if markPlace(to, info.IsDir()) == nil {
			_ = os.Remove(to)
		}
		return renameError(from, to, err)
	}
	return nil
}

// markPlace reserves a name for a file or folder that is to be renamed to it. Until then
// an empty file or folder that no user may access has the name. One that a killed run left
// is used as well.
func markPlace(path string, folder bool) error {
	var err error
	if folder {
		err = os.Mkdir(path, 0)
	} else {
		var f *os.File
		if f, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0); err == nil {
			return f.Close()
		}
	}
	if errors.Is(err, fs.ErrExist) && reserved(path, folder) {
		return nil
	}
	return err
}

// SyncDir syncs a folder, which makes renames in it durable, if its file system supports
// that.
func SyncDir(dir string) error { return syncDir(dir, nil) }

// syncDir is [SyncDir] for the folder that a file was moved to. If this user may write to
// the folder but not read it, syncDir syncs the whole file system through the file.
func syncDir(dir string, file *os.File) error {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) && file != nil {
		return syncWhole(file)
	}
	if err != nil {
		return err
	}
	if err = f.Sync(); unsupported(err) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// SyncFS syncs everything in a folder. If syncfs reaches the disk, it syncs the whole file
// system, which is cheaper than syncing many files one by one.
func SyncFS(folder *os.File) error {
	err := syncWhole(folder)
	if err != nil || reachesDisk(folder) {
		return err
	}
	root, err := rootOf(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() && !entry.IsDir() {
			return err
		}
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		if err = f.Sync(); entry.IsDir() && unsupported(err) {
			err = nil
		}
		return errors.Join(err, f.Close())
	})
}

func syncWhole(f *os.File) error {
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync the file system of %s: %w", f.Name(), err)
	}
	return nil
}

// reachesDisk reports whether syncfs does all that fsync does. On FUSE and 9p it does not:
// only fsync is passed on to what is behind them.
func reachesDisk(f *os.File) bool {
	var stat unix.Statfs_t
	if unix.Fstatfs(int(f.Fd()), &stat) != nil {
		return false
	}
	switch int64(stat.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.OVERLAYFS_SUPER_MAGIC:
		return true
	}
	return false
}
