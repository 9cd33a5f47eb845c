package backups

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ailee-recovery/internal/content"
)

// ChooseOptions are the options of [Choose].
type ChooseOptions struct {
	// With UnpackTo, the content of the chosen backup is at that path afterwards.
	ExamineOptions
	// Anchor is the hash of the anchor that a database should have a record of, "" for none: the
	// anchor of the latest snapshot in the node's snapshot file.
	Anchor string
}

// Passed is a backup that was considered and not chosen.
type Passed struct {
	Path string
	Why  string // such as "snapshot 1203: root mismatch", without the path
	// Wrong is set if it does not verify; otherwise another backup was preferred.
	Wrong bool
}

// Choice is the backup to restore, which was read to its end. Chosen is nil if none is sound.
type Choice struct {
	Chosen *Examined
	Passed []Passed
	Future []string // names dated in the future, whatever is in them
}

// Close closes the chosen backup.
func (c *Choice) Close() error {
	if c.Chosen == nil {
		return nil
	}
	return c.Chosen.Close()
}

// UnreadError says that a backup could not be read which may be the one to restore. An older
// backup is not chosen instead: the disk may be failing.
type UnreadError struct {
	Path string
	Err  error
}

func (e *UnreadError) Error() string { return fmt.Sprintf("%s could not be read: %v", e.Path, e.Err) }
func (e *UnreadError) Unwrap() error { return e.Err }

// Choose returns the most recent valid state among the backups of a kind in a folder, by content
// and not by name. Of two sound backups it prefers the one that contains the newest snapshot of
// the other and continues after it, or has a superset of its anchors and events; then the one
// with the newest time that is not in doubt; with more snapshots or anchors; the later one. A
// database that has the given anchor is preferred to one without it. Lines that were given up
// come after all others.
//
// It reads the newest sound backup of each line in the catalogue, and the backups that the
// catalogue does not know. If a backup cannot be read, the error is an *[UnreadError]; other
// errors are the context's, or those of UnpackTo.
func Choose(ctx context.Context, dir *Dir, kind Kind, o ChooseOptions) (*Choice, error) {
	p := &choosing{ctx: ctx, dir: dir, kind: kind, o: o, choice: &Choice{}}
	if err := p.run(); err != nil {
		if p.best != nil {
			err = errors.Join(err, p.best.Close())
		}
		return nil, err
	}
	p.choice.Chosen = p.best
	return p.choice, nil
}

type choosing struct {
	ctx    context.Context
	dir    *Dir
	kind   Kind
	o      ChooseOptions
	choice *Choice
	best   *Examined
}

func (p *choosing) run() error {
	for _, rows := range p.rows() {
		single := len(rows) == 1
		for _, row := range rows {
			if err := p.head(row, single); err != nil {
				return err
			}
		}
		if p.best == nil {
			continue
		}
		if single || p.o.UnpackTo == "" {
			return nil
		}
		return p.unpack()
	}
	return nil
}

// rows returns the backups of each line, the newest first: the lines that count, and then those
// that were given up. A backup that the catalogue does not know is a row by itself.
func (p *choosing) rows() [][][]Backup {
	given := map[uint64]bool{}
	for _, l := range p.dir.Catalogue.Losses {
		if l.Kind == p.kind && l.State == Accepted {
			given[l.Line] = true
		}
	}
	var counts, late [][]Backup
	places := map[uint64]int{}
	for _, b := range p.dir.Of(p.kind) {
		if content.InDoubt(b.Made, p.o.Now) {
			p.choice.Future = append(p.choice.Future, b.Name)
		}
		to := &counts
		if given[b.Line] {
			to = &late
		}
		at, ok := places[b.Line]
		if b.Line == 0 || !ok {
			at = len(*to)
			*to = append(*to, nil)
			if b.Line > 0 {
				places[b.Line] = at
			}
		}
		(*to)[at] = append((*to)[at], b)
	}
	return [][][]Backup{counts, late}
}

// head reads the backups of a row up to the first sound one, and compares that with the best so
// far.
func (p *choosing) head(row []Backup, single bool) error {
	for _, b := range row {
		if b.Verified.Verdict == Wrong {
			p.pass(b.Name, b.Verified.Why, true)
			continue
		}
		o := p.o.ExamineOptions
		if !single {
			o.UnpackTo = ""
		}
		e, err := Examine(p.ctx, p.dir.PathOf(b.Name), p.kind, o)
		if err != nil {
			return err
		}
		switch e.Verdict {
		case Sound:
			return p.prefer(e)
		case CouldNot:
			return errors.Join(&UnreadError{e.Path, e.Err}, e.Close())
		}
		p.pass(b.Name, e.Err.Error(), true)
		err = e.Close()
		if o.UnpackTo != "" {
			err = errors.Join(err, os.RemoveAll(o.UnpackTo))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *choosing) pass(name, why string, wrong bool) {
	p.choice.Passed = append(p.choice.Passed, Passed{p.dir.PathOf(name), why, wrong})
}

// unpack reads the best backup again, and unpacks it to UnpackTo.
func (p *choosing) unpack() error {
	path := p.best.Path
	err := p.best.Close()
	p.best = nil
	if err != nil {
		return err
	}
	e, err := Examine(p.ctx, path, p.kind, p.o.ExamineOptions)
	if err != nil {
		return err
	}
	p.best = e
	if e.Verdict != Sound {
		return &UnreadError{path, fmt.Errorf("it was sound a moment ago: %w", e.Err)}
	}
	return nil
}

// prefer keeps the better of a backup and the best so far.
func (p *choosing) prefer(e *Examined) error {
	if p.best == nil {
		p.best = e
		return nil
	}
	better, why, err := p.isBetter(e, p.best)
	if err != nil {
		return errors.Join(err, e.Close())
	}
	worse := e
	if better {
		worse, p.best = p.best, e
	}
	p.pass(filepath.Base(worse.Path), fmt.Sprintf("%s %s", filepath.Base(p.best.Path), why), false)
	return worse.Close()
}

// isBetter reports whether a is to be chosen over b, and why the chosen one is preferred.
func (p *choosing) isBetter(a, b *Examined) (better bool, why string, err error) {
	if p.kind == Snapshots {
		return p.betterSnapshots(a.Snapshots, b.Snapshots)
	}
	return p.betterDatabase(a.Database, b.Database)
}

func (p *choosing) betterSnapshots(a, b *content.Snapshots) (better bool, why string, err error) {
	d, err := content.CompareSnapshots(p.ctx, a, b)
	if err != nil {
		return false, "", err
	}
	onA, err := goesOn(p.ctx, a, b)
	if err != nil {
		return false, "", err
	}
	onB, err := goesOn(p.ctx, b, a)
	switch {
	case err != nil:
		return false, "", err
	case onA != onB:
		return onA, "continues where it ends", nil
	case (d.OnlyA.Count == 0) != (d.OnlyB.Count == 0):
		n := max(d.OnlyA.Count, d.OnlyB.Count)
		return d.OnlyB.Count == 0, fmt.Sprintf("has %d more valid snapshots", n), nil
	}
	if newer, ok := later(a.Newest.Time, b.Newest.Time, a.Newest.Doubtful, b.Newest.Doubtful); ok {
		return newer, "has a newer snapshot", nil
	}
	return a.Valid > b.Valid, "has no fewer snapshots, and was made later", nil
}

// goesOn reports whether a has the newest snapshot of b, and another one as its newest.
func goesOn(ctx context.Context, a, b *content.Snapshots) (bool, error) {
	if b.Newest == nil || a.Newest == nil || a.Newest.SHA256 == b.Newest.SHA256 {
		return false, nil
	}
	return a.Has(ctx, b.Newest.SHA256)
}

// later reports whether a is the later of two times, of which one in doubt never is. ok is false
// if they are equal or both in doubt.
func later(a, b time.Time, doubtA, doubtB bool) (isA, ok bool) {
	switch {
	case doubtA != doubtB:
		return doubtB, true
	case doubtA || a.Equal(b):
		return false, false
	}
	return a.After(b), true
}

func (p *choosing) betterDatabase(a, b *content.Database) (better bool, why string, err error) {
	if p.o.Anchor != "" {
		_, hasA, err := a.Anchor(p.o.Anchor)
		if err != nil {
			return false, "", err
		}
		_, hasB, err := b.Anchor(p.o.Anchor)
		if err != nil {
			return false, "", err
		}
		if hasA != hasB {
			return hasA, "has the anchor of the latest snapshot", nil
		}
	}
	d, err := content.CompareDatabases(p.ctx, a, b)
	if err != nil {
		return false, "", err
	}
	lackA, lackB := d.AnchorsB.Count+d.EventsB.Count, d.AnchorsA.Count+d.EventsA.Count
	if (lackA == 0) != (lackB == 0) {
		return lackA == 0, fmt.Sprintf("has %d more anchors and events", max(lackA, lackB)), nil
	}
	if newer, ok := later(a.Newest, b.Newest, a.Newest.IsZero(), b.Newest.IsZero()); ok {
		return newer, "has a newer anchor or event", nil
	}
	if a.AnchorCount != b.AnchorCount {
		return a.AnchorCount > b.AnchorCount, "has more anchors", nil
	}
	return a.Tip > b.Tip, "has no fewer anchors, and was made later", nil
}
