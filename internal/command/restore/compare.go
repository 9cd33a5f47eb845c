package restore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/content"
	"ailee-recovery/internal/prunenote"
	"ailee-recovery/reorgdb"
)

// amount is the valid content that one of two parts has and the other lacks, or all that a part
// has.
type amount struct {
	Snapshots int64      `json:"snapshots,omitempty"`
	First     *time.Time `json:"first,omitempty"` // of the snapshots, or anchors
	Last      *time.Time `json:"last,omitempty"`

	Anchors     int64            `json:"anchors,omitempty"`
	ByStatus    map[string]int64 `json:"anchors_by_status,omitempty"`
	FirstAnchor string           `json:"first_anchor,omitempty"` // hash
	LastAnchor  string           `json:"last_anchor,omitempty"`
	Events      int64            `json:"events,omitempty"`
	Families    []string         `json:"families,omitempty"`
	Blocks      int64            `json:"blocks,omitempty"`
	Tip         *uint64          `json:"tip,omitempty"`
	Counter     bool             `json:"counter,omitempty"` // it is higher
}

// counts reports whether losing it would be a loss. Blocks do not count: Bitcoin has them.
func (a amount) counts() bool {
	return a.Snapshots > 0 || a.Anchors > 0 || a.Events > 0 || len(a.Families) > 0 || a.Counter
}

// String returns the amount in words, "" for nothing.
func (a amount) String() string {
	var all []string
	add := func(n int64, one, more string) {
		if n > 0 {
			all = append(all, counted(n, one, more))
		}
	}
	add(a.Snapshots, "snapshot", "snapshots")
	add(a.Anchors, "anchor", "anchors")
	add(a.Events, "event", "events")
	if n := len(a.Families); n > 0 {
		all = append(all, counted(int64(n), "column family", "column families"))
	}
	add(a.Blocks, "block", "blocks")
	if a.Counter && len(all) == 0 {
		all = append(all, "a higher event counter")
	}
	return strings.Join(all, ", ")
}

// more returns the amount as a surplus, with the time of the last snapshot.
func (a amount) more() string {
	text := a.String() + " more"
	if a.Snapshots > 0 && a.Last != nil {
		text += ", the latest " + clock(*a.Last)
	}
	return text
}

func counted(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// clock formats a time for messages.
func clock(t time.Time) string { return t.UTC().Format(time.DateTime) }

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// difference is what the live part and its source have and lack.
type difference struct {
	has, lacks amount
	explained  int64 // snapshots that a prune dropped, according to its note: they are not missing
	parting    int64 // number in the source of the last common snapshot, if both continue after it
}

// compare compares the live part with its source.
func (t *target) compare(ctx context.Context) (err error) {
	if t.kind == backups.Database {
		t.difference, err = compareDatabases(ctx, t.database, t.source.Database)
	} else {
		t.difference, err = t.compareSnapshots(ctx)
	}
	t.compared = err == nil
	return err
}

func (t *target) compareSnapshots(ctx context.Context) (d difference, err error) {
	live, source := t.snapshots, t.source.Snapshots
	found, err := content.CompareSnapshots(ctx, source, live)
	if err != nil {
		return d, err
	}
	d.has, d.lacks = snapshotRange(found.OnlyB), snapshotRange(found.OnlyA)
	if err := d.addHidden(ctx, t.live, live, source); err != nil {
		return d, err
	}
	switch {
	case d.has.counts() && d.lacks.counts():
		d.parting = found.Parting
	case found.AtFront && live.First != nil:
		// What a prune dropped on purpose is not missing.
		notes, err := prunenote.Read(t.path)
		if err != nil {
			return d, err
		}
		if _, ok := prunenote.Explaining(notes, live.First.SHA256); ok {
			d.explained, d.lacks = found.OnlyA.Count, amount{}
		}
	}
	return d, nil
}

// addHidden adds the valid snapshots of the live file that no node sees: they are content, too.
func (d *difference) addHidden(ctx context.Context, file io.ReaderAt, live, source *content.Snapshots) error {
	// Snapshots that are not listed cannot be looked up in the source: assume that it lacks them.
	d.has.Snapshots += live.HiddenCount - int64(len(live.Hidden))
	for i := range live.Hidden {
		hidden := &live.Hidden[i]
		sum, err := digest(file, hidden.Offset, hidden.Size)
		if err != nil {
			return err
		}
		known, err := source.Has(ctx, sum)
		if err != nil {
			return err
		}
		if known {
			continue
		}
		d.has.Snapshots++
		at := instant(hidden.Time)
		if at != nil && (d.has.First == nil || at.Before(*d.has.First)) {
			d.has.First = at
		}
		if at != nil && (d.has.Last == nil || at.After(*d.has.Last)) {
			d.has.Last = at
		}
	}
	return nil
}

// digest returns the SHA-256 of a snapshot as in [content.Snapshot], in hex.
func digest(file io.ReaderAt, offset, size int64) (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(file, offset, size)); err != nil {
		return "", err
	}
	last := make([]byte, 1)
	if _, err := file.ReadAt(last, offset+size-1); err != nil {
		return "", err
	}
	if last[0] != '\n' {
		sum.Write([]byte{'\n'})
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func snapshotRange(r content.Range) amount {
	return amount{Snapshots: r.Count, First: instant(r.First), Last: instant(r.Last)}
}

func compareDatabases(ctx context.Context, live, source *content.Database) (d difference, err error) {
	found, err := content.CompareDatabases(ctx, live, source)
	if err != nil {
		return d, err
	}
	d.has = databaseAmount(found.AnchorsA, found.EventsA, found.FamiliesA, int64(found.BlocksA), found.CounterA > found.CounterB)
	d.lacks = databaseAmount(found.AnchorsB, found.EventsB, found.FamiliesB, int64(found.BlocksB), found.CounterB > found.CounterA)
	if d.has.Blocks > 0 {
		d.has.Tip = &found.TipA
	}
	if d.lacks.Blocks > 0 {
		d.lacks.Tip = &found.TipB
	}
	return d, nil
}

func databaseAmount(anchors content.AnchorRange, events content.Range, families []string, blocks int64, counter bool) amount {
	return amount{
		Anchors: anchors.Count, ByStatus: byStatus(anchors.ByStatus), FirstAnchor: anchors.First, LastAnchor: anchors.Last,
		First: instant(anchors.FirstTime), Last: instant(anchors.LastTime),
		Events: events.Count, Families: families, Blocks: blocks, Counter: counter,
	}
}

// byStatus returns the statuses that occur, by name.
func byStatus(counts map[reorgdb.AnchorStatus]int64) map[string]int64 {
	if len(counts) == 0 {
		return nil
	}
	all := map[string]int64{}
	for status, n := range counts {
		all[status.String()] += n
	}
	maps.DeleteFunc(all, func(_ string, n int64) bool { return n == 0 })
	return all
}

// standing returns what the decision depends on. Blocks alone count only if the source was
// named: they are available from Bitcoin.
func (t *target) standing() standing {
	s := standing{live: t.state, known: t.unread == nil}
	if t.state == nothing || t.unread != nil {
		return s
	}
	s.has, s.lacks = t.difference.has.counts(), t.difference.lacks.counts()
	if !s.has && !s.lacks && t.named != "" {
		s.lacks = t.difference.lacks.Blocks > 0 && t.difference.has.Blocks == 0
	}
	return s
}

// holds returns all that a part has.
func holds(kind backups.Kind, snapshots *content.Snapshots, database *content.Database) amount {
	switch {
	case kind == backups.Snapshots && snapshots != nil:
		a := amount{Snapshots: snapshots.Valid}
		if snapshots.First != nil {
			a.First = instant(snapshots.First.Time)
		}
		if snapshots.Newest != nil {
			a.Last = instant(snapshots.Newest.Time)
		}
		return a
	case kind == backups.Database && database != nil:
		a := amount{Anchors: database.AnchorCount, ByStatus: byStatus(database.Anchors), Events: database.Events, Blocks: database.Blocks}
		if database.Blocks > 0 {
			a.Tip = &database.Tip
		}
		return a
	}
	return amount{}
}
