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

// A source that did not change since it was backed up is told by device, inode, size and
// times of its files.

// clockStep is more than the steps in which file systems count times: a file that was written
// less than that ago may be written again without a trace.
const clockStep = 2 * time.Second

// lookedAt is a file as it is now.
func lookedAt(name string, info os.FileInfo) backups.Source {
	stat := info.Sys().(*syscall.Stat_t)
	return backups.Source{Name: name, Device: ijson.Number(stat.Dev), Inode: ijson.Number(stat.Ino), Size: info.Size(),
		MTime: info.ModTime().UTC(), CTime: time.Unix(stat.Ctim.Unix()).UTC()}
}

// lookAt is how a source is now; nil where it cannot be told whether it changes.
func lookAt(p *part) []backups.Source {
	if p.kind == backups.Snapshots {
		info, err := os.Stat(p.source)
		if err != nil {
			return nil
		}
		return []backups.Source{lookedAt("", info)}
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
		all = append(all, lookedAt(entry.Name(), info))
	}
	slices.SortFunc(all, func(a, b backups.Source) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// settled reports whether a source would show it if it were written to from now on.
func settled(source []backups.Source, now time.Time) bool {
	return len(source) > 0 && !slices.ContainsFunc(source, func(s backups.Source) bool { return now.Sub(s.MTime) < clockStep })
}

// same reports whether a source is as it was.
func same(a, b []backups.Source) bool {
	return len(a) > 0 && slices.EqualFunc(a, b, func(a, b backups.Source) bool {
		return a.Name == b.Name && a.Device == b.Device && a.Inode == b.Inode && a.Size == b.Size && a.MTime.Equal(b.MTime) && a.CTime.Equal(b.CTime)
	})
}
