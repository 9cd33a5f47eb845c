package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrNoExchange says that a file system cannot exchange two names in one step.
var ErrNoExchange = errors.New("the file system cannot exchange two names")

// Exchange exchanges the names of two files or folders on one file system, in one step: neither
// name is missing at any moment. The error wraps [ErrNoExchange] if the file system cannot do
// that, and [ErrMountPoint] if one of them is a mount point; then nothing is changed.
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
// [ErrNoExchange] if the file system has no hard links.
func Link(from, to string) error {
	err := os.Link(from, to)
	if noLinks(err) {
		return fmt.Errorf("%w: %w", ErrNoExchange, err)
	}
	return err
}

// Rename renames a file, and replaces a file that has the new name.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return renameError(from, to, errors.Unwrap(err))
	}
	return nil
}

// Reserved reports whether a name belongs to the empty file or folder that [RenameNew] makes for a
// moment, on a file system that cannot ensure that a name is free. It is left if the process was
// killed before the rename.
func Reserved(path string) bool { return reserved(path, true) || reserved(path, false) }

func reserved(path string, folder bool) bool {
	var stat unix.Stat_t
	if unix.Lstat(path, &stat) != nil || stat.Mode&0o7777 != 0 || int(stat.Uid) != os.Geteuid() {
		return false
	}
	kind := stat.Mode & unix.S_IFMT
	return folder && kind == unix.S_IFDIR || !folder && kind == unix.S_IFREG && stat.Size == 0
}

// CanExchange reports whether a file system can exchange two names. It tries, with two files in
// the folder, which must belong to this user.
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

// KeepTree gives the folder dst the owner, mode, access list and extended attributes of folder, and
// each file in dst those of the file like, as [KeepAttributes] does. dst comes last. It may hold
// only regular files. The error wraps [ErrOwner] or [ErrAttributes] if everything else is kept.
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

// Give sets the owner and mode of a folder and everything in it: mode 0750 for folders, 0640 for
// files. The error wraps [ErrOwner] if only owners cannot be set.
func (o Owner) Give(folder *os.File) error { return o.giveAll(folder) }

// GiveFile sets the owner of a file, and mode 0640.
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
