package restore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/content"
	"ailee-recovery/internal/datadir"
	"ailee-recovery/internal/durable"
	"ailee-recovery/reorgdb"
)

// databaseName is the name of the database in a data directory.
const databaseName = "reorg_db"

// target is one part of the live data, and what becomes of it.
type target struct {
	kind backups.Kind
	name string // in the data directory
	path string // links followed
	link bool   // the name is a link

	named        string     // the source that somebody chose, "" for none
	file         *os.File   // it, opened
	files        []*os.File // or the files in it
	folderSource bool       // it is a folder

	// What is there: state says what a node would make of it.
	state     state    // "" where it could not be looked at
	unread    error    // why it could not
	inode     uint64   // 0: nothing
	live      *os.File // nil for nothing, or what is neither a file nor a folder as it should be
	snapshots *content.Snapshots
	database  *content.Database

	// The source.
	source     *backups.Examined
	passed     []backups.Passed
	future     []string
	staged     bool     // it is made ready beside the part
	stage      *os.File // what is ready
	noExchange bool     // its file system cannot exchange names
	inJournal  bool     // the next run needs what is in the stage

	compared   bool
	difference difference
	decision   decision
	code       int    // exit status of the decision
	exchanged  bool   // it was replaced
	alone      string // why it is left alone, where there is no source to compare it with
}

// at is what a path beside the part is called in messages: its name, or for one that is
// elsewhere, since the part's name is a link, the path.
func (t *target) at(name string) string {
	if t.link {
		return terminal.Text(filepath.Join(filepath.Dir(t.path), name))
	}
	return terminal.Text(name)
}

func (t *target) base() string      { return filepath.Base(t.path) }
func (t *target) folder() string    { return filepath.Dir(t.path) }
func (t *target) isDatabase() bool  { return t.kind == backups.Database }
func (t *target) stagePath() string { return filepath.Join(t.folder(), stageName(t.base())) }

// keptPath is where what was replaced is kept.
func (t *target) keptPath(stamp string) string {
	return filepath.Join(t.folder(), keptName(t.base(), stamp))
}

// noun is what is restored, in the plural of its backups.
func (t *target) noun() string {
	if t.isDatabase() {
		return "database"
	}
	return "snapshots"
}

// resolve finds out where the part is.
func (t *target) resolve(dataDir string) (broken bool, err error) {
	name := filepath.Join(dataDir, t.name)
	t.path, broken, err = datadir.Resolve(name)
	t.link = err == nil && t.path != name && isLink(name)
	return broken, err
}

func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// look reads what is there. What is wrong with it is no error, nor what could not be
// looked at: see unread. The error is the context's.
func (t *target) look(ctx context.Context, o lookOptions) error {
	info, err := os.Lstat(t.path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		t.state = nothing
		return nil
	case err != nil:
		t.unread = err
		return nil
	}
	t.inode = info.Sys().(*syscall.Stat_t).Ino
	if t.isDatabase() {
		err = t.lookDatabase(ctx, info, o)
	} else {
		err = t.lookSnapshots(ctx, info, o)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if t.unread = err; err != nil {
		t.state = ""
	}
	return nil
}

// lookOptions are for reading what a part, or a source, holds.
type lookOptions struct {
	snapshots content.SnapshotsOptions
	database  content.DatabaseOptions
}

func (t *target) lookSnapshots(ctx context.Context, info fs.FileInfo, o lookOptions) (err error) {
	t.state = nothing
	if !info.Mode().IsRegular() {
		return nil // a node can do nothing with it
	}
	if t.live, err = durable.OpenRegular(t.path, os.O_RDONLY); err != nil {
		return err
	}
	if info, err = t.live.Stat(); err != nil {
		return err
	}
	t.inode = info.Sys().(*syscall.Stat_t).Ino
	if t.snapshots, err = content.ReadSnapshots(ctx, t.live, info.Size(), o.snapshots); err != nil {
		return err
	}
	switch s := t.snapshots; {
	case s.Sound():
		t.state = sound
	case s.Valid > 0 || s.HiddenCount > 0:
		t.state = wrong
	}
	return nil
}

func (t *target) lookDatabase(ctx context.Context, info fs.FileInfo, o lookOptions) (err error) {
	t.state = nothing
	if !info.IsDir() {
		return nil
	}
	if t.live, err = openFolder(t.path); err != nil {
		return err
	}
	t.database, err = content.ReadDatabase(ctx, t.path, o.database)
	if errors.Is(err, reorgdb.ErrNoDatabase) {
		return nil
	}
	if err != nil {
		return err
	}
	switch d := t.database; {
	case d.Sound():
		t.state = sound
	case d.Records > 0:
		t.state = wrong
	}
	return nil
}

// latestAnchor is the anchor of the snapshot that a node will load when all is done.
func (t *target) latestAnchor() string {
	of := t.snapshots
	if t.decision == replaced && t.source != nil {
		of = t.source.Snapshots
	}
	if of == nil || of.Latest == nil {
		return ""
	}
	return of.Latest.Anchor
}

// close lets go of what was read of it, and removes what was made ready and not used.
func (t *target) close() {
	for _, f := range append(t.files, t.file) {
		if f != nil {
			_ = f.Close()
		}
	}
	if t.live != nil {
		_ = t.live.Close()
	}
	if t.snapshots != nil {
		_ = t.snapshots.Close()
	}
	if t.database != nil {
		_ = t.database.Close()
	}
	if t.source != nil {
		_ = t.source.Close()
	}
	if t.stage != nil {
		_ = t.stage.Close()
	}
	if t.staged && !t.inJournal && !t.exchanged {
		_ = os.RemoveAll(t.stagePath())
	}
}
