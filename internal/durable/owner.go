package durable

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Owner is who new files belong to; the zero Owner is whoever runs the command.
type Owner struct {
	Set      bool
	UID, GID int
}

// OwnerOf returns the owner of the folder in which path is or will be, for a
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
		if parent := filepath.Dir(path); parent != path && os.IsNotExist(err) {
			path = parent
			continue
		}
		return Owner{}, err
	}
}

// Give gives a file, or a folder with all that is in it, its owner and the modes:
// 0750 for folders, 0640 for files.
func (o Owner) Give(path string) error {
	return filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o640)
		if entry.IsDir() {
			mode = 0o750
		}
		if o.Set {
			if err := os.Lchown(name, o.UID, o.GID); err != nil {
				return err
			}
		}
		return os.Chmod(name, mode)
	})
}
