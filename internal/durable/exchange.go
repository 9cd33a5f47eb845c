package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrNoExchange says that a file system cannot let two names change places in one step.
var ErrNoExchange = errors.New("the file system cannot exchange two names")

// Exchange lets two files or folders of one file system change places, in one step: at no
// moment is either name missing. The error wraps [ErrNoExchange] where the file system has
// no such thing, and [ErrMountPoint] where something is mounted at one of them; nothing is
// changed then.
func Exchange(a, b string) error {
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	switch {
	case err == nil:
		return nil
	case unsupported(err):
		return &os.LinkError{Op: "exchange", Old: a, New: b, Err: fmt.Errorf("%w: %w", ErrNoExchange, err)}
	}
	return renameError(a, b, err)
}

// Link gives a file a second name, which must not exist yet. The error wraps
// [ErrNoExchange] where the file system has no hard links.
func Link(from, to string) error {
	err := os.Link(from, to)
	if noLinks(err) {
		return fmt.Errorf("%w: %w", ErrNoExchange, err)
	}
	return err
}

// Rename gives a file a name, also one that another file has, which loses it.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return renameError(from, to, errors.Unwrap(err))
	}
	return nil
}

// Reserved reports whether what has a name is the empty file or folder that [RenameNew] makes
// for a moment, on a file system that cannot see to it that a name is free: a process was
// killed before something was renamed to it.
func Reserved(path string) bool { return reserved(path, true) || reserved(path, false) }

func reserved(path string, folder bool) bool {
	var stat unix.Stat_t
	if unix.Lstat(path, &stat) != nil || stat.Mode&0o7777 != 0 || int(stat.Uid) != os.Geteuid() {
		return false
	}
	kind := stat.Mode & unix.S_IFMT
	return folder && kind == unix.S_IFDIR || !folder && kind == unix.S_IFREG && stat.Size == 0
}

// CanExchange reports whether the file system of a folder of this user's own can exchange two
// names. It tries.
func CanExchange(folder string) (bool, error) {
	var names [2]string
	for i := range names {
		names[i] = filepath.Join(folder, fmt.Sprint(".ailee-exchange-", i))
		f, err := os.OpenFile(names[i], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return false, err
		}
		if err := f.Close(); err != nil {
			return false, err
		}
	}
	err := Exchange(names[0], names[1])
	can := err == nil
	if errors.Is(err, ErrNoExchange) {
		err = nil
	}
	return can, errors.Join(err, os.Remove(names[0]), os.Remove(names[1]))
}

// KeepTree gives a folder owner, mode, access list and extended attributes of another, and
// each file in it those of the file like, as [KeepAttributes] does: dst comes last. In it are
// regular files only. The error wraps [ErrOwner] or [ErrAttributes] where all else is kept.
func KeepTree(dst, folder, like *os.File) error {
	root, err := rootOf(dst)
	if err != nil {
		return err
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	var lost error
	for _, entry := range entries {
		f, err := root.Open(entry.Name())
		if err != nil {
			return err
		}
		err = KeepAttributes(f, like)
		if errors.Is(err, ErrOwner) || errors.Is(err, ErrAttributes) {
			lost, err = err, nil
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	if err := KeepAttributes(dst, folder); err != nil {
		return err
	}
	return lost
}

// Give gives a folder with all that is in it its owner and the modes: 0750 for folders,
// 0640 for files. The error wraps [ErrOwner] where only owners cannot be given.
func (o Owner) Give(folder *os.File) error { return o.giveAll(folder) }

// GiveFile gives a file its owner and mode 0640.
func (o Owner) GiveFile(f *os.File) error {
	if err := chmod(f, 0o640); err != nil && !errors.Is(err, ErrAttributes) {
		return err
	}
	info, err := f.Stat()
	if err != nil || o.has(info) {
		return err
	}
	return o.lost(f.Chown(o.UID, o.GID))
}
