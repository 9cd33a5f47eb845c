package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Owner is who new files belong to; the zero Owner is whoever runs the command.
type Owner struct {
	Set      bool
	UID, GID int
}

// ParseOwner reads user:group, names or numbers.
func ParseOwner(text string) (Owner, error) {
	userName, groupName, ok := strings.Cut(text, ":")
	if !ok || userName == "" || groupName == "" {
		return Owner{}, fmt.Errorf("%q is not user:group", text)
	}
	uid, err := strconv.Atoi(userName)
	if err != nil {
		u, err := user.Lookup(userName)
		if err != nil {
			return Owner{}, err
		}
		uid, _ = strconv.Atoi(u.Uid)
	}
	gid, err := strconv.Atoi(groupName)
	if err != nil {
		g, err := user.LookupGroup(groupName)
		if err != nil {
			return Owner{}, err
		}
		gid, _ = strconv.Atoi(g.Gid)
	}
	return Owner{Set: true, UID: uid, GID: gid}, nil
}

// OwnerOf returns the owner of path, or of the folder in which it will be, for a
// command that runs as root and makes files for somebody else. Whoever else runs
// it gets the zero Owner.
func OwnerOf(path string) (Owner, error) {
	if os.Geteuid() != 0 {
		return Owner{}, nil
	}
	for {
		info, err := os.Stat(path)
		if err == nil {
			stat := info.Sys().(*syscall.Stat_t)
			return Owner{Set: true, UID: int(stat.Uid), GID: int(stat.Gid)}, nil
		}
		parent := filepath.Dir(path)
		if parent == path || !errors.Is(err, fs.ErrNotExist) {
			return Owner{}, err
		}
		path = parent
	}
}

// giveAll gives a folder with all that is in it its owner and the modes: 0750 for
// folders, 0640 for files. It follows no link that leads out of the folder, whoever
// puts it there meanwhile. The folder comes last: from then on it is its owner's. The
// error wraps [ErrOwner] where only owners cannot be given.
func (o Owner) giveAll(folder *os.File) error {
	root, err := rootOf(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	var entries []string
	folders := map[string]bool{}
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil {
			entries = append(entries, name)
			folders[name] = entry.IsDir()
		}
		return err
	})
	if err != nil {
		return err
	}
	var lost error
	for _, name := range slices.Backward(entries) {
		mode := fs.FileMode(0o640)
		if folders[name] {
			mode = 0o750
		}
		if err := o.giveOne(root, name, mode); errors.Is(err, ErrOwner) {
			lost = err
		} else if err != nil {
			return err
		}
	}
	return lost
}

func (o Owner) giveOne(root *os.Root, name string, mode fs.FileMode) error {
	// What only root may change is changed before it is another's.
	if err := root.Chmod(name, mode); err != nil && !notGiven(err) {
		return err
	}
	info, err := root.Lstat(name)
	if err != nil || o.has(info) {
		return err
	}
	return o.lost(root.Lchown(name, o.UID, o.GID))
}

// has reports whether nothing is to be given.
func (o Owner) has(info fs.FileInfo) bool {
	stat := info.Sys().(*syscall.Stat_t)
	return !o.Set || int(stat.Uid) == o.UID && int(stat.Gid) == o.GID
}

// lost makes an error of giving the owner one that wraps [ErrOwner].
func (o Owner) lost(err error) error {
	if notGiven(err) {
		return fmt.Errorf("%w (user %d, group %d): %w", ErrOwner, o.UID, o.GID, err)
	}
	return err
}

// GiveFolder gives a folder, without what is in it, its owner and mode 0750.
func (o Owner) GiveFolder(folder *os.File) error {
	if err := chmod(folder, 0o750); err != nil && !errors.Is(err, ErrAttributes) {
		return err
	}
	info, err := folder.Stat()
	if err != nil || o.has(info) {
		return err
	}
	return o.lost(folder.Chown(o.UID, o.GID))
}
