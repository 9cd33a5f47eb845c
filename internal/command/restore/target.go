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

// target is one part of the live data, its source, and the decision.
type target struct {
	kind backups.Kind
	name string // in the data directory
	path string // links resolved
	link bool   // the name is a symbolic link

	named        string     // the source that the user named, "" for none
	file         *os.File   // the named source, opened
	files        []*os.File // or the files in it, if it is a folder
	folderSource bool       // the named source is a folder

	// The live part. state says what a node would make of it.
	state     state    // "" if it could not be checked
	unread    error    // why it could not be checked
	inode     uint64   // 0: there is nothing
	live      *os.File // nil if there is nothing, or not a file or folder as it should be
	snapshots *content.Snapshots
	database  *content.Database

	// The source.
	source     *backups.Examined
	passed     []backups.Passed
	future     []string
	staged     bool     // there may be something in the stage
	stage      *os.File // the replacement that is ready
	noExchange bool     // the file system cannot exchange names
	inJournal  bool     // the next run may need what is in the stage

	compared   bool
	difference difference
	decision   decision
	code       int    // exit status of the decision
	exchanged  bool   // the part was replaced
	alone      string // why it is left alone, if there is no source to compare it with
}

// at returns what a file next to the part is called in messages: its name, or its path if the
// part's name is a link to another folder.
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

// keptPath returns the path under which the replaced data is kept.
func (t *target) keptPath(stamp string) string {
	return filepath.Join(t.folder(), keptName(t.base(), stamp))
}

// noun returns what the backups of the part are backups of, for messages.
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

// look reads the live part. Damage is not an error, nor is a part that cannot be read: see
// unread. The error is the context's.
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

// lookOptions are the options for reading the live part.
type lookOptions struct {
	snapshots content.SnapshotsOptions
	database  content.DatabaseOptions
}

func (t *target) lookSnapshots(ctx context.Context, info fs.FileInfo, o lookOptions) (err error) {
	t.state = nothing
	if !info.Mode().IsRegular() {
		return nil // a node cannot use it
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

// latestAnchor returns the anchor of the snapshot that a node will load after the restore.
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

// close closes everything that belongs to the part, and removes a stage that was not used.
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
