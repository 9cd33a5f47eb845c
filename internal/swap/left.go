package swap

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/durable"
)

// LeftName is a second name that a killed run left, or that a run in progress uses.
type LeftName struct {
	Path string
	// Elsewhere is set if no run can complete it: FILE is missing or has been replaced since, and
	// what belongs in FILE is only in the file with this name.
	Elsewhere bool
	// From is the offset in the file, in bytes, after which its content is still to be brought to
	// FILE. If there is nothing to bring, it is the size of the file.
	From int64
}

// LeftOf returns the second names next to FILE, and what the next run would do with each. It
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

// isElsewhere reports whether [Run.complete] would end in [Run.elsewhere]. now is the inode of
// FILE, 0 if it is missing.
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
