package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/printable"
	"ailee-recovery/internal/swap"
)

// lookMount checks data-mount.
func (l *looker) lookMount() {
	p := l.view.Place
	m := &Mounts{}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		l.couldNot(DataMount, err)
		return
	}
	points := mountPoints(string(table))
	paths := []string{p.Path, p.Snapshots, p.Database}
	for _, path := range paths {
		if err := m.add(path, points); err != nil {
			l.couldNot(DataMount, err)
			return
		}
	}
	if err := m.addFiles(p.Database); err != nil {
		l.couldNot(DataMount, err)
		return
	}
	for _, path := range paths[1:] {
		if points[path] {
			m.Found = append(m.Found, Mounted{Path: path, Kind: OwnMount, Point: path})
		}
	}
	if at := swap.MountedAlone(p.Snapshots); at != nil && at.Point != p.Snapshots {
		m.Found = append(m.Found, Mounted{Path: p.Snapshots, Kind: MountedBy, Point: at.Point, PID: at.PID})
	}
	l.view.Mounts = m
	var wrong, remarks []string
	for _, f := range m.Found {
		switch f.Kind {
		case ReadOnly:
			wrong = append(wrong, fmt.Sprintf("%s is on a file system that is mounted read-only, at %s", f.Path, f.Point))
		case OwnMount:
			remarks = append(remarks, fmt.Sprintf("%s is a separate mount", f.Path))
		case MountedBy:
			remarks = append(remarks, fmt.Sprintf("%s is also mounted by itself, at %s", f.Path, f.Point))
		}
	}
	if first, text := m.first(Immutable); first != "" {
		wrong = append(wrong, fmt.Sprintf("%s is immutable (chattr +i)%s", first, text))
	}
	if first, text := m.first(AppendOnly); first != "" {
		remarks = append(remarks, fmt.Sprintf("%s is append-only (chattr +a)%s", first, text))
	}
	if len(wrong) > 0 {
		l.wrong(DataMount, m, "%s", strings.Join(wrong, "; "))
		return
	}
	l.sound(DataMount, m, "a node can write to all of it").Remark = printable.Text(strings.Join(remarks, "; "))
}

// first returns the first path of a kind, and a text that counts the others.
func (m *Mounts) first(kind MountKind) (path, more string) {
	n := 0
	for _, f := range m.Found {
		if f.Kind != kind {
			continue
		}
		if n++; n == 1 {
			path = f.Path
		}
	}
	switch {
	case len(m.Found) >= MaxListed && n > 1:
		more = fmt.Sprintf(", and at least %d more", n-1)
	case n > 1:
		more = fmt.Sprintf(", and %d more", n-1)
	}
	return path, more
}

// mountPoints returns the mount points in a mount table.
func mountPoints(table string) map[string]bool {
	points := map[string]bool{}
	for line := range strings.Lines(table) {
		// 36 35 98:0 /root /mount/point rw …
		if fields := strings.Fields(line); len(fields) > 4 {
			points[durable.Unescape(fields[4])] = true
		}
	}
	return points
}

// pointOf returns the mount point of the mount that a path is on.
func pointOf(path string, points map[string]bool) string {
	for !points[path] && path != filepath.Dir(path) {
		path = filepath.Dir(path)
	}
	return path
}

// add checks a path, if it exists.
func (m *Mounts) add(path string, points map[string]bool) error {
	var st unix.Statfs_t
	switch err := unix.Statfs(path, &st); {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	point := pointOf(path, points)
	if st.Flags&unix.ST_RDONLY != 0 && !m.has(ReadOnly, point) {
		m.Found = append(m.Found, Mounted{Path: path, Kind: ReadOnly, Point: point})
	}
	return m.addFlags(path)
}

func (m *Mounts) has(kind MountKind, point string) bool {
	for _, f := range m.Found {
		if f.Kind == kind && f.Point == point {
			return true
		}
	}
	return false
}

// Flags of a file in FS_IOC_GETFLAGS.
const (
	flagImmutable  = 0x10
	flagAppendOnly = 0x20
)

// addFlags checks the attributes that lsattr shows.
func (m *Mounts) addFlags(path string) error {
	flags, err := fileFlags(path)
	if err != nil {
		return err
	}
	if len(m.Found) >= MaxListed {
		return nil
	}
	if flags&flagImmutable != 0 {
		m.Found = append(m.Found, Mounted{Path: path, Kind: Immutable})
	}
	if flags&flagAppendOnly != 0 {
		m.Found = append(m.Found, Mounted{Path: path, Kind: AppendOnly})
	}
	return nil
}

// fileFlags returns the flags of a regular file or folder, 0 if the file system has none.
func fileFlags(path string) (int, error) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() && !info.IsDir() {
		return 0, err
	}
	// O_NONBLOCK: a pipe that was put there meanwhile must not block.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return 0, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	flags, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	switch {
	case errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
		return 0, nil
	case err != nil:
		return 0, &fs.PathError{Op: "read the attributes of", Path: path, Err: err}
	}
	return flags, nil
}

// addFiles checks the files of the database.
func (m *Mounts) addFiles(database string) error {
	info, err := os.Stat(database)
	if err != nil || !info.IsDir() {
		return nil // that is another fact
	}
	err = eachFile(database, m.addFlags)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a node removes files all the time
	}
	return err
}
