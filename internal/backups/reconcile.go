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

// Reconcile takes into the catalogue what lies in the folder and it does not know: each of
// New is read whole, the oldest first. One with the size and digest of one of Gone was
// renamed; any other is placed by its content. It finishes what a killed run was about to
// delete. Gone has what is left of it. The caller saves the catalogue. The error is the
// context's, or one of the folder.
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

// TakeBack puts the entry of a backup, which is not as the catalogue says, back into it. It
// returns the entry, nil for a name that it never knew.
func (d *Dir) TakeBack(name string) *Backup {
	if b := d.Catalogue.Find(name); b != nil {
		return b
	}
	at := slices.IndexFunc(d.Gone, func(b Backup) bool { return b.Name == name })
	if at < 0 {
		return nil
	}
	d.Catalogue.Backups = append(d.Catalogue.Backups, d.Gone[at])
	d.Catalogue.sort()
	d.Gone = slices.Delete(d.Gone, at, at+1)
	d.New = slices.DeleteFunc(d.New, func(b Backup) bool { return b.Name == name })
	return d.Catalogue.Find(name)
}

// when is about the time a backup is of that the catalogue does not know.
func (b *Backup) when(now time.Time) time.Time {
	if content.InDoubt(b.Made, now) {
		return b.MTime
	}
	return b.Made
}

// finishLeaving deletes what a killed run was about to.
func (d *Dir) finishLeaving() (err error) {
	d.Remove(d.Catalogue.Leaving, func(_ string, failed error) { err = cmp.Or(err, failed) })
	if err == nil {
		d.Catalogue.Leaving = nil
	}
	return err
}

// Remove deletes backups that are as the catalogue says, and their entries. One that is not is
// left, as somebody else's, and only its entry goes. failed is told of one that cannot be
// deleted, whose entry stays.
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

// take reads a file that the catalogue does not know.
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
		d.Catalogue.Backups = append(d.Catalogue.Backups, was)
		d.Catalogue.sort()
		return nil
	}
	b.setExamined(e, h.Now)
	if gone := slices.IndexFunc(d.Gone, func(g Backup) bool {
		return g.Kind == b.Kind && g.Size == b.Size && g.SHA256 != "" && g.SHA256 == b.SHA256
	}); gone >= 0 {
		renamed := d.Gone[gone]
		renamed.Made = b.Made // of its new name: somebody put it right
		renamed.Name, renamed.MTime, renamed.Verified = b.Name, b.MTime, b.Verified
		d.Gone = slices.Delete(d.Gone, gone, gone+1)
		d.Catalogue.Backups = append(d.Catalogue.Backups, renamed)
		d.Catalogue.sort()
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
	d.Catalogue.Backups = append(d.Catalogue.Backups, *b)
	d.Catalogue.sort()
	return nil
}

// Verify takes what reading a backup has shown that the catalogue knows. One that is not what
// was backed up is wrong, whatever it is now.
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

// setExamined takes what reading a backup has shown that nothing is known of.
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

// isNewest reports whether a backup that was found is later than all that the catalogue knows.
func (d *Dir) isNewest(b *Backup, now time.Time) bool {
	return !slices.ContainsFunc(d.Catalogue.OfKind(b.Kind), func(known *Backup) bool { return known.when(now).After(b.when(now)) })
}

// placeOlder puts a sound backup that was found, and that is not the newest, into the line
// whose newest backup holds all of it. Where none does, it is a line of its own, and what it
// has that the newest lacks a loss.
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

// missingIn is what a backup has that the newest sound one of a line lacks, nil for nothing.
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
