package backups

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"ailee-recovery/internal/content"
)

// Reconcile adds the backups in New to the catalogue. It reads each to its end, the oldest first.
// A backup with the size and digest of one in Gone was renamed; any other is placed by its
// content. Reconcile also deletes what a killed run was about to delete. Afterwards Gone has only
// the backups that are really gone. The caller saves the catalogue. The error is the context's,
// or one of the folder.
func (d *Dir) Reconcile(ctx context.Context, h Holding) error {
	if !h.DryRun {
		if err := d.finishLeaving(); err != nil {
			return err
		}
	}
	found := slices.Clone(d.New)
	slices.SortStableFunc(found, func(a, b Backup) int { return a.when(h.Now).Compare(b.when(h.Now)) })
	for i := range found {
		if err := d.take(ctx, &found[i], h); err != nil {
			return err
		}
	}
	d.New = nil
	return nil
}

// TakeBack puts the entry of a backup that is not as the catalogue says back into the catalogue.
// It returns the entry, nil for a name that the catalogue never had.
func (d *Dir) TakeBack(name string) *Backup {
	if b := d.Catalogue.Find(name); b != nil {
		return b
	}
	at := slices.IndexFunc(d.Gone, func(b Backup) bool { return b.Name == name })
	if at < 0 {
		return nil
	}
	d.Catalogue.insert(d.Gone[at])
	d.Gone = slices.Delete(d.Gone, at, at+1)
	d.New = slices.DeleteFunc(d.New, func(b Backup) bool { return b.Name == name })
	return d.Catalogue.Find(name)
}

// when returns about when a backup was made, for one whose name may have a wrong date.
func (b *Backup) when(now time.Time) time.Time {
	if content.InDoubt(b.Made, now) {
		return b.MTime
	}
	return b.Made
}

// finishLeaving deletes what a killed run was about to delete.
func (d *Dir) finishLeaving() (err error) {
	d.Remove(d.Catalogue.Leaving, func(_ string, failed error) { err = cmp.Or(err, failed) })
	if err == nil {
		d.Catalogue.Leaving = nil
	}
	return err
}

// Remove deletes backups and their entries. If a file is not as the catalogue says, it is left
// alone, and only the entry is removed. failed is called for a file that cannot be deleted, whose
// entry stays.
func (d *Dir) Remove(names []string, failed func(name string, err error)) {
	known := map[string]*Backup{}
	for i := range d.Catalogue.Backups {
		known[d.Catalogue.Backups[i].Name] = &d.Catalogue.Backups[i]
	}
	removed := map[string]bool{}
	for _, name := range names {
		b := known[name]
		if b == nil {
			continue
		}
		if err := d.removeFile(b); err != nil {
			failed(name, err)
			continue
		}
		removed[name] = true
	}
	d.Catalogue.Backups = slices.DeleteFunc(d.Catalogue.Backups, func(b Backup) bool { return removed[b.Name] })
}

func (d *Dir) removeFile(b *Backup) error {
	info, err := os.Lstat(d.PathOf(b.Name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil || !info.Mode().IsRegular() || !b.is(info):
		return err
	}
	return os.Remove(d.PathOf(b.Name))
}

// take reads a backup in New, and adds it to the catalogue.
func (d *Dir) take(ctx context.Context, b *Backup, h Holding) error {
	o := h.ExamineOptions
	o.DigestsAt, o.UnpackTo = d.Catalogue.DigestsAt(), ""
	e, err := Examine(ctx, d.PathOf(b.Name), b.Kind, o)
	if err != nil {
		return err
	}
	defer e.Close()
	if changed := slices.IndexFunc(d.Gone, func(g Backup) bool { return g.Name == b.Name && g.SHA256 != "" }); changed >= 0 {
		was := d.Gone[changed]
		d.Gone = slices.Delete(d.Gone, changed, changed+1)
		was.Verify(e, h.Now)
		d.Catalogue.insert(was)
		return nil
	}
	b.setExamined(e, h.Now)
	if gone := slices.IndexFunc(d.Gone, func(g Backup) bool {
		return g.Kind == b.Kind && g.Size == b.Size && g.SHA256 != "" && g.SHA256 == b.SHA256
	}); gone >= 0 {
		renamed := d.Gone[gone]
		renamed.Made = b.Made // by its new name, which may correct a wrong date
		renamed.Name, renamed.MTime, renamed.Verified = b.Name, b.MTime, b.Verified
		d.Gone = slices.Delete(d.Gone, gone, gone+1)
		d.Catalogue.insert(renamed)
		return nil
	}
	newest := d.isNewest(b, h.Now)
	if newest {
		d.Catalogue.Sequence++
		b.Sequence = d.Catalogue.Sequence
	} else {
		b.Sequence = d.Catalogue.sequenceAt(b.Kind, b.when(h.Now))
	}
	switch {
	case !b.Sound():
	case newest:
		err = d.Place(ctx, b, e.Snapshots, e.Database, h)
	default:
		err = d.placeOlder(ctx, b, e, h)
	}
	if err != nil {
		return err
	}
	d.Catalogue.insert(*b)
	return nil
}

// Verify records the result of reading a backup that the catalogue knows. A backup whose content
// is not what was backed up is wrong, even if it verifies.
func (b *Backup) Verify(e *Examined, now time.Time) {
	b.Size, b.MTime = e.Size, e.MTime
	b.Verified = Verified{At: now.UTC(), Verdict: e.Verdict}
	if e.Err != nil {
		b.Verified.Why = e.Err.Error()
	}
	if e.Verdict == Sound && (b.SHA256 != "" && e.SHA256 != b.SHA256 || b.ContentSHA256 != "" && e.contentSHA256() != b.ContentSHA256) {
		b.Verified.Verdict, b.Verified.Why = Wrong, "it is not what was backed up"
	}
}

// setExamined records the result of reading a backup that the catalogue does not know.
func (b *Backup) setExamined(e *Examined, now time.Time) {
	b.Size, b.SHA256, b.MTime = e.Size, e.SHA256, e.MTime
	b.Verified = Verified{At: now.UTC(), Verdict: e.Verdict}
	if e.Err != nil {
		b.Verified.Why = e.Err.Error()
	}
	if e.Verdict == Sound {
		b.SetContent(e.Snapshots, e.Database)
	}
}

// isNewest reports whether no backup in the catalogue is later than one that was found.
func (d *Dir) isNewest(b *Backup, now time.Time) bool {
	return !slices.ContainsFunc(d.Catalogue.OfKind(b.Kind), func(known *Backup) bool { return known.when(now).After(b.when(now)) })
}

// placeOlder puts a sound backup that was found, and is not the newest, into the line whose
// newest backup has all of it. If there is no such line, it begins a new line, and what it has
// that the newest backup lacks is a loss.
func (d *Dir) placeOlder(ctx context.Context, b *Backup, e *Examined, h Holding) error {
	c := d.Catalogue
	var first *Loss
	for _, line := range c.OpenLines(b.Kind) {
		missing, err := d.missingIn(ctx, line, e, h)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil && missing == nil {
			b.Line = line
			return nil
		}
		if first == nil {
			first = &Loss{Seen: h.Now.UTC().Truncate(time.Second), Kind: b.Kind, Since: line, State: Open}
			first.set(missing, err)
		}
	}
	c.Lines++
	b.Line = c.Lines
	if first != nil {
		first.Line = b.Line
		c.Losses = append(c.Losses, *first)
	}
	if e.Database != nil && !h.DryRun {
		return d.saveRecords(b.Line, e.Database)
	}
	return nil
}

// missingIn returns what a backup has that the newest sound one of a line lacks, nil for nothing.
func (d *Dir) missingIn(ctx context.Context, line uint64, e *Examined, h Holding) (*Missing, error) {
	newest := d.Catalogue.NewestSound(e.Kind, line)
	if newest == nil {
		return nil, errNothingSound
	}
	if newest.ContentSHA256 == e.contentSHA256() {
		return nil, nil
	}
	now, err := d.examineOld(ctx, newest, h)
	if err != nil {
		return nil, err
	}
	defer now.Close()
	if e.Kind == Snapshots {
		return d.lackedSnapshots(ctx, e.Snapshots, now.Snapshots, h)
	}
	return lackedRecords(ctx, e.Database, now.Database)
}
