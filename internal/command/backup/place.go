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

// maxSeconds is how many taken names are skipped: one for each second.
const maxSeconds = 3600

// publish gives a complete, synced file its name, by calling place to link or rename it. The
// name has the time of the start of the run, or of the next second that is free.
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

// taken reports whether a backup of any form has the time in its name: two backups of the same
// time would differ in form only.
func (r *run) taken(kind backups.Kind, at time.Time) bool {
	for _, form := range backups.FormsOf(kind) {
		_, err := os.Lstat(filepath.Join(r.BackupDir, backups.Name{Kind: kind, Form: form, Time: at}.String()))
		if !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}

// openNamed opens a backup by its name, following no link. Reads come from the disk if the
// kernel drops the file from its page cache.
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

// keepAttributes gives a backup the owner and mode of its source, as far as possible.
func (r *run) keepAttributes(f, source *os.File, name string) error {
	err := durable.KeepAttributes(f, source)
	if errors.Is(err, durable.ErrOwner) || errors.Is(err, durable.ErrAttributes) {
		if r.asRoot { // other users cannot give files away
			r.out.Warn("%s: %s", name, err)
		}
		return nil
	}
	return err
}

// errNoSpace is the error of a full disk.
var errNoSpace = unix.ENOSPC

// mtime returns a file's modification time as the catalogue stores it.
func mtime(info fs.FileInfo) time.Time { return info.ModTime().UTC() }
