package backup

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/ijson"
)

// A source has not changed since it was backed up if its files still have the same device,
// inode, size and times.

// clockStep is longer than the timestamp granularity of file systems: a file that was written
// less than that ago may be written again without getting another time.
const clockStep = 2 * time.Second

// sourceFile describes a file as it is now.
func sourceFile(name string, info os.FileInfo) backups.Source {
	stat := info.Sys().(*syscall.Stat_t)
	return backups.Source{Name: name, Device: ijson.Number(stat.Dev), Inode: ijson.Number(stat.Ino), Size: info.Size(),
		MTime: info.ModTime().UTC(), CTime: time.Unix(stat.Ctim.Unix()).UTC()}
}

// sourceFiles describes a source as it is now; nil if it cannot be read.
func sourceFiles(p *part) []backups.Source {
	if p.kind == backups.Snapshots {
		info, err := os.Stat(p.source)
		if err != nil {
			return nil
		}
		return []backups.Source{sourceFile("", info)}
	}
	entries, err := os.ReadDir(p.source)
	if err != nil {
		return nil
	}
	var all []backups.Source
	for _, entry := range entries {
		if backups.LeftOut(entry.Name()) {
			continue
		}
		info, err := os.Stat(filepath.Join(p.source, entry.Name()))
		if err != nil {
			return nil
		}
		all = append(all, sourceFile(entry.Name(), info))
	}
	slices.SortFunc(all, func(a, b backups.Source) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// settled reports whether the times of a source would show any later write.
func settled(source []backups.Source, now time.Time) bool {
	return len(source) > 0 && !slices.ContainsFunc(source, func(s backups.Source) bool { return now.Sub(s.MTime) < clockStep })
}

// same reports whether a source is as it was.
func same(a, b []backups.Source) bool {
	return len(a) > 0 && slices.EqualFunc(a, b, func(a, b backups.Source) bool {
		return a.Name == b.Name && a.Device == b.Device && a.Inode == b.Inode && a.Size == b.Size && a.MTime.Equal(b.MTime) && a.CTime.Equal(b.CTime)
	})
}
