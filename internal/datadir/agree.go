package datadir

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"strings"

	"ailee-recovery/internal/printable"
	"ailee-recovery/reorgdb"
)

// genesis is the recovery metadata of an anchor that was never meant to be broadcast.
const genesis = "genesis"

// agreeLatest checks agree-latest.
func (l *looker) agreeLatest(ctx context.Context) error {
	if !l.latestHolds() {
		return nil // that is another fact
	}
	a := &Agreement{Anchor: printable.Text(l.latest.Anchor.Hash), Anchors: 1}
	record, ok, err := l.db.Anchor(l.latest.Anchor.Hash)
	if err != nil {
		return l.unless(ctx, AgreeLatest, err)
	}
	if ok {
		a.Recorded, a.Status = 1, statusName(record.Status)
	} else {
		if err := l.readBackups(ctx); err != nil {
			return l.unless(ctx, AgreeLatest, err)
		}
		for _, s := range l.sources {
			if s.Role == Live || s.db == nil {
				continue
			}
			_, there, err := s.db.Anchor(l.latest.Anchor.Hash)
			if err != nil {
				return l.unless(ctx, AgreeLatest, err)
			}
			if there {
				a.HadBy = append(a.HadBy, s.Path)
			}
		}
	}
	l.view.AgreeLatest = a
	switch {
	case record.Status == reorgdb.InvalidatedReorg && ok, record.Status == reorgdb.FailedOrphaned && ok:
		l.wrong(AgreeLatest, a, "the latest anchor is %s", strings.ToUpper(a.Status))
	case len(a.HadBy) > 0:
		l.wrong(AgreeLatest, a, "the database lacks the record of the latest anchor, which %s has", filepath.Base(a.HadBy[0]))
	case !ok:
		where := "anywhere"
		if l.dir == nil {
			where = "in the database" // the backups were not read
		}
		f := l.sound(AgreeLatest, a, "the latest anchor has no record %s", where)
		if l.latest.Anchor.RecoveryMetadata != genesis {
			f.Remark = fmt.Sprintf("the latest anchor has no record %s: it was not broadcast, or its record is lost", where)
		}
	default:
		l.sound(AgreeLatest, a, "the latest anchor is %s", a.Status)
	}
	return nil
}

// agreeAll checks agree-all.
func (l *looker) agreeAll(ctx context.Context) error {
	a := &Agreement{}
	var others []iter.Seq2[string, error]
	for _, s := range l.sources {
		if s.Role != Live && s.db != nil {
			others = append(others, hashes(s))
		}
	}
	if err := a.compare(ctx, l, others); err != nil {
		return l.unless(ctx, AgreeAll, err)
	}
	l.view.AgreeAll = a
	text := fmt.Sprintf("%d of %d anchors of the snapshot file are recorded", a.Recorded, a.Anchors)
	switch {
	case a.Anchors == 0:
		text = "no valid snapshot has an anchor to look for"
	case a.Anchors == 1 && a.Recorded == 1:
		text = "the anchor of the snapshot file is recorded"
	case a.Recorded == a.Anchors:
		text = fmt.Sprintf("all %d anchors of the snapshot file are recorded", a.Anchors)
	}
	if a.HadElsewhere > 0 {
		l.wrong(AgreeAll, a, "the database lacks records of %d anchors that a backup has", a.HadElsewhere)
		return nil
	}
	l.sound(AgreeAll, a, "%s", text)
	return nil
}

func hashes(s *source) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for a, err := range s.db.AnchorRecords() {
			if !yield(a.Hash, err) || err != nil {
				return
			}
		}
	}
}

// compare walks the anchors of the file and the anchor records, both in order of their hashes.
func (a *Agreement) compare(ctx context.Context, l *looker, others []iter.Seq2[string, error]) error {
	records := newCursor(hashes(&source{db: l.db}))
	defer records.stop()
	cursors := make([]*cursor, len(others))
	for i, other := range others {
		cursors[i] = newCursor(other)
		defer cursors[i].stop()
	}
	first, last := int64(0), int64(0)
	for at, err := range l.all.Anchors() {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		a.Anchors++
		recorded, err := records.has(at.Hash)
		if err != nil {
			return err
		}
		if recorded {
			a.Recorded++
			continue
		}
		if first == 0 || at.Number < first {
			first, a.First = at.Number, at.Hash
		}
		if at.Number > last {
			last, a.Last = at.Number, at.Hash
		}
		for _, c := range cursors {
			there, err := c.has(at.Hash)
			if err != nil {
				return err
			}
			if there {
				a.HadElsewhere++
				break
			}
		}
	}
	return nil
}

// cursor walks hashes in ascending order.
type cursor struct {
	next func() (string, error, bool)
	stop func()
	hash string
	err  error
	more bool
}

func newCursor(hashes iter.Seq2[string, error]) *cursor {
	c := &cursor{}
	c.next, c.stop = iter.Pull2(hashes)
	c.hash, c.err, c.more = c.next()
	return c
}

// has reports whether the cursor's hashes include this one, which must not be less than that
// of the call before.
func (c *cursor) has(hash string) (bool, error) {
	for c.more && c.err == nil && c.hash < hash {
		c.hash, c.err, c.more = c.next()
	}
	return c.more && c.err == nil && c.hash == hash, c.err
}
