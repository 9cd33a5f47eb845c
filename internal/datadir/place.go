package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/printable"
	"ailee-recovery/snapshot"
)

// databaseName is the name of the database in a data directory.
const databaseName = "reorg_db"

// lookPlace checks data-dir. It also finds out where the parts are.
func (l *looker) lookPlace() {
	given := absolute(l.DataDir)
	path, broken, err := Resolve(given)
	p := &Place{Path: path}
	p.addLink(given, path, broken)
	if err == nil && broken {
		l.wrong(DataDir, p, "%s is a dangling link: %s", given, path)
		return
	}
	var info fs.FileInfo
	if err == nil {
		info, err = os.Stat(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		l.wrong(DataDir, nil, "there is no folder %s", given)
		return
	case err != nil:
		l.couldNot(DataDir, err)
		return
	case !info.IsDir():
		l.wrong(DataDir, nil, "%s is not a folder", given)
		return
	}
	if err := unix.Access(path, unix.R_OK|unix.X_OK); err != nil {
		l.couldNot(DataDir, &fs.PathError{Op: "open", Path: path, Err: err})
		return
	}
	p.ID = idOf(info)
	p.FileSystem = fileSystem(path)
	for _, part := range []struct {
		name string
		path *string
	}{{snapshot.FileName, &p.Snapshots}, {databaseName, &p.Database}} {
		name := filepath.Join(path, part.name)
		leads, broken, err := Resolve(name)
		if err != nil {
			l.couldNot(DataDir, err)
			return
		}
		*part.path = leads
		p.addLink(name, leads, broken)
	}
	l.view.Place = p
	f := l.sound(DataDir, p, "%s, on %s", path, p.FileSystem)
	var links []string
	for _, link := range p.Links {
		links = append(links, fmt.Sprintf("%s is a link to %s", link.Path, link.Target))
	}
	f.Remark = printable.Text(strings.Join(links, "; "))
}

// absolute returns the absolute path, unless it cannot be reached by that name: a process may
// be in a folder whose parents it may not search.
func absolute(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if _, err := os.Stat(abs); errors.Is(err, fs.ErrPermission) {
		return path
	}
	return abs
}

func (p *Place) addLink(name, leads string, broken bool) {
	if name != leads {
		p.Links = append(p.Links, Link{name, leads, broken})
	}
}

// maxLinks is how many links are followed, as in the kernel.
const maxLinks = 40

// Resolve follows all links in a path, the last part of which may be missing. If a link leads
// to something that does not exist, broken is set and resolved is the path that it names.
func Resolve(path string) (resolved string, broken bool, err error) {
	resolved, err = filepath.EvalSymlinks(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return resolved, false, err
	}
	for range maxLinks {
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		broken = true
		if !filepath.IsAbs(target) {
			// The meaning of .. depends on where the folder of the link really is.
			folder, err := filepath.EvalSymlinks(filepath.Dir(path))
			if err != nil {
				return path, broken, err
			}
			target = filepath.Join(folder, target)
		}
		path = target
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return path, broken, nil
	}
	return filepath.Join(dir, filepath.Base(path)), broken, err
}

// idOf returns the identity of a file.
func idOf(info fs.FileInfo) ID {
	st := info.Sys().(*syscall.Stat_t)
	return ID{uint64(st.Dev), st.Ino}
}

// idAt returns the identity of what is at a path. It follows links.
func idAt(path string) (ID, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return ID{}, false
	}
	return idOf(info), true
}

// fileSystems are the names of file system types, by their magic numbers in linux/magic.h.
var fileSystems = map[int64]string{
	unix.EXT4_SUPER_MAGIC:      "ext4",
	unix.XFS_SUPER_MAGIC:       "xfs",
	unix.BTRFS_SUPER_MAGIC:     "btrfs",
	unix.TMPFS_MAGIC:           "tmpfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlay",
	unix.NFS_SUPER_MAGIC:       "nfs",
	unix.FUSE_SUPER_MAGIC:      "fuse",
	unix.V9FS_MAGIC:            "9p",
	unix.F2FS_SUPER_MAGIC:      "f2fs",
	0x2fc12fc1:                 "zfs",
	0xff534d42:                 "cifs",
}

func fileSystem(path string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return "a file system of unknown type"
	}
	if name := fileSystems[int64(st.Type)]; name != "" {
		return name
	}
	return fmt.Sprintf("a file system of type %#x", uint64(st.Type))
}
