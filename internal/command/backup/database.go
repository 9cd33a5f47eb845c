package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"ailee-recovery/internal/archive"
	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/content"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/reorgdb"
)

// prepared is a copy of the database. Root makes it before it becomes the owner of the backup
// folder, who may not be allowed to read the original.
type prepared struct {
	path string
	err  error
	db   *content.Database
	like *os.File // a file of the original
}

// copyBeforehand copies the database if root is about to become a user who does not own it.
// The copy is made in a temporary folder, which is then given to that user.
func (r *run) copyBeforehand(ctx context.Context) error {
	p := r.parts[backups.Database]
	if p == nil || r.DryRun || os.Geteuid() != 0 {
		return nil
	}
	backupUser, err := durable.UserOf(r.BackupDir)
	if err != nil {
		return err
	}
	dataUser, err := durable.UserOf(r.DataDir)
	if err != nil || backupUser == 0 || backupUser == dataUser {
		return err
	}
	scratch, err := durable.NewScratch(".ailee-backup-")
	if err != nil {
		return err
	}
	r.later(scratch.Remove)
	made := &prepared{path: filepath.Join(scratch.Path, archive.Top)}
	r.prepared = made
	if made.like, made.err = likeness(p.source); made.err != nil {
		return nil
	}
	r.later(made.like.Close)
	if made.db, made.err = r.copyDatabase(ctx, p.source, made.path); made.err != nil {
		return ctx.Err()
	}
	r.later(made.db.Close)
	return filepath.WalkDir(scratch.Path, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, backupUser, -1)
	})
}

// likeness returns a file of a database: a backup gets its owner and mode.
func likeness(path string) (*os.File, error) {
	f, err := durable.OpenRegular(filepath.Join(path, "CURRENT"), os.O_RDONLY)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	// A database that is still being created has no CURRENT.
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if entry.Type().IsRegular() {
			return durable.OpenRegular(filepath.Join(path, entry.Name()), os.O_RDONLY)
		}
	}
	return nil, fmt.Errorf("%s: %w", path, reorgdb.ErrNoDatabase)
}

// damagedError is why the source is damaged.
type damagedError struct{ why string }

func (e *damagedError) Error() string { return e.why }

// copyDatabase makes a database with the records that another has at this moment, and returns
// its content. A node may be writing meanwhile.
func (r *run) copyDatabase(ctx context.Context, from, to string) (*content.Database, error) {
	problems, err := reorgtool.DamageWithTables(ctx, from)
	if err != nil {
		return nil, err
	}
	for _, p := range problems {
		if p.Lost || p.Stale {
			return nil, &damagedError{p.String()}
		}
	}
	db, err := r.copyOpen(ctx, from, to)
	if err != nil && reorgtool.LookAgain(from, err) {
		if err := os.RemoveAll(to); err != nil {
			return nil, err
		}
		db, err = r.copyOpen(ctx, from, to)
	}
	return db, err
}

func (r *run) copyOpen(ctx context.Context, from, to string) (*content.Database, error) {
	old, err := reorgdb.OpenReadOnly(from)
	if err != nil {
		return nil, err
	}
	c := content.NewCollector(r.databaseOptions())
	if err := errors.Join(reorgtool.Copy(ctx, old, to, c.Through), old.Close()); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c.Finish()
}

func (r *run) databaseOptions() content.DatabaseOptions {
	return content.DatabaseOptions{Now: r.start, TempDir: r.scratch}
}

// backUpDatabase copies the database, verifies the copy, and packs it.
func (r *run) backUpDatabase(ctx context.Context, p *part, before []backups.Source) error {
	if r.DryRun {
		d, err := content.ReadDatabase(ctx, p.source, r.databaseOptions())
		if err == nil {
			r.later(d.Close)
			if d.Damaged() {
				err = &damagedError{backups.FirstProblem(d)}
			}
		}
		if err != nil {
			return r.notCopied(p, err)
		}
		b := &backups.Backup{Kind: p.kind, Sequence: r.dir.Catalogue.Sequence, Made: r.start}
		b.SetContent(nil, d)
		p.database = d
		return r.wouldMake(ctx, p, b)
	}
	made := r.prepared
	if made == nil {
		made = &prepared{path: filepath.Join(r.scratch, archive.Top)}
		if made.like, made.err = likeness(p.source); made.err == nil {
			r.later(made.like.Close)
			if made.db, made.err = r.copyDatabase(ctx, p.source, made.path); made.err == nil {
				r.later(made.db.Close)
			}
		}
	}
	if made.err != nil {
		return r.notCopied(p, made.err)
	}
	p.database = made.db
	if err := r.checkCopy(ctx, made); err != nil {
		return r.failed(p, err)
	}
	b := &backups.Backup{Kind: p.kind, Sequence: r.dir.Catalogue.Sequence, Made: r.start, Copy: backups.Copied}
	b.SetContent(nil, made.db)
	packed, members, err := r.pack(ctx, made, b)
	if err != nil {
		return r.failed(p, err)
	}
	defer packed.Close()
	form := backups.TarGz
	if r.Compress == archive.Zstd {
		form = backups.TarZst
	}
	if b.Name, err = r.publish(p.kind, form, func(path string) error { return durable.RenameNew(packed.Name(), path) }); err != nil {
		return r.failed(p, err)
	}
	if err := r.readArchiveBack(ctx, b, members); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return r.notReadBack(p, b, err)
	}
	if after := sourceFiles(p); same(before, after) && settled(after, time.Now()) {
		b.Source = after
	}
	return r.place(ctx, p, b)
}

// notCopied reports why the database could not be copied.
func (r *run) notCopied(p *part, err error) error {
	const kept = "; the database was not backed up, the earlier backups are kept"
	var damaged *damagedError
	var known *exit.Error
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &damaged):
		r.problem(p, exit.Wrong, "see what is wrong with it: "+exit.Command("ailee_reorg_verify", "--db-path", p.source), "%s: %v%s", p.source, err, kept)
	case errors.Is(err, reorgdb.ErrCorrupt):
		r.problem(p, exit.Wrong, "see what is wrong with it: "+exit.Command("ailee_reorg_verify", "--db-path", p.source), "%v%s", err, kept)
	case errors.Is(err, fs.ErrNotExist):
		r.notOpened(p, fs.ErrNotExist)
	case errors.Is(err, reorgdb.ErrNoDatabase), errors.Is(err, syscall.ENOTDIR):
		r.problem(p, exit.Wrong, r.restoreHint(p), "%v%s", err, kept)
	case errors.As(reorgtool.Explain(p.source, err), &known) && known.Hint != "":
		r.problem(p, known.Code, known.Hint, "%v%s", known.Err, kept)
	default:
		return r.failed(p, err)
	}
	return nil
}

// checkCopy reads the copy as a backup is read.
func (r *run) checkCopy(ctx context.Context, made *prepared) error {
	d, err := content.ReadDatabase(ctx, made.path, r.databaseOptions())
	if err != nil {
		return err
	}
	defer d.Close()
	switch {
	case d.Damaged():
		return fmt.Errorf("the copy does not verify, do not trust this disk: %s", backups.FirstProblem(d))
	case d.SHA256 != made.db.SHA256:
		return errors.New("the copy does not have the same records, do not trust this disk")
	}
	return nil
}

// pack makes the archive and syncs it. It does not have its name yet.
func (r *run) pack(ctx context.Context, made *prepared, b *backups.Backup) (packed *os.File, members []archive.Member, err error) {
	info, err := made.like.Stat()
	if err != nil {
		return nil, nil, err
	}
	owner := info.Sys().(*syscall.Stat_t)
	size, err := folderSize(made.path)
	if err != nil {
		return nil, nil, err
	}
	bar := terminal.BytesBar(r.out.Err, !r.out.Quiet(), "packing "+backups.Database.Source(), size)
	defer bar.Done()
	if packed, err = newFile(filepath.Join(r.scratch, "packed-database")); err != nil {
		return nil, nil, err
	}
	sum := sha256.New()
	how := archive.Gzip
	if r.Compress != archive.None {
		how = r.Compress
	}
	members, err = archive.Write(ctx, io.MultiWriter(&durable.BehindWriter{File: packed}, sum), made.path,
		archive.WriteOptions{Top: archive.Top, UID: int(owner.Uid), GID: int(owner.Gid), Compression: how, Omit: backups.LeftOut, Progress: bar.Add})
	if err == nil {
		err = r.keepAttributes(packed, made.like, backups.Database.Source())
	}
	if err == nil {
		err = packed.Sync()
	}
	if err != nil {
		return nil, nil, errors.Join(err, packed.Close())
	}
	b.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return packed, members, nil
}

func folderSize(path string) (size int64, err error) {
	entries, err := os.ReadDir(path)
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return 0, err
		}
		size += info.Size()
	}
	return size, err
}

// readArchiveBack reads the backup by its name, and compares each file in it, and the bytes of
// the archive, with what was packed.
func (r *run) readArchiveBack(ctx context.Context, b *backups.Backup, members []archive.Member) error {
	f, err := r.openNamed(b.Name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	b.Size, b.MTime = info.Size(), mtime(info)
	how := archive.Gzip
	if r.Compress != archive.None {
		how = r.Compress
	}
	sum := sha256.New()
	in := io.TeeReader(f, sum)
	if err := archive.Compare(ctx, in, how, members); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != b.SHA256 {
		return durable.ErrNotWritten
	}
	b.Verified = backups.Verified{At: r.start, Verdict: backups.Sound}
	return nil
}
