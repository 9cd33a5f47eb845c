package monitor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/content"
	"ailee-recovery/internal/datadir"
	"ailee-recovery/internal/ijson"
)

// entry is a backup, with what was found when ailee-backup or this command last read it.
type entry struct {
	backups.Backup
	id   datadir.ID
	last seen
	// now is set if this run has read it, newest if it was read as the newest of its kind. err is
	// why it could not be read.
	now, newest bool
	err         error
}

func (e *entry) path(dir *backups.Dir) string { return dir.PathOf(e.Name) }

// survey is the backup directory, with what is known of each backup.
type survey struct {
	dir     *backups.Dir
	entries []*entry // of both kinds, the newest first
}

// survey combines what the catalogue and earlier runs know with what this run has read.
func (r *run) survey() *survey {
	if r.view.BackupFolder == nil || r.view.BackupFolder.Dir == nil {
		return nil
	}
	s := &survey{dir: r.view.BackupFolder.Dir}
	for _, kind := range backups.Kinds {
		for _, b := range s.dir.Of(kind) {
			e := &entry{Backup: b, last: seen{Size: b.Size, MTime: b.MTime, At: b.Verified.At, Verdict: b.Verified.Verdict, Why: b.Verified.Why}}
			if info, err := os.Lstat(e.path(s.dir)); err == nil {
				e.id = idOf(info)
				e.last.Inode = ijson.Number(e.id.Inode)
			}
			before, ok := r.before.Backups[b.Name]
			if ok && before.Inode == e.last.Inode && before.Size == b.Size && before.MTime.Equal(b.MTime) && before.At.After(e.last.At) {
				e.last = before
			}
			s.entries = append(s.entries, e)
		}
	}
	if n := r.view.NewestBackups; n != nil {
		for _, source := range []*datadir.Source{n.Snapshots, n.Database} {
			switch {
			case source == nil:
			case source.Changed:
				s.note(filepath.Base(source.Path), r.now, backups.Wrong, "it is not what was backed up", true)
			default:
				s.note(filepath.Base(source.Path), r.now, backups.Sound, "", true)
			}
		}
		for _, source := range n.Wrong {
			s.note(filepath.Base(source.Path), r.now, backups.Wrong, source.Why, true)
		}
	}
	return s
}

func idOf(info fs.FileInfo) datadir.ID {
	st := info.Sys().(*syscall.Stat_t)
	return datadir.ID{Device: uint64(st.Dev), Inode: st.Ino}
}

// note records the result of reading a backup now, for all names of the same file.
func (s *survey) note(name string, at time.Time, verdict backups.State, why string, newest bool) {
	i := slices.IndexFunc(s.entries, func(e *entry) bool { return e.Name == name })
	if i < 0 {
		return
	}
	id := s.entries[i].id
	for _, e := range s.entries {
		if e.Name == name || e.id == id && id != (datadir.ID{}) {
			e.last.At, e.last.Verdict, e.last.Why, e.now = at, verdict, why, true
			e.newest = e.newest || newest && e.Name == name
		}
	}
}

// inTurn returns the least recently read backup, nil if there is none. Backups that were never
// read come first.
func (s *survey) inTurn() (next *entry) {
	for _, e := range s.entries {
		if !e.now && (next == nil || e.last.At.Before(next.last.At) || e.last.At.Equal(next.last.At) && e.Made.Before(next.Made)) {
			next = e
		}
	}
	return next
}

// readOne reads the backup whose turn it is. An error is that of the context.
func (r *run) readOne(ctx context.Context) error {
	s := r.backups
	if s == nil {
		return nil
	}
	e := s.inTurn()
	if named := slices.IndexFunc(s.entries, func(e *entry) bool { return e.Name == r.before.Next && !e.now }); named >= 0 {
		e = s.entries[named]
	}
	if e == nil {
		return nil
	}
	read, err := backups.Examine(ctx, e.path(s.dir), e.Kind, backups.ExamineOptions{Now: r.now, Memory: r.memory})
	if err != nil {
		return err
	}
	defer read.Close()
	if errors.Is(read.Err, fs.ErrNotExist) && !exists(e.path(s.dir)) {
		// ailee-backup has deleted it meanwhile.
		s.entries = slices.DeleteFunc(s.entries, func(other *entry) bool { return other == e })
		return nil
	}
	b := e.Backup
	b.Verify(read, r.now)
	e.err = read.Err
	s.note(e.Name, r.now, b.Verified.Verdict, b.Verified.Why, false)
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// ofKind returns the backups of a kind.
func (s *survey) ofKind(kind backups.Kind) (list []*entry) {
	for _, e := range s.entries {
		if e.Kind == kind {
			list = append(list, e)
		}
	}
	return list
}

// newestSound returns the newest backup of a kind that was sound when it was last read and
// whose date is not in doubt, nil if there is none.
func (s *survey) newestSound(kind backups.Kind, now time.Time) (newest *entry) {
	for _, e := range s.ofKind(kind) {
		if e.last.Verdict == backups.Sound && !content.InDoubt(e.Made, now) && (newest == nil || e.Made.After(newest.Made)) {
			newest = e
		}
	}
	return newest
}

// count counts the backups of a kind by their last verdict, and those that are held.
func (s *survey) count(kind backups.Kind) (sound, wrong, unread, held int) {
	lines := s.dir.Catalogue.Held(kind)
	for _, e := range s.ofKind(kind) {
		switch e.last.Verdict {
		case backups.Sound:
			sound++
		case backups.Wrong:
			wrong++
		default:
			unread++
		}
		if e.Line > 0 && lines[e.Line] {
			held++
		}
	}
	return sound, wrong, unread, held
}

// gone returns the names of missing backups that no run has deleted. A file that was replaced
// by another is not missing: it is read like any other.
func (s *survey) gone() (names []string) {
	for _, b := range s.dir.Gone {
		if !slices.ContainsFunc(s.entries, func(e *entry) bool { return e.Name == b.Name }) {
			names = append(names, b.Name)
		}
	}
	return names
}
