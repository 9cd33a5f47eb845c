package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/input"
	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/reorgdb"
)

// openNamed opens the source that the user named. A source that only root can read is opened
// before the process becomes the owner of the data directory, unless it is in a folder of
// another user: that user decides where the names in it lead, and could make root read any file.
func (t *target) openNamed() error {
	info, err := os.Stat(t.named)
	if err != nil {
		return exit.Fail(sourceHint(err), err)
	}
	if info.IsDir() {
		return t.openFolderSource()
	}
	if t.file, err = durable.OpenRegular(t.named, os.O_RDONLY); err != nil {
		return exit.Fail(sourceHint(err), err)
	}
	return nil
}

// ledByOthers reports whether a user other than root decides where the name of the source
// leads. Another user's folder directly in a folder of root's is where root put it.
func (t *target) ledByOthers() bool {
	path := strings.TrimRight(t.named, "/")
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		path = filepath.Dir(path)
	}
	uid, err := durable.UserOf(path)
	return err != nil || uid != 0
}

// openFolderSource opens the files of a database.
func (t *target) openFolderSource() error {
	if !t.isDatabase() {
		return exit.Failf("name a file, such as one in this folder", "%s is a folder, not a snapshot file", t.named)
	}
	// A copy of a database that is in use would mix several states.
	if err := reorgdb.Holder(t.named); err != nil {
		return exit.Fail("copy it first: "+exit.Command("ailee_init_reorg_db", "--path", strings.TrimSuffix(t.named, "/")+".copy", "--copy-from", t.named), err) // DB is in use by a process
	}
	root, err := os.OpenRoot(t.named)
	if err != nil {
		return exit.Fail(sourceHint(err), err)
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return exit.Fail(sourceHint(err), err)
	}
	folder, err := root.Stat(".")
	if err != nil {
		return exit.Fail(sourceHint(err), err)
	}
	for _, entry := range entries {
		if backups.LeftOut(entry.Name()) {
			continue
		}
		f, err := root.OpenFile(entry.Name(), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil && entry.Type().IsRegular() {
			return exit.Fail(sourceHint(err), err)
		}
		if err == nil {
			t.files = append(t.files, f)
			var info fs.FileInfo
			if info, err = f.Stat(); err == nil && info.Mode().IsRegular() && (userOf(folder) == 0 || os.Geteuid() != 0 || userOf(info) == userOf(folder)) {
				continue
			}
		}
		return exit.WrongData("name a folder that holds only a database", fmt.Errorf("%s cannot be restored: %q in it is not a regular file that the folder's owner owns", t.named, entry.Name()))
	}
	t.folderSource = true
	return nil
}

func userOf(info fs.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Uid }

// copyFolderSource copies the files into the stage.
func (t *target) copyFolderSource(ctx context.Context) error {
	if err := os.Mkdir(t.stagePath(), 0o700); err != nil {
		return err
	}
	for _, f := range t.files {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		to, err := os.OpenFile(filepath.Join(t.stagePath(), filepath.Base(f.Name())), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		err = durable.CopyRange(ctx, to, f, 0, info.Size(), func(int64) {})
		if err = errors.Join(err, to.Close()); err != nil {
			return err
		}
	}
	return nil
}

func sourceHint(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "check the path; without the flag, the best backup is restored"
	}
	return durable.Hint(err)
}

// clearStage removes what a killed run left in the stage.
func (t *target) clearStage() error {
	if err := os.RemoveAll(t.stagePath()); err != nil {
		return err
	}
	t.staged = true
	return nil
}

// openStage opens the replacement in the stage.
func (t *target) openStage() (err error) {
	if !t.isDatabase() {
		t.stage, err = os.OpenFile(t.stagePath(), os.O_RDWR|unix.O_NOFOLLOW, 0)
		return err
	}
	t.stage, err = openFolder(t.stagePath())
	if err != nil {
		return err
	}
	can, err := durable.CanExchange(t.stagePath())
	t.noExchange = !can
	return err
}

func openFolder(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// findSource reads the named source, or the best backup, into the stage if there is to be
// one. If target.source is nil afterwards, there is no source. An error ends the run.
func (r *restoring) findSource(ctx context.Context, t *target) error {
	bar := r.progress(t, "reading the backup")
	defer bar.Done()
	o := backups.ExamineOptions{Now: r.now, Memory: r.memory, Progress: bar.Add}
	if t.staged {
		o.UnpackTo, o.Scratch = t.stagePath(), t.folder()
	}
	if t.named != "" {
		return r.examineNamed(ctx, t, o)
	}
	choice, err := r.choose(ctx, t, o)
	if err != nil || choice == nil {
		return err
	}
	t.source, t.passed, t.future = choice.Chosen, choice.Passed, choice.Future
	return nil
}

// readBackups reads the backup folder and its catalogue, if a part needs a backup.
func (r *restoring) readBackups(ctx context.Context) (err error) {
	for _, t := range r.parts {
		if t.named == "" && r.backups == nil {
			if r.backups, err = backups.ReadDir(ctx, r.BackupDir); err != nil {
				return r.explainBackups(err)
			}
		}
	}
	return nil
}

// choose chooses among the backups of a kind, nil if there are none.
func (r *restoring) choose(ctx context.Context, t *target, o backups.ExamineOptions) (*backups.Choice, error) {
	if len(r.backups.Of(t.kind)) == 0 {
		return nil, nil
	}
	choice, err := backups.Choose(ctx, r.backups, t.kind, backups.ChooseOptions{ExamineOptions: o, Anchor: r.anchorFor(t)})
	if err != nil {
		return nil, r.explainSource(ctx, t, err)
	}
	return choice, nil
}

func (r *restoring) explainBackups(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return exit.Failf("name the backup folder with --backup-dir", "%s is not a directory", durable.Shown(r.BackupDir))
	}
	return exit.Fail(durable.Hint(err), err)
}

// foreign says what a file is that was named as a snapshot file but has another format, which
// is not unpacked here; nil if it may be a snapshot file.
func (r *restoring) foreign(ctx context.Context, t *target) *snapshottool.Foreign {
	if t.isDatabase() || t.file == nil {
		return nil
	}
	info, err := t.file.Stat()
	if err != nil {
		return nil
	}
	in := input.Regular(ctx, t.file, info.Size())
	in.Name = t.named
	return snapshottool.Reader{Reads: []string{input.Gzip, input.Zstd, snapshottool.Tar}}.Foreign(in)
}

// anchorFor returns the hash of the anchor that a database should have, "" for none.
func (r *restoring) anchorFor(t *target) string {
	if !t.isDatabase() {
		return ""
	}
	for _, other := range r.all {
		if !other.isDatabase() {
			return other.latestAnchor()
		}
	}
	return ""
}

// examineNamed reads the source that the user named.
func (r *restoring) examineNamed(ctx context.Context, t *target, o backups.ExamineOptions) error {
	var examined *backups.Examined
	var err error
	if t.folderSource {
		if err = t.copyFolderSource(ctx); err == nil {
			o.UnpackTo = ""
			examined, err = backups.Examine(ctx, t.stagePath(), t.kind, o)
		}
	} else {
		examined, err = backups.ExamineFile(ctx, t.file, t.kind, o)
	}
	if err != nil {
		return r.explainSource(ctx, t, err)
	}
	t.source = examined
	switch examined.Verdict {
	case backups.Wrong:
		if f := r.foreign(ctx, t); f != nil {
			r.refuse(t, exit.Wrong, f.Hint, "%w", f)
			break
		}
		r.refuse(t, exit.Wrong, "leave the flag out to restore the best backup", "%s cannot be restored: %w", t.named, examined.Err)
	case backups.CouldNot:
		if noSpace(examined.Err) {
			return r.explainSource(ctx, t, examined.Err)
		}
		r.refuse(t, exit.Failed, readHint(t, examined.Err), "%s cannot be read: %w", t.named, examined.Err)
	}
	return nil
}

// explainSource explains an error of reading a source, or of writing to the stage.
func (r *restoring) explainSource(ctx context.Context, t *target, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if noSpace(err) && t.staged {
		free, _ := freeIn(t.folder())
		return exit.Failf("see what can go: "+r.doctor(), "%s free in %s, more is needed for %s: %w", bytesText(free), durable.Shown(t.folder()), t.name, err)
	}
	hint := readHint(t, err)
	if hint == "" {
		hint = "no older backup is taken instead, as the disk may be failing: name one with --snapshot-backup or --db-backup"
	}
	return exit.Fail(hint, err) // the backup cannot be read, or the replacement cannot be written
}

// noSpace reports whether an error says that a disk is too full.
func noSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

func readHint(t *target, err error) string {
	var memory *input.MemoryError
	if errors.As(err, &memory) {
		return memory.Hint()
	}
	if !t.isDatabase() {
		return snapshottool.ReadHint(err)
	}
	var explained *exit.Error
	if errors.As(reorgtool.Explain(t.path, err), &explained) {
		return explained.Hint
	}
	return durable.Hint(err)
}

// complete finishes the replacement in the stage: it cuts a snapshot file after its last
// complete snapshot, gives the replacement the owner, mode and access list of the live part,
// syncs it, and locks a database.
func (r *restoring) complete(t *target) error {
	if err := t.openStage(); err != nil {
		return err
	}
	if t.isDatabase() {
		if err := r.lock(t.stagePath(), true); err != nil {
			return err
		}
	} else if err := trim(t.stage, t.source.Snapshots.End); err != nil {
		return err
	}
	if err := t.giveRights(); err != nil {
		return err
	}
	sync := t.stage.Sync
	if t.isDatabase() {
		sync = func() error { return durable.SyncFS(t.stage) }
	}
	if err := sync(); err != nil {
		return err
	}
	return durable.SyncDir(t.folder())
}

// trim cuts a snapshot file at end, and makes sure that it ends with a newline, so that a node
// that appends to it damages nothing.
func trim(f *os.File, end int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() > end {
		err = f.Truncate(end)
	}
	last := []byte{0}
	if err == nil {
		_, err = f.ReadAt(last, min(end, info.Size())-1)
	}
	if err == nil && last[0] != '\n' {
		_, err = f.WriteAt([]byte{'\n'}, min(end, info.Size()))
	}
	return err
}

// giveRights gives the replacement in the stage the owner, mode, access list and attributes of
// the live part; if there is none, the owner of the folder.
func (t *target) giveRights() error {
	if t.live == nil {
		owner, err := durable.OwnerOf(t.folder())
		if err != nil {
			return err
		}
		if t.isDatabase() {
			return owner.Give(t.stage)
		}
		return owner.GiveFile(t.stage)
	}
	if !t.isDatabase() {
		return durable.KeepAttributes(t.stage, t.live)
	}
	like, err := anyFile(t.path)
	if err != nil {
		return err
	}
	if like == nil {
		owner, err := durable.OwnerOf(t.path)
		if err == nil {
			err = owner.Give(t.stage)
		}
		if err != nil {
			return err
		}
		return durable.KeepAttributes(t.stage, t.live)
	}
	return errors.Join(durable.KeepTree(t.stage, t.live, like), like.Close())
}

// anyFile opens a file of a database to take owner and mode from: CURRENT, or the first file
// if that is missing; nil if there is no file.
func anyFile(folder string) (*os.File, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	name := ""
	for _, entry := range entries {
		if entry.Type().IsRegular() && (name == "" || entry.Name() == "CURRENT") {
			name = entry.Name()
		}
	}
	if name == "" {
		return nil, nil
	}
	return durable.OpenRegular(filepath.Join(folder, name), os.O_RDONLY)
}
