package durable

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Staging is a set of files that are being written to a folder. They get their names only when
// all of them are on disk. If the folder exists, they wait in a locked staging folder within it,
// and are renamed one by one. If it is missing, it is made under another name next to it, and
// renamed as a whole: renaming each file costs as much as making it. A staging folder that a
// killed run left is taken over.
type Staging struct {
	root    *os.Root // of the target folder, or of the one above it
	dir     *os.File // the same folder, opened
	name    string   // of the staging folder in it
	lock    *os.File // the staging folder
	target  string
	fresh   bool     // the staging folder becomes the target folder
	made    []string // folders that were created for it, the deepest last
	resumed bool
	done    bool
}

// Stage starts writing to the folder dir, which is created if it is missing. The error
// wraps [ErrBusy] if another run is writing to it. No symbolic link in dir is followed.
func Stage(dir, name string) (s *Staging, err error) {
	dir = filepath.Clean(dir)
	if isFresh(dir) {
		s, err = (&Staging{name: filepath.Base(temporary(dir)), target: dir, fresh: true}).start(filepath.Dir(dir))
		if !errors.Is(err, unix.ENAMETOOLONG) {
			return s, err
		}
	}
	return (&Staging{name: name, target: dir}).start(dir)
}

// isFresh reports whether a folder will be made as a whole.
func isFresh(dir string) bool {
	_, err := os.Lstat(dir)
	return errors.Is(err, fs.ErrNotExist)
}

// start makes the staging folder in the folder in.
func (s *Staging) start(in string) (_ *Staging, err error) {
	defer func() {
		if err != nil {
			s.Abort()
		}
	}()
	if s.made, err = MakeAll(in, nil); err != nil {
		return nil, err
	}
	if s.root, err = os.OpenRoot(in); err != nil {
		return nil, err
	}
	if s.dir, err = s.root.Open("."); err != nil {
		return nil, err
	}
	path, perm := filepath.Join(in, s.name), fs.FileMode(0o700)
	if s.fresh {
		perm = 0o755
	}
	s.lock, s.resumed, err = claimFolder(path, perm)
	if s.fresh && s.resumed && err == nil {
		// The mode of the folder that was left may differ from that of a new one.
		if err = errors.Join(os.Remove(path), Unlock(s.lock)); err == nil {
			s.lock, _, err = claimFolder(path, perm)
		}
	}
	var failed *fs.PathError
	if s.fresh && errors.As(err, &failed) && failed.Path == path {
		failed.Path = s.target
	}
	if err != nil {
		s.lock = nil
		return nil, err
	}
	return s, nil
}

// MakeAll creates a folder and its missing parents, and returns those that it created,
// the deepest last. A folder gets its name after give has set its owner and mode; if give
// is nil, it belongs to the user who runs the command. A folder that a killed run had not
// named yet is taken over.
func MakeAll(dir string, give func(folder *os.File) error) ([]string, error) {
	dir = filepath.Clean(dir)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	made, err := MakeAll(filepath.Dir(dir), give)
	if err != nil {
		return made, err
	}
	if err := makeFolder(dir, give); err != nil {
		return made, err
	}
	return append(made, dir), nil
}

func makeFolder(dir string, give func(folder *os.File) error) error {
	if give == nil {
		return os.Mkdir(dir, 0o755)
	}
	tmp := temporary(dir)
	folder, _, err := claimFolder(tmp, 0o700)
	if err != nil {
		return err
	}
	defer Unlock(folder)
	if err = give(folder); err == nil {
		err = RenameNew(tmp, dir)
	}
	if err != nil {
		_ = os.Remove(tmp)
	}
	return err
}

// Resumed reports whether an earlier run was killed before it had finished.
func (s *Staging) Resumed() bool { return s.resumed }

// Fresh reports whether the folder was missing, so that no existing file is in the way.
func (s *Staging) Fresh() bool { return s.fresh }

// StagedFile is a file in the staging folder.
type StagedFile struct{ *os.File }

// Create creates a file in the staging folder. name has no folder in it.
func (s *Staging) Create(name string, perm os.FileMode) (*StagedFile, error) {
	fd, err := s.create(name, unix.O_RDWR, perm)
	if err != nil {
		return nil, err
	}
	return &StagedFile{os.NewFile(uintptr(fd), s.path(name))}, nil
}

// create creates a file. It is an error if there is one already.
func (s *Staging) create(name string, flags int, perm os.FileMode) (fd int, err error) {
	err = retry(func() (err error) {
		fd, err = unix.Openat(int(s.lock.Fd()), name, flags|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, uint32(perm.Perm()))
		return err
	})
	if err != nil {
		return -1, &fs.PathError{Op: "openat", Path: s.path(name), Err: err}
	}
	return fd, nil
}

// path is where a staged file is.
func (s *Staging) path(name string) string { return filepath.Join(s.lock.Name(), name) }

// Write creates a file with this content in the staging folder. It is for small files: it takes
// as few system calls as possible, and none that starts writeback. name has no folder in it.
func (s *Staging) Write(name string, perm os.FileMode, content []byte) error {
	fd, err := s.create(name, unix.O_WRONLY, perm)
	if err != nil {
		return err
	}
	for len(content) > 0 && err == nil {
		var n int
		if err = retry(func() (err error) { n, err = unix.Write(fd, content); return err }); err != nil {
			err = &fs.PathError{Op: "write", Path: s.path(name), Err: err}
		}
		content = content[max(0, n):]
	}
	if closeErr := unix.Close(fd); closeErr != nil && !errors.Is(closeErr, unix.EINTR) {
		err = errors.Join(err, &fs.PathError{Op: "close", Path: s.path(name), Err: closeErr})
	}
	return err
}

// retry calls f again as long as a signal interrupts it.
func retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// CheckSize returns an error if the file does not have the given size.
func (f *StagedFile) CheckSize(want int64) error {
	info, err := f.Stat()
	if err == nil && info.Size() != want {
		err = fmt.Errorf("%s has %d bytes instead of %d", f.Name(), info.Size(), want)
	}
	return err
}

// Sync makes all staged files durable.
func (s *Staging) Sync() error { return SyncFS(s.lock) }

// Publish gives a staged file its name in the folder. Without replace, an existing file
// is an error that wraps [fs.ErrExist], unless an earlier run was killed and the file
// already has the right content. A fresh folder gets its name with all files in it, in Commit.
func (s *Staging) Publish(name string, replace bool) error {
	if s.fresh {
		return nil
	}
	from, to := s.path(name), filepath.Join(s.target, name)
	if replace {
		return s.root.Rename(filepath.Join(s.name, name), name)
	}
	err := unix.Renameat2(int(s.lock.Fd()), name, int(s.dir.Fd()), name, unix.RENAME_NOREPLACE)
	if err == nil {
		return nil
	}
	if unsupported(err) {
		err = RenameNew(from, to)
	} else {
		err = renameError(from, to, err)
	}
	if err == nil || !s.resumed || !errors.Is(err, fs.ErrExist) {
		return err
	}
	same, sameErr := s.same(filepath.Join(s.name, name), name)
	if sameErr != nil || !same {
		return errors.Join(err, sameErr)
	}
	return s.root.Remove(filepath.Join(s.name, name))
}

// same reports whether two regular files in the folder have the same bytes.
func (s *Staging) same(a, b string) (bool, error) {
	info, err := s.root.Lstat(b)
	if err != nil || !info.Mode().IsRegular() {
		return false, err
	}
	fa, err := s.root.Open(a)
	if err != nil {
		return false, err
	}
	defer fa.Close()
	fb, err := s.root.Open(b)
	if err != nil {
		return false, err
	}
	defer fb.Close()
	return SameBytes(fa, fb)
}

// SameBytes reports whether two readers have the same bytes.
func SameBytes(a, b io.Reader) (bool, error) {
	bufA, bufB := make([]byte, 256<<10), make([]byte, 256<<10)
	for {
		n, errA := io.ReadFull(a, bufA)
		m, errB := io.ReadFull(b, bufB)
		if n != m || string(bufA[:n]) != string(bufB[:m]) {
			return false, nil
		}
		for _, err := range []error{errA, errB} {
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return false, err
			}
		}
		if errA != nil || errB != nil {
			return (errA != nil) == (errB != nil), nil
		}
	}
}

// SamePrefix returns the length of the common beginning of two readers.
func SamePrefix(a, b io.Reader) (n int64, err error) {
	bufA, bufB := bufio.NewReader(a), bufio.NewReader(b)
	for ; ; n++ {
		x, errA := bufA.ReadByte()
		y, errB := bufB.ReadByte()
		for _, err := range []error{errA, errB} {
			if err != nil && !errors.Is(err, io.EOF) {
				return n, err
			}
		}
		if errA != nil || errB != nil || x != y {
			return n, nil
		}
	}
}

// Commit makes the names durable and removes the staging folder, or gives it its name. If
// something has that name by then, the error wraps [fs.ErrExist].
func (s *Staging) Commit() error {
	folder := s.target
	if s.fresh {
		folder = filepath.Dir(s.target)
		if err := RenameNew(s.lock.Name(), s.target); err != nil {
			return err
		}
	}
	if err := SyncDir(folder); err != nil {
		return err
	}
	for _, dir := range s.made {
		if err := SyncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	s.done = true
	var err error
	if !s.fresh {
		err = s.root.Remove(s.name)
	}
	return errors.Join(err, Unlock(s.lock), s.dir.Close(), s.root.Close())
}

// Abort removes the staging folder with all files that have no name yet, and the folders
// that were created, if they are empty. It does nothing after Commit.
func (s *Staging) Abort() {
	if s.done {
		return
	}
	s.done = true
	if s.lock != nil {
		_ = emptyFolder(s.lock)
		_ = s.root.Remove(s.name)
		_ = Unlock(s.lock)
	}
	if s.dir != nil {
		_ = s.dir.Close()
	}
	if s.root != nil {
		_ = s.root.Close()
	}
	for i := len(s.made) - 1; i >= 0; i-- {
		_ = os.Remove(s.made[i])
	}
}
