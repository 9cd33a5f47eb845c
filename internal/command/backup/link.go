package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"ailee-recovery/internal/archive"
	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/input"
)

// backUpOne backs up one part.
func (r *run) backUpOne(ctx context.Context, p *part) error {
	before := sourceFiles(p)
	linked, err := r.linkUnchanged(p, before)
	if err != nil {
		return r.failed(p, err)
	}
	if linked {
		return nil
	}
	if p.kind == backups.Snapshots {
		return r.backUpSnapshots(ctx, p, before)
	}
	return r.backUpDatabase(ctx, p, before)
}

// formOf returns the form in which a kind is to be backed up.
func (r *run) formOf(kind backups.Kind) backups.Form {
	switch {
	case kind == backups.Snapshots:
		return (&copying{run: r}).form()
	case r.Compress == archive.Zstd:
		return backups.TarZst
	}
	return backups.TarGz
}

// linkUnchanged makes a hard link to the last backup, if neither the source nor that backup has
// changed since. It reads no content.
func (r *run) linkUnchanged(p *part, before []backups.Source) (bool, error) {
	all := r.dir.Catalogue.OfKind(p.kind)
	if r.DryRun || len(all) == 0 || !r.mayShare(p.kind) {
		return false, nil
	}
	last := *all[0]
	name, _ := backups.ParseName(last.Name)
	if !last.Sound() || name.Form != r.formOf(p.kind) || !same(last.Source, before) {
		return false, nil
	}
	path := filepath.Join(r.BackupDir, last.Name)
	made, err := r.publish(p.kind, name.Form, func(to string) error {
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() || info.Size() != last.Size || !info.ModTime().Equal(last.MTime) {
			return errChanged
		}
		return os.Link(path, to)
	})
	switch {
	case errors.Is(err, errChanged), isLinkError(err):
		return false, nil // it is copied instead
	case err != nil:
		return false, err
	}
	if !same(sourceFiles(p), before) {
		return false, os.Remove(filepath.Join(r.BackupDir, made))
	}
	b := last
	b.Name, b.Sequence, b.Made, b.Copy = made, r.dir.Catalogue.Sequence, r.start, backups.Linked
	if b.DataOf == "" {
		b.DataOf = last.Name
	}
	p.since = last.Made
	if first := r.dir.Catalogue.Find(b.DataOf); first != nil {
		p.since = first.Made
	}
	p.linked = true
	r.add(p, &b)
	return true, nil
}

var errChanged = errors.New("the last backup has changed")

// isLinkError reports whether a file system has no hard links, or allows no more for this file.
func isLinkError(err error) bool {
	var failed *os.LinkError
	return errors.As(err, &failed) && !errors.Is(err, fs.ErrExist) && !errors.Is(err, errNoSpace)
}

// add puts a backup into the catalogue.
func (r *run) add(p *part, b *backups.Backup) {
	for _, before := range r.dir.Catalogue.OfKind(p.kind) {
		before.Source = nil // only the source of the last backup matters
	}
	r.dir.Catalogue.Backups = append(r.dir.Catalogue.Backups, *b)
	p.backup = b
}

// place compares a backup that was read back with the earlier ones.
func (r *run) place(ctx context.Context, p *part, b *backups.Backup) error {
	losses := len(r.dir.Catalogue.Losses)
	if err := r.dir.Place(ctx, b, p.snapshots, p.database, r.holding()); err != nil {
		return err
	}
	r.anyLoss = r.anyLoss || len(r.dir.Catalogue.Losses) > losses
	r.add(p, b)
	return nil
}

// wouldMake ends a dry run for a part.
func (r *run) wouldMake(ctx context.Context, p *part, b *backups.Backup) error {
	b.Name = backups.Name{Kind: p.kind, Form: r.formOf(p.kind), Time: r.start}.String()
	b.Copy, b.Verified = backups.Copied, backups.Verified{At: r.start, Verdict: backups.Sound}
	r.out.Printf("would make %s\n", filepath.Join(r.BackupDir, b.Name))
	return r.place(ctx, p, b)
}

// mend copies backups that have become the live file, as when a user moves one into its place:
// the node would append to the backup as well.
func (r *run) mend(ctx context.Context) error {
	p := r.parts[backups.Snapshots]
	if p == nil || p.file == nil {
		return nil
	}
	live, err := p.file.Stat()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(r.BackupDir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		path := filepath.Join(r.BackupDir, name)
		info, err := os.Lstat(path)
		if err != nil || !os.SameFile(info, live) {
			continue
		}
		if name == backups.LatestName {
			// updateLatest makes it again.
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		if known := r.dir.TakeBack(name); known != nil {
			r.out.Warn("%s is the live file itself, which a node appends to: replacing it with a copy", path)
			if err := r.mendOne(ctx, p, known); err != nil {
				return err
			}
		}
	}
	return nil
}

// mendOne replaces a backup that is the live file with a copy of the live file, cut to the
// backup's size. If that no longer has the backup's digest, the backup is wrong.
func (r *run) mendOne(ctx context.Context, p *part, b *backups.Backup) error {
	tmp := filepath.Join(r.scratch, "mended")
	f, err := newFile(tmp)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), input.NewSource(ctx, io.NewSectionReader(p.file, 0, b.Size)))
	if err != nil {
		return err
	}
	if n != b.Size || sumOf(sum) != b.SHA256 {
		b.Verified = backups.Verified{At: r.start, Verdict: backups.Wrong, Why: "it is the live file, and no longer what was backed up"}
		r.warnUnlessSound(b)
		return os.Remove(tmp)
	}
	if err := r.keepAttributes(f, p.file, b.Name); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	b.MTime, b.Copy, b.DataOf = mtime(info), backups.Copied, ""
	if err := os.Rename(tmp, filepath.Join(r.BackupDir, b.Name)); err != nil {
		return err
	}
	return durable.SyncDir(r.BackupDir)
}
