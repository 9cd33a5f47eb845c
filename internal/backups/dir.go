package backups

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ailee-recovery/internal/content"
)

// Dir is a backup folder as it was when it was read: the catalogue, compared with the files.
type Dir struct {
	Path string
	// Catalogue has the backups whose files are as it says.
	Catalogue *Catalogue
	// Rebuilt says why the catalogue cannot be used, "" if it can. Otherwise Catalogue is empty.
	Rebuilt string
	// New are backups, by name, that the catalogue does not know, or has another size or time of.
	// Gone are entries whose file is missing or changed and that no run deleted; a renamed backup is
	// in New and in Gone. Unknown are the names of files that are not backups.
	New     []Backup
	Gone    []Backup
	Unknown []string
}

// ReadDir reads the catalogue of a folder and lists its files. It writes nothing, and reads no
// backup: a file with the name, size and time of an entry is taken for that backup. An error is
// a system error: the folder or its catalogue could not be read.
func ReadDir(ctx context.Context, path string) (*Dir, error) {
	d := &Dir{Path: path}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	d.Catalogue, err = readCatalogue(path)
	if errors.Is(err, ErrCatalogue) {
		d.Catalogue, d.Rebuilt = newCatalogue(), strings.TrimPrefix(err.Error(), ErrCatalogue.Error()+": ")
	} else if err != nil {
		return nil, err
	}
	known := map[string]*Backup{}
	for i := range d.Catalogue.Backups {
		b := &d.Catalogue.Backups[i]
		known[b.Name] = b
	}
	there, changed := map[string]bool{}, map[string]bool{}
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		name := entry.Name()
		parsed, ok := ParseName(name)
		switch {
		case isOwn(name):
			continue
		case !ok || !entry.Type().IsRegular():
			d.Unknown = append(d.Unknown, name)
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if b := known[name]; b != nil && b.is(info) {
			there[name] = true
			continue
		}
		changed[name] = true
		d.New = append(d.New, Backup{Name: name, Kind: parsed.Kind, Made: parsed.Time, Size: info.Size(), MTime: info.ModTime().UTC()})
	}
	d.Catalogue.Backups = slices.DeleteFunc(d.Catalogue.Backups, func(b Backup) bool {
		if there[b.Name] {
			return false
		}
		if changed[b.Name] || !slices.Contains(d.Catalogue.Leaving, b.Name) {
			d.Gone = append(d.Gone, b)
		}
		return true
	})
	return d, nil
}

// NoDir returns the Dir of a folder that does not exist yet.
func NoDir(path string) *Dir {
	return &Dir{Path: path, Catalogue: newCatalogue(), Rebuilt: "it is missing"}
}

// SortForPeople sorts backups by the time they were made, the newest first, and those with a date
// in doubt last.
func SortForPeople(all []Backup, now time.Time) {
	slices.SortStableFunc(all, func(a, b Backup) int {
		doubtA, doubtB := content.InDoubt(a.Made, now), content.InDoubt(b.Made, now)
		switch {
		case doubtA && !doubtB:
			return 1
		case doubtB && !doubtA:
			return -1
		}
		return b.Made.Compare(a.Made)
	})
}

// is reports whether a file is as it was when it was last read.
func (b *Backup) is(info fs.FileInfo) bool {
	return info.Size() == b.Size && info.ModTime().Equal(b.MTime)
}

// isOwn reports whether a file belongs to the backup folder without being a backup, by its name.
func isOwn(name string) bool {
	return name == CatalogueName || name == LatestName || strings.HasPrefix(name, recordsPrefix) ||
		strings.HasPrefix(name, ".ailee-") || strings.HasSuffix(name, ".ailee-tmp")
}

// Of returns the backups of a kind, in the catalogue and in New, the newest first. Those in New
// are placed by the time in their names.
func (d *Dir) Of(kind Kind) (all []Backup) {
	for _, b := range d.Catalogue.OfKind(kind) {
		all = append(all, *b)
	}
	// earliest has of each of them the earliest time up to it.
	earliest := make([]time.Time, len(all))
	for i, b := range all {
		if earliest[i] = b.Made; i > 0 && earliest[i-1].Before(b.Made) {
			earliest[i] = earliest[i-1]
		}
	}
	known := all
	for _, b := range d.New {
		if b.Kind != kind {
			continue
		}
		// As [Catalogue.sequenceAt].
		if at, _ := slices.BinarySearchFunc(earliest, b.Made, func(made, at time.Time) int {
			if made.Before(at) {
				return 1
			}
			return -1
		}); at < len(known) {
			b.Sequence = known[at].Sequence
		}
		all = append(all, b)
	}
	slices.SortStableFunc(all, func(a, b Backup) int {
		return cmp.Or(-cmp.Compare(a.Sequence, b.Sequence), -a.Made.Compare(b.Made))
	})
	return all
}

// sequenceAt returns the sequence of the last run before a time, 0 for none.
func (c *Catalogue) sequenceAt(kind Kind, at time.Time) (sequence uint64) {
	for _, b := range c.OfKind(kind) {
		if b.Made.Before(at) {
			return b.Sequence
		}
	}
	return 0
}

// PathOf returns the path of a file in the folder.
func (d *Dir) PathOf(name string) string { return filepath.Join(d.Path, name) }
