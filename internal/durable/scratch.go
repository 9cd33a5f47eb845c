package durable

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// Scratch is a temporary folder for data that is not needed after the process has ended.
// It is locked while it is in use. A folder that a killed process left is removed by the
// next process that makes one with the same prefix.
type Scratch struct {
	Path string
	lock *os.File
}

// NewScratch makes a scratch folder in the system's folder for temporary files.
func NewScratch(prefix string) (*Scratch, error) {
	removeAbandoned(prefix)
	for {
		path, err := os.MkdirTemp("", prefix)
		if err != nil {
			return nil, err
		}
		// Another process may take it for abandoned before it is locked.
		lock, err := openFolder(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		taken, err := lockNamed(lock, path)
		if err == nil && taken {
			return &Scratch{Path: path, lock: lock}, nil
		}
		if err := Unlock(lock); err != nil {
			return nil, err
		}
	}
}

// NewScratchBeside makes a scratch folder next to path, so on the same file system, for the run
// that creates path. Its name is .NAME.scratch.ailee-tmp. A folder that a killed run left is
// emptied and taken over. The error wraps [ErrBusy] if another run has it.
func NewScratchBeside(path string) (*Scratch, error) {
	tmp := temporary(filepath.Clean(path) + ".scratch")
	lock, _, err := claimFolder(tmp, 0o700)
	if err != nil {
		return nil, err
	}
	return &Scratch{Path: tmp, lock: lock}, nil
}

func removeAbandoned(prefix string) {
	entries, _ := os.ReadDir(os.TempDir())
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), prefix) {
			continue
		}
		path := filepath.Join(os.TempDir(), entry.Name())
		lock, err := openFolder(path)
		if err != nil {
			continue
		}
		if taken, err := lockNamed(lock, path); err == nil && taken {
			_ = os.RemoveAll(path)
		}
		_ = Unlock(lock)
	}
}

// Remove removes the folder.
func (s *Scratch) Remove() error {
	return errors.Join(os.RemoveAll(s.Path), Unlock(s.lock))
}
