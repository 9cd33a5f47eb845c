package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/durable"
)

// maxSeconds is how many names are tried that are taken: a second each.
const maxSeconds = 3600

// publish gives a file that is whole and synced its name, the next that is free from the
// start of the run on, with link or rename.
func (r *run) publish(kind backups.Kind, form backups.Form, place func(path string) error) (name string, err error) {
	for i := range maxSeconds {
		name = backups.Name{Kind: kind, Form: form, Time: r.start.Add(time.Duration(i) * time.Second)}.String()
		if r.taken(kind, r.start.Add(time.Duration(i)*time.Second)) {
			continue
		}
		err := place(filepath.Join(r.BackupDir, name))
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		return name, durable.SyncDir(r.BackupDir)
	}
	return "", fmt.Errorf("%s: all names are taken up to %s: %w", r.BackupDir, name, fs.ErrExist)
}

// taken reports whether a time is in the name of a backup of any form: two of one time would
// be told apart by their form alone.
func (r *run) taken(kind backups.Kind, at time.Time) bool {
	for _, form := range backups.FormsOf(kind) {
		_, err := os.Lstat(filepath.Join(r.BackupDir, backups.Name{Kind: kind, Form: form, Time: at}.String()))
		if !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}

// openNamed opens a backup by its name, and no link. What is read of it comes from the disk
// where the kernel lets go of what it has in memory.
func (r *run) openNamed(name string) (*os.File, error) {
	path := filepath.Join(r.BackupDir, name)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "read back", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	durable.Uncached(f)
	return f, nil
}

// keepAttributes gives a backup the owner and rights of its source, as far as that is possible.
func (r *run) keepAttributes(f, source *os.File, name string) error {
	err := durable.KeepAttributes(f, source)
	if errors.Is(err, durable.ErrOwner) || errors.Is(err, durable.ErrAttributes) {
		if r.asRoot { // for anybody else they are its own
			r.out.Warn("%s: %s", name, err)
		}
		return nil
	}
	return err
}

// errNoSpace is that of a full disk.
var errNoSpace = unix.ENOSPC

// mtime is the time of a file in the folder, as the catalogue has it.
func mtime(info fs.FileInfo) time.Time { return info.ModTime().UTC() }
