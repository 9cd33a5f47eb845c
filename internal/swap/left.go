package swap

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/durable"
)

// LeftName is a second name that a run left, or that one that is at it has.
type LeftName struct {
	Path string
	// Elsewhere is set where no run completes it: FILE is missing or was replaced since, and
	// what belongs in it is only in the file of this name.
	Elsewhere bool
	// From is where what the file has begins that is brought to FILE, in bytes: its size where
	// that is nothing.
	From int64
}

// LeftOf returns the second names beside FILE, and what the next run makes of each. It
// only reads.
func LeftOf(path string) (names []LeftName, err error) {
	paths, err := Left(path)
	if err != nil || len(paths) == 0 {
		return nil, err
	}
	var file unix.Stat_t
	if err := unix.Stat(path, &file); err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	for _, name := range paths {
		n, _ := parse(filepath.Base(path), filepath.Base(name))
		var st unix.Stat_t
		switch err := unix.Lstat(name, &st); {
		case errors.Is(err, unix.ENOENT):
			continue // its run is done
		case err != nil:
			return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
		case st.Mode&unix.S_IFMT != unix.S_IFREG:
			return nil, planted(name)
		}
		n.leads = st.Ino
		elsewhere, err := n.isElsewhere(path, name, file.Ino)
		if err != nil {
			return nil, err
		}
		from := st.Size
		if n.earlier && n.leads != file.Ino || !n.earlier && n.leads == n.src {
			from = min(n.from, st.Size)
		}
		names = append(names, LeftName{name, elsewhere, from})
	}
	return names, nil
}

// isElsewhere reports whether [Run.complete] would end in [Run.elsewhere]; FILE is the inode
// now, 0 where there is none.
func (n *second) isElsewhere(path, name string, now uint64) (bool, error) {
	switch {
	case n.earlier && n.leads == now, n.kind == oldKind && !n.earlier && n.leads == n.dst:
		return false, nil
	case n.kind == oldKind && !n.earlier && n.leads != n.src && n.dst == now,
		n.kind == backKind && n.leads == n.dst && n.src == now:
		return false, nil
	case !n.earlier && n.leads != n.src, now == 0:
		return true, nil
	}
	src, err := durable.OpenRegular(name, os.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer src.Close()
	if size, err := sizeOf(src); err != nil || size == n.from {
		return false, err // nothing is lost with it
	}
	current, err := durable.OpenRegular(path, os.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer current.Close()
	if n.earlier {
		known, err := goesOn(current, src, n)
		return !known, err
	}
	if same, err := sameBefore(src, n.from, n.gs); err != nil || !same {
		return false, err // it was copied over, and is put back
	}
	same, err := sameBefore(current, n.at, n.gd)
	return !same, err
}
