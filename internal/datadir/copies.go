package datadir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The names of copies that a restore, a prune and the recovery guide leave next to the data.
var (
	fileCopy     = regexp.MustCompile(`^l2_snapshots\.dat\.(replaced|unfinished|corrupted)_.+$|^l2_snapshots_(old|pruned)\.dat$`)
	databaseCopy = regexp.MustCompile(`^reorg_db\.((replaced|unfinished|corrupted)_.+|corrupted|new|[0-9_]+)$`)
	copyFolder   = regexp.MustCompile(`^recovery_.+$`)
)

// lookCopies checks data-copies, of which it takes only names and sizes. The copies are read
// when a plan may need them, see [Cover].
func (l *looker) lookCopies() {
	found, err := findCopies(l.view.Place)
	if err != nil {
		l.couldNot(DataCopies, err)
		return
	}
	l.view.Copies = found
	if len(found.Found) == 0 {
		l.sound(DataCopies, found, "no earlier states are kept next to the data")
		return
	}
	size := int64(0)
	for _, c := range found.Found {
		size += c.Size
	}
	l.sound(DataCopies, found, "%d earlier states are kept, %s", len(found.Found), Bytes(uint64(size)))
}

func findCopies(p *Place) (*Copies, error) {
	c := &Copies{}
	folders := []string{p.Path, filepath.Dir(p.Snapshots), filepath.Dir(p.Database)}
	slices.Sort(folders)
	for _, folder := range slices.Compact(folders) {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			path := filepath.Join(folder, entry.Name())
			switch name := entry.Name(); {
			case fileCopy.MatchString(name) && entry.Type().IsRegular():
				c.add(path, SnapshotKind)
			case databaseCopy.MatchString(name) && entry.IsDir():
				c.add(path, DatabaseKind)
			case copyFolder.MatchString(name) && entry.IsDir():
				if err := c.addFolder(path); err != nil {
					return nil, err
				}
			}
		}
	}
	return c, nil
}

// addFolder adds the copies in a folder to which an operator moved data.
func (c *Copies) addFolder(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		switch {
		case strings.HasPrefix(name, "l2_snapshots") && entry.Type().IsRegular():
			c.add(filepath.Join(folder, name), SnapshotKind)
		case strings.HasPrefix(name, databaseName) && entry.IsDir():
			c.add(filepath.Join(folder, name), DatabaseKind)
		}
	}
	return nil
}

func (c *Copies) add(path string, kind Kind) {
	size := int64(treeSize(path))
	c.Found = append(c.Found, Copy{Path: path, Kind: kind, Size: size})
}
