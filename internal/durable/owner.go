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

// Owner is the owner of new files. The zero Owner is the user who runs the command.
type Owner struct {
	Set      bool
	UID, GID int
}

// ParseOwner parses user:group, names or numbers.
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

// OwnerOf returns the owner of path, or of the folder that it will be in, for a command
// that runs as root and makes files for another user. For any other user it returns the
// zero Owner.
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

// giveAll sets the owner and mode of a folder and everything in it: mode 0750 for
// folders, 0640 for files. It follows no link out of the folder, even if one is put
// there meanwhile. The folder comes last: after that its owner can change it. The error
// wraps [ErrOwner] if only owners cannot be set.
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
	// Set the mode first, while the file still belongs to this process's user.
	if err := root.Chmod(name, mode); err != nil && !notGiven(err) {
		return err
	}
	info, err := root.Lstat(name)
	if err != nil || o.has(info) {
		return err
	}
	return o.lost(root.Lchown(name, o.UID, o.GID))
}

// has reports whether a file already has the owner, or none is to be set.
func (o Owner) has(info fs.FileInfo) bool {
	stat := info.Sys().(*syscall.Stat_t)
	return !o.Set || int(stat.Uid) == o.UID && int(stat.Gid) == o.GID
}

// lost makes an error of setting the owner wrap [ErrOwner], if the owner cannot be set.
func (o Owner) lost(err error) error {
	if notGiven(err) {
		return fmt.Errorf("%w (user %d, group %d): %w", ErrOwner, o.UID, o.GID, err)
	}
	return err
}

// GiveFolder sets the owner of a folder, and mode 0750, but not of what is in it.
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
