package datadir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/content"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/printable"
	"ailee-recovery/internal/swap"
)

// JournalName is the name of a restore's journal in the data directory.
const JournalName = ".ailee-restore.json"

// temporary are patterns of the names that runs give to unfinished files. Most are locked by
// their run. What a killed run left is removed or taken over by the next run of the same
// command.
var temporary = []string{".*.ailee-tmp", ".ailee-restore.tmp", ".*.ailee-restore.tmp", ".ailee-backup.tmp", ".ailee-unnamed-*", "*.ailee-tmp"}

// lookLeftovers checks data-leftovers.
func (l *looker) lookLeftovers(ctx context.Context) error {
	found := &Leftovers{}
	if err := l.findLeftovers(ctx, found); err != nil {
		return l.unless(ctx, DataLeftovers, err)
	}
	l.view.Leftovers = found
	var wrong, remarks []string
	for _, f := range found.Found {
		switch f.Kind {
		case PruneLeft:
			wrong = append(wrong, "a prune was killed and must be completed")
		case PruneForeign:
			wrong = append(wrong, "a prune was killed, and the file has been replaced since")
		case RestoreLeft:
			wrong = append(wrong, "a restore was interrupted and must be completed")
		case Temporary:
			remarks = append(remarks, filepath.Base(f.Path))
		}
	}
	if len(wrong) > 0 {
		l.wrong(DataLeftovers, found, "%s", strings.Join(wrong, "; "))
		return nil
	}
	f := l.sound(DataLeftovers, found, "no run was interrupted")
	if len(remarks) > 0 {
		f.Remark = printable.Text(fmt.Sprintf("the next run removes %s", strings.Join(remarks, ", ")))
	}
	return nil
}

func (l *looker) findLeftovers(ctx context.Context, found *Leftovers) error {
	p := l.view.Place
	seconds, err := swap.LeftOf(p.Snapshots)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, second := range seconds {
		kind := PruneLeft
		if second.Elsewhere {
			kind = PruneForeign
		}
		if err := found.add(second.Path, kind); err != nil {
			return err
		}
		if n := len(found.Found); n > 0 && found.Found[n-1].Path == second.Path {
			if err := l.readCarried(ctx, &found.Found[n-1], second.From); err != nil {
				return err
			}
		}
	}
	if err := found.add(filepath.Join(p.Path, JournalName), RestoreLeft); err != nil {
		return err
	}
	folders := []string{p.Path, filepath.Dir(p.Snapshots), filepath.Dir(p.Database), l.backupDir()}
	slices.Sort(folders)
	for _, folder := range slices.Compact(folders) {
		entries, err := os.ReadDir(folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if !matches(entry.Name(), temporary) {
				continue
			}
			if err := found.add(filepath.Join(folder, entry.Name()), Temporary); err != nil {
				return err
			}
		}
	}
	return nil
}

// readCarried counts the snapshots that no node sees in what completing a prune carries over:
// everything in the leftover file starting at an offset.
func (l *looker) readCarried(ctx context.Context, left *Leftover, from int64) error {
	f, err := durable.OpenRegular(left.Path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	size := max(left.Size-from, 0)
	all, err := content.ReadSnapshots(ctx, io.NewSectionReader(f, from, size), size, content.SnapshotsOptions{Now: l.now, Memory: l.Memory})
	if err != nil {
		return err
	}
	left.Hidden, left.Invalid, left.LatestInvalid = all.HiddenCount, all.HiddenBad, all.Latest != nil && !all.LatestValid()
	return all.Close()
}

func matches(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		match, _ := filepath.Match(pattern, name)
		return match
	})
}

// add adds what is at a path, unless a run is working on it: such a run has locked the folder,
// or what it is making.
func (f *Leftovers) add(path string, kind LeftoverKind) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, locked := range []string{path, filepath.Dir(path)} {
		held, err := isLocked(locked)
		if err != nil {
			return err
		}
		if held {
			return nil
		}
	}
	size := info.Size()
	if info.IsDir() {
		size = int64(treeSize(path))
	}
	f.Found = append(f.Found, Leftover{Path: path, Kind: kind, Size: size, Made: info.ModTime().UTC().Truncate(time.Second), Snapshots: -1,
		Shared: info.Mode().IsRegular() && linksOf(info) > 1})
	return nil
}

// isLocked reports whether a process has locked a file or folder with flock. Anything else,
// and a path where nothing is, has no lock.
func isLocked(path string) (bool, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || !info.Mode().IsRegular() && !info.IsDir() {
		return false, err
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	err = unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	if err != nil {
		return false, &fs.PathError{Op: "lock", Path: path, Err: err}
	}
	return false, nil
}
