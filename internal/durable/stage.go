package durable

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Staging is a set of files that are being written to a folder. They are in a locked
// staging folder within it, and get their names only when all of them are on disk. A
// staging folder that a killed run left is taken over.
type Staging struct {
	root    *os.Root // of the target folder
	name    string   // of the staging folder
	lock    *os.File
	target  string
	made    []string // folders that were created for it, the deepest last
	resumed bool
	done    bool
}

// Stage starts writing to the folder dir, which is created if it is missing. The error
// wraps [ErrBusy] if another run is writing to it. No symbolic link in dir is followed.
func Stage(dir, name string) (s *Staging, err error) {
	s = &Staging{name: name, target: dir}
	defer func() {
		if err != nil {
			s.Abort()
			s = nil
		}
	}()
	if s.made, err = MakeAll(dir, nil); err != nil {
		return s, err
	}
	if s.root, err = os.OpenRoot(dir); err != nil {
		return s, err
	}
	s.lock, s.resumed, err = claimFolder(filepath.Join(dir, name))
	return s, err
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
	folder, _, err := claimFolder(tmp)
	if err != nil {
		return err
	}
	defer folder.Close()
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

// StagedFile is a file in the staging folder.
type StagedFile struct{ *os.File }

// Create creates a file in the staging folder.
func (s *Staging) Create(name string, perm os.FileMode) (*StagedFile, error) {
	f, err := s.root.OpenFile(filepath.Join(s.name, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
	return &StagedFile{f}, err
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
// already has the right content.
func (s *Staging) Publish(name string, replace bool) error {
	from, to := filepath.Join(s.lock.Name(), name), filepath.Join(s.target, name)
	if replace {
		return s.root.Rename(filepath.Join(s.name, name), name)
	}
	err := RenameNew(from, to)
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

// Commit makes the names durable and removes the staging folder.
func (s *Staging) Commit() error {
	if err := SyncDir(s.target); err != nil {
		return err
	}
	for _, dir := range s.made {
		if err := SyncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	s.done = true
	return errors.Join(s.root.Remove(s.name), s.lock.Close(), s.root.Close())
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
		_ = s.lock.Close()
	}
	if s.root != nil {
		_ = s.root.Close()
	}
	for i := len(s.made) - 1; i >= 0; i-- {
		_ = os.Remove(s.made[i])
	}
}
