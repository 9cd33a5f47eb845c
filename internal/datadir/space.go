package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"
)

// spaceMargin is how many bytes should stay free in addition to all needs.
const spaceMargin = 64 << 20

// pruneKeeps is how many snapshots are kept by the prune that the toolkit proposes.
const pruneKeeps = 1000

// lookSpace checks data-space.
func (l *looker) lookSpace() {
	s := &Space{}
	p := l.view.Place
	file, database := sizeOf(p.Snapshots), treeSize(p.Database)
	prune := file
	if all := l.view.AllSnapshots; all != nil && all.Complete > pruneKeeps {
		prune = file / uint64(all.Complete) * pruneKeeps
	}
	err := s.add(p.Path)
	if err == nil {
		err = s.need(filepath.Dir(p.Snapshots), "a prune", prune)
	}
	if folder := l.backupDir(); err == nil && isFolder(folder) {
		snapshots, archive := l.lastBackups()
		if snapshots == 0 {
			snapshots = file
		}
		if archive == 0 {
			archive = database
		}
		err = s.need(folder, "the next backup", snapshots+archive)
	} else if err == nil {
		// The next backup creates the folder.
		err = s.need(existing(folder), "the next backup", file+database)
	}
	if err != nil {
		l.couldNot(DataSpace, err)
		return
	}
	l.view.Space = s
	l.sayNeeds()
}

// sayNeeds reports data-space.
func (l *looker) sayNeeds() {
	s := l.view.Space
	for _, f := range s.FileSystems {
		switch {
		case f.Free < f.Needed:
			l.wrong(DataSpace, s, "%s free in %s, %s needed", Bytes(f.Free), f.Path, Bytes(f.Needed))
			return
		case f.Lacks():
			l.wrong(DataSpace, s, "%d inodes free in %s, %d needed", f.Inodes, f.Path, minInodes)
			return
		}
	}
	first := s.FileSystems[0]
	l.sound(DataSpace, s, "%s free, %s needed", Bytes(first.Free), Bytes(first.Needed))
}

// Bytes formats a size for people, with one decimal if it is at least 1 GiB.
func Bytes(n uint64) string {
	if n >= humanize.GiByte {
		return fmt.Sprintf("%.1f GiB", float64(n)/humanize.GiByte)
	}
	return humanize.IBytes(n)
}

// add makes sure that the file system of a folder is listed.
func (s *Space) add(folder string) error {
	_, err := s.at(folder)
	return err
}

// need adds what will be written in a folder.
func (s *Space) need(folder, what string, bytes uint64) error {
	f, err := s.at(folder)
	if err != nil {
		return err
	}
	f.Needs = append(f.Needs, Need{what, bytes})
	f.Needed += bytes
	return nil
}

func (s *Space) at(folder string) (*FileSystem, error) {
	var st unix.Stat_t
	if err := unix.Stat(folder, &st); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: folder, Err: err}
	}
	for i := range s.FileSystems {
		if s.FileSystems[i].Device == uint64(st.Dev) {
			return &s.FileSystems[i], nil
		}
	}
	var free unix.Statfs_t
	if err := unix.Statfs(folder, &free); err != nil {
		return nil, &fs.PathError{Op: "statfs", Path: folder, Err: err}
	}
	s.FileSystems = append(s.FileSystems, FileSystem{Path: folder, Device: uint64(st.Dev), Free: free.Bavail * uint64(free.Frsize),
		Inodes: free.Ffree, NoInodes: free.Files == 0, Needed: spaceMargin})
	return &s.FileSystems[len(s.FileSystems)-1], nil
}

// existing returns the path, or the nearest folder above it that exists.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// sizeOf returns the size of a regular file, 0 if there is none.
func sizeOf(path string) uint64 {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return uint64(info.Size())
}

// treeSize returns the size of all regular files below a path, as far as they can be read.
func treeSize(path string) (size uint64) {
	_ = filepath.WalkDir(path, func(_ string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !entry.Type().IsRegular() {
			return nil
		}
		if err != nil {
			return err
		}
		if info, err := entry.Info(); err == nil {
			size += uint64(info.Size())
		}
		return nil
	})
	return size
}
