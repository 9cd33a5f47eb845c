package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/child"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/content"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/prunenote"
	"ailee-recovery/snapshot"
)

// Run backs up, lists or verifies. The error carries the exit code.
func Run(ctx context.Context, o Options, out *cli.IO) (err error) {
	r := &run{Options: o, out: out, start: out.Now().UTC().Truncate(time.Second), memory: snapshot.NewMemory(0), asRoot: os.Geteuid() == 0,
		parts: map[backups.Kind]*part{}}
	defer func() { err = errors.Join(err, r.close()) }()
	switch o.What {
	case list:
		return r.list(ctx)
	case verify:
		return r.verify(ctx)
	}
	return r.backUp(ctx)
}

// run is one run.
type run struct {
	Options
	out    *cli.IO
	start  time.Time // UTC, whole seconds: in the names of the backups
	memory *snapshot.Memory
	asRoot bool // started as root

	dir     *backups.Dir
	lock    *os.File // the backup folder, locked
	scratch string   // this run's folder for temporary files, in the backup folder
	notes   []prunenote.Note
	parts   map[backups.Kind]*part
	latest  string   // name of the backup that backups.LatestName is a copy of
	deleted []string // paths

	code     int
	accepted []string // messages about losses that were given up
	errors   []cli.ErrorDocument
	closers  []func() error
	anyLoss  bool // this run found a new loss, or gave one up
	prepared *prepared
}

// part is the backup of one kind in this run, and its outcome.
type part struct {
	kind   backups.Kind
	source string // path, links resolved
	began  time.Time

	file    *os.File // the snapshot file, opened when the run began
	openErr error

	backup    *backups.Backup // nil if none was made
	snapshots *content.Snapshots
	database  *content.Database
	plain     *os.File  // uncompressed copy of the snapshot file, for a new backup
	linked    bool      // the source has not changed: the backup is a hard link
	since     time.Time // when the linked data was copied
	took      time.Duration
	deleted   int
	code      int
	message   string // the first error
}

// close ends the run: it removes the temporary files and unlocks the backup folder.
func (r *run) close() error {
	err := r.tidy()
	if r.lock != nil {
		err = errors.Join(err, durable.Unlock(r.lock))
		r.lock = nil
	}
	return err
}

// tidy closes and removes what the run needed for its work.
func (r *run) tidy() error {
	var err error
	for _, closer := range slices.Backward(r.closers) {
		err = errors.Join(err, closer())
	}
	r.closers = nil
	return err
}

func (r *run) later(closer func() error) { r.closers = append(r.closers, closer) }

// problem reports an error of a part, or of the run if p is nil. The run goes on.
func (r *run) problem(p *part, code int, hint string, format string, args ...any) {
	r.out.Error(format, args...)
	if hint != "" {
		r.out.Hint("%s", hint)
	}
	text := fmt.Sprintf(format, args...)
	r.errors = append(r.errors, cli.NewErrorDocument(text, hint))
	r.code = max(r.code, code)
	if p != nil {
		if p.code = max(p.code, code); p.message == "" {
			p.message = text
		}
	}
}

// backUp does a complete backup run.
func (r *run) backUp(ctx context.Context) error {
	err := r.begin(ctx)
	if err == nil {
		err = r.parted(ctx)
	}
	// Close first, so that its errors are in the report.
	if err = errors.Join(err, r.close()); err != nil {
		return r.explain(err)
	}
	return r.report()
}

// parted backs up each kind, and then does what concerns them all.
func (r *run) parted(ctx context.Context) error {
	for _, kind := range r.Kinds {
		p := r.parts[kind]
		p.began = time.Now()
		if err := r.backUpOne(ctx, p); err != nil {
			return err
		}
		p.took = time.Since(p.began)
	}
	for _, kind := range r.Kinds {
		r.judge(r.parts[kind])
	}
	if err := r.updateLatest(ctx); err != nil {
		return err
	}
	if err := r.rotate(); err != nil {
		return err
	}
	// The --exec command must not find temporary files in the folder.
	if err := r.tidy(); err != nil {
		return err
	}
	return r.execute(ctx)
}

// begin opens the sources, locks the backup folder, and brings the catalogue up to date.
func (r *run) begin(ctx context.Context) error {
	info, err := os.Stat(r.DataDir)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: r.DataDir, Err: fs.ErrInvalid}
	}
	if err != nil {
		return exit.Failf("name the data directory of the node with --data-dir", "%s is not a directory", r.DataDir)
	}
	for _, kind := range r.Kinds {
		r.parts[kind] = &part{kind: kind, source: resolved(filepath.Join(r.DataDir, kind.Source()))}
	}
	// Open now what only root can read: takeFolder gives up root.
	if err := r.openSources(ctx); err != nil {
		return err
	}
	if err := r.takeFolder(); err != nil {
		return err
	}
	if r.dir, err = backups.ReadDir(ctx, r.BackupDir); errors.Is(err, fs.ErrNotExist) && r.DryRun {
		r.dir, err = backups.NoDir(r.BackupDir), nil
	}
	if err != nil {
		return err
	}
	if !r.DryRun {
		if err := r.makeScratch(); err != nil {
			return err
		}
		if err := r.mend(ctx); err != nil {
			return err
		}
	}
	found := r.dir.New
	if err := r.dir.Reconcile(ctx, r.holding()); err != nil {
		return err
	}
	for _, b := range found {
		r.warnUnlessSound(r.dir.Catalogue.Find(b.Name))
	}
	for _, gone := range r.dir.Gone {
		r.out.Warn("%s is gone, but no run deleted it", filepath.Join(r.BackupDir, gone.Name))
	}
	r.dir.Catalogue.Sequence++
	return nil
}

// warnUnlessSound reports a backup that is new or was changed, and is of no use as it is.
func (r *run) warnUnlessSound(b *backups.Backup) {
	path := filepath.Join(r.BackupDir, b.Name)
	switch b.Verified.Verdict {
	case backups.Wrong:
		r.out.Warn("%s is wrong: %s", path, b.Verified.Why)
	case backups.CouldNot:
		r.out.Warn("%s could not be read: %s", path, b.Verified.Why)
	}
}

// resolved returns a path with its links resolved, or unchanged if it does not exist.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// holding returns the options for comparing backups.
func (r *run) holding() backups.Holding {
	h := backups.Holding{ExamineOptions: backups.ExamineOptions{Now: r.start, Memory: r.memory, Scratch: r.scratch}, Notes: r.notes, DryRun: r.DryRun}
	h.Warn = r.out.Warn
	return h
}

// openSources opens the snapshot file, reads the notes on its prunes, and copies the
// database if root has to. A source that cannot be opened is reported later.
func (r *run) openSources(ctx context.Context) error {
	if p := r.parts[backups.Snapshots]; p != nil {
		var err error
		if r.notes, err = prunenote.Read(p.source); err != nil {
			r.out.Warn("%s: %v", p.source, err)
		}
		r.prepare(p)
	}
	return r.copyBeforehand(ctx)
}

// takeFolder creates the backup folder if it is missing, becomes its owner, and locks it. A
// dry run only checks that it could.
func (r *run) takeFolder() error {
	if err := r.makeFolder(); err != nil {
		return exit.Fail(folderHint(err), fmt.Errorf("cannot make %s: %w", r.BackupDir, err))
	}
	if _, err := os.Stat(r.BackupDir); r.DryRun && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	others := []*string{&r.DataDir}
	for _, p := range r.parts {
		others = append(others, &p.source)
	}
	if err := durable.BecomeUserOf(&r.BackupDir, others...); err != nil {
		return err
	}
	folder, err := os.Open(r.BackupDir)
	if err != nil {
		return err
	}
	r.lock = folder
	if err := durable.Lock(folder); errors.Is(err, durable.ErrBusy) {
		return exit.Failf("wait until it is done", "another ailee-backup or ailee-restore is at work in %s", durable.Shown(r.BackupDir))
	} else if err != nil {
		return err
	}
	if r.DryRun {
		// A dry run does not block other runs.
		r.lock = nil
		if err := errors.Join(durable.Unlock(folder), durable.CouldWriteIn(r.BackupDir)); err != nil {
			return exit.Fail(durable.Hint(err), err)
		}
	}
	return nil
}

var errNoParent = errors.New("its parent folder is missing")

func folderHint(err error) string {
	if errors.Is(err, errNoParent) {
		return "mount its disk, make the parent folder, or name another with --backup-dir"
	}
	if hint := durable.Hint(err); hint != "" {
		return hint
	}
	return "make the folder, or name another with --backup-dir" // cannot make BACKUPS: …
}

// makeFolder creates the backup folder. If root creates it in a folder that root owns, it
// gets the owner of the data directory.
func (r *run) makeFolder() error {
	if _, err := os.Stat(r.BackupDir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	path := filepath.Clean(r.BackupDir)
	// Creating the parent folder would hide that its disk is not mounted.
	if _, err := os.Stat(filepath.Dir(path)); errors.Is(err, fs.ErrNotExist) {
		return errNoParent
	}
	if _, err := os.Lstat(path); err == nil {
		return errNoParent // a dangling link
	}
	if r.DryRun {
		return durable.CouldWriteIn(filepath.Dir(path))
	}
	owner, err := durable.OwnerOf(r.DataDir)
	if err != nil {
		return err
	}
	if err := durable.BecomeUserOf(&path, &r.DataDir); err != nil {
		return err
	}
	pending, err := durable.CreateDir(path)
	if err != nil {
		return err
	}
	defer pending.Abort()
	if err := pending.Give(owner); err != nil && !errors.Is(err, durable.ErrOwner) {
		return err
	}
	r.BackupDir = path
	return pending.Commit()
}

// scratchName is the folder, in the backup folder, for files that have no name yet.
const scratchName = ".ailee-backup.tmp"

// makeScratch creates the scratch folder, after removing one that a killed run may have left.
func (r *run) makeScratch() error {
	path := filepath.Join(r.BackupDir, scratchName)
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	r.scratch = path
	r.later(func() error {
		if err := os.RemoveAll(path); err != nil {
			r.out.Warn("cannot remove %s, the next run will: %v", path, err)
		}
		return nil
	})
	return nil
}

// explain adds an exit code and a hint to an error that ended the run.
func (r *run) explain(err error) error {
	var known *exit.Error
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return exit.Fail("name the backup folder with --backup-dir", err)
	}
	return exit.Fail(r.hint(err), err)
}

// hint says what to do about a system error.
func (r *run) hint(err error) string {
	if errors.Is(err, errNoSpace) {
		return "see how much space is left: " + exit.Command("df", durable.Shown(r.BackupDir)) + "; a lower --keep, or --compress, takes less"
	}
	return durable.Hint(err)
}

// execGrace is how long the --exec command has to end by itself when the run is interrupted.
const execGrace = 10 * time.Second

// execute runs the --exec command, if both kinds were backed up.
func (r *run) execute(ctx context.Context) error {
	if r.Exec == "" || r.DryRun {
		return nil
	}
	paths := map[backups.Kind]string{}
	for kind, p := range r.parts {
		if p.backup == nil {
			return nil // not all was backed up
		}
		path, err := filepath.Abs(filepath.Join(r.BackupDir, p.backup.Name))
		if err != nil {
			return err
		}
		paths[kind] = path
	}
	if r.code == exit.Failed {
		return nil
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", r.Exec)
	cmd.Env = append(os.Environ(), "AILEE_BACKUP_SNAPSHOTS="+paths[backups.Snapshots], "AILEE_BACKUP_DATABASE="+paths[backups.Database],
		fmt.Sprintf("AILEE_BACKUP_STATUS=%d", r.code))
	cmd.Stdout, cmd.Stderr = r.out.Err, r.out.Err
	// Give it time to clean up.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = execGrace
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil || child.Interrupted(cmd) {
			return exit.Failf("the backups are complete; run the command by hand, or back up again", "%w: the --exec command: %s", exit.ErrInterrupted, r.Exec)
		}
		r.problem(nil, exit.Failed, "the backups are complete; run the command by hand, or back up again", "the --exec command failed: %v: %s", err, r.Exec)
	}
	return nil
}
