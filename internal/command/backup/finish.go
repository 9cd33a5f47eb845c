package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/content"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/input"
	"ailee-recovery/internal/packed"
)

// judge reports the open losses of a kind, or settles them if they are given up.
func (r *run) judge(p *part) {
	c := r.dir.Catalogue
	if p.backup == nil {
		return
	}
	open := c.OpenLosses(p.kind)
	if r.AcceptLoss {
		for _, l := range open {
			r.accepted = append(r.accepted, fmt.Sprintf("%s: given up: %s", p.kind.Source(), l.Missing.String()))
			r.anyLoss = true
		}
		c.Settle(p.kind, backups.Accepted)
		return
	}
	for _, l := range open {
		r.sayLoss(p, l)
	}
}

// sayLoss reports a loss, which backups still have the data, and what to do.
func (r *run) sayLoss(p *part, l *backups.Loss) {
	newest, n := r.holders(l)
	source := p.kind.Source()
	switch {
	case l.CouldNot != "":
		r.problem(p, exit.Failed, "", "%s could not be compared with %s: %s", source, newest, l.CouldNot)
	default:
		r.problem(p, exit.Wrong, "", "%s lacks %s", source, l.Missing.String())
	}
	is, heldHint := "they are", "the %d that have them are held until this is settled"
	switch {
	case l.CouldNot != "":
		heldHint = "the %d backups of its line are held until this is settled"
	case l.Missing.Count() == 1:
		is, heldHint = "it is", "the %d that have it are held until this is settled"
	}
	if n == 1 {
		heldHint = "%d backup is held until this is settled"
	}
	if l.CouldNot == "" {
		if l.Missing.First != "" && p.kind == backups.Snapshots {
			r.out.Hint("from %s to %s", l.Missing.First, l.Missing.Last) // SOURCE lacks N snapshots
		}
		and := " and before"
		if n == 1 {
			and = ""
		}
		r.out.Hint("%s in %s%s", is, newest, and) // SOURCE lacks N snapshots, or records
	}
	r.out.Hint(heldHint, n)                                                        // SOURCE lacks N snapshots, or records
	r.out.Hint("how to get them back: %s", r.command("ailee-doctor"))              // SOURCE lacks N snapshots, or records
	r.out.Hint("if they are to be given up: %s", r.command(Name, "--accept-loss")) // SOURCE lacks N snapshots, or records
}

// holders returns the newest backup of the line that has the lost data, and how many backups
// that line has.
func (r *run) holders(l *backups.Loss) (newest string, n int) {
	for _, b := range r.dir.Catalogue.OfKind(l.Kind) {
		if b.Line == l.Line {
			if n++; newest == "" {
				newest = b.Name
			}
		}
	}
	return newest, n
}

// command returns a command line with the folders of this run, if they were given.
func (r *run) command(name string, args ...string) string {
	words := append([]string{name}, args...)
	if r.DataDirGiven {
		words = append(words, "--data-dir", durable.Shown(r.DataDir))
	}
	if r.BackupDirGiven {
		words = append(words, "--backup-dir", durable.Shown(r.BackupDir))
	}
	return exit.Command(words...)
}

// updateLatest makes backups.LatestName the most recent valid state of all open lines.
func (r *run) updateLatest(ctx context.Context) error {
	p := r.parts[backups.Snapshots]
	if p == nil {
		r.latest = r.latestNow()
		return nil
	}
	best := r.best()
	if best == nil {
		return nil
	}
	r.latest = best.Name
	if r.DryRun {
		return nil
	}
	if err := r.makeLatest(ctx, p, best); err != nil {
		return r.failed(p, err)
	}
	return nil
}

// latestNow returns the name of the backup that backups.LatestName is a hard link to, "" for none.
func (r *run) latestNow() string {
	latest, err := os.Lstat(filepath.Join(r.BackupDir, backups.LatestName))
	if err != nil {
		return ""
	}
	for _, b := range r.dir.Catalogue.OfKind(backups.Snapshots) {
		info, err := os.Lstat(filepath.Join(r.BackupDir, b.Name))
		if err == nil && os.SameFile(info, latest) {
			return b.Name
		}
	}
	return ""
}

// best returns the newest sound backup of the open line with the most recent valid snapshot. If the
// times are equal, the line with more valid snapshots is preferred.
func (r *run) best() (best *backups.Backup) {
	c := r.dir.Catalogue
	for _, line := range c.OpenLines(backups.Snapshots) {
		b := c.NewestSound(backups.Snapshots, line)
		if b == nil || b.Snapshots == nil {
			continue
		}
		if best == nil {
			best = b
			continue
		}
		at, bestAt := newestOf(b, r.start), newestOf(best, r.start)
		if at.After(bestAt) || at.Equal(bestAt) && b.Snapshots.Valid > best.Snapshots.Valid {
			best = b
		}
	}
	return best
}

// newestOf returns the time of the newest snapshot in a backup, zero if it is in doubt.
func newestOf(b *backups.Backup, now time.Time) time.Time {
	if n := b.Snapshots.Newest; n != nil && n.Time != nil && !content.InDoubt(*n.Time, now) {
		return *n.Time
	}
	return time.Time{}
}

// makeLatest makes backups.LatestName a hard link to a backup, or its unpacked content.
func (r *run) makeLatest(ctx context.Context, p *part, b *backups.Backup) error {
	path, tmp := filepath.Join(r.BackupDir, backups.LatestName), filepath.Join(r.scratch, "latest")
	from := filepath.Join(r.BackupDir, b.Name)
	name, _ := backups.ParseName(b.Name)
	have, err := os.Lstat(path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case err == nil && name.Form == backups.Plain:
		if info, err := os.Lstat(from); err == nil && os.SameFile(have, info) {
			return nil
		}
	case err == nil && have.Mode().IsRegular() && have.Size() == b.ContentSize && !p.isNew(b):
		if same, err := r.hasContent(ctx, path, b); same || err != nil {
			return err
		}
	}
	switch {
	case name.Form == backups.Plain:
		err := os.Link(from, tmp)
		if isLinkError(err) {
			err = r.unpack(ctx, from, tmp)
		}
		if err != nil {
			return err
		}
	case p.isNew(b) && p.plain != nil:
		if err := os.Rename(p.plain.Name(), tmp); err != nil {
			return err
		}
	default:
		if err := r.unpack(ctx, from, tmp); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return durable.SyncDir(r.BackupDir)
}

// isNew reports whether this run made a backup, other than as a link.
func (p *part) isNew(b *backups.Backup) bool {
	return p.backup != nil && p.backup.Name == b.Name && !p.linked
}

// hasContent reports whether a file has the content of a backup.
func (r *run) hasContent(ctx context.Context, path string, b *backups.Backup) (bool, error) {
	f, err := durable.OpenRegular(path, os.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer f.Close()
	sum := newSum()
	_, err = io.Copy(sum, input.NewSource(ctx, f))
	return sumOf(sum) == b.ContentSHA256, err
}

// unpack writes the content of a backup to a new file with the same owner and mode, and
// syncs it.
func (r *run) unpack(ctx context.Context, from, to string) error {
	f, err := durable.OpenRegular(from, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	out, err := newFile(to)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := packed.Unpack(ctx, out, f); err != nil {
		return err
	}
	if err := r.keepAttributes(out, f, backups.LatestName); err != nil {
		return err
	}
	return out.Sync()
}

// rotate deletes the backups that no rule keeps, and saves the catalogue.
func (r *run) rotate() error {
	c := r.dir.Catalogue
	var leaving []string
	for _, kind := range r.Kinds {
		p := r.parts[kind]
		last := time.Time{}
		if runs := c.Runs[kind]; runs != nil {
			last = runs.Start
		}
		// A linked backup was not read back.
		if p.backup != nil && !p.linked && !r.anyLoss && backups.MayDelete(last, r.start) {
			entries := make([]backups.Backup, 0, len(c.Backups))
			for _, b := range c.OfKind(kind) {
				entries = append(entries, *b)
			}
			names := backups.Retain(entries, r.Retention, c.Held(kind), r.latest, r.start)
			p.deleted = len(names)
			leaving = append(leaving, names...)
		}
	}
	for _, name := range leaving {
		r.deleted = append(r.deleted, filepath.Join(r.BackupDir, name))
		if r.DryRun {
			r.out.Printf("would delete %s\n", filepath.Join(r.BackupDir, name))
		}
	}
	if r.DryRun {
		return nil
	}
	end := r.out.Now()
	for _, kind := range r.Kinds {
		p := r.parts[kind]
		c.Record(kind, r.start, end, p.code, p.message)
	}
	c.Leaving = leaving
	if err := c.Save(r.BackupDir); err != nil {
		return err
	}
	r.dir.Remove(leaving, func(name string, err error) {
		r.problem(nil, exit.Failed, durable.Hint(err), "%s cannot be deleted: %v", filepath.Join(r.BackupDir, name), err)
		r.deleted = slices.DeleteFunc(r.deleted, func(path string) bool { return filepath.Base(path) == name })
	})
	if len(leaving) == 0 {
		return nil
	}
	if err := r.dir.RemoveRecords(); err != nil {
		return err
	}
	c.Leaving = nil
	return c.Save(r.BackupDir)
}
