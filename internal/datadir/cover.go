package datadir

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"iter"
	"math/bits"
	"slices"
	"strings"

	"ailee-recovery/internal/content"
	"ailee-recovery/internal/printable"
	"ailee-recovery/internal/prunenote"
)

// lookCover checks backups-cover: what the sources have and the live parts lack.
func (l *looker) lookCover(ctx context.Context) error {
	if err := l.liveSources(ctx); err != nil {
		return l.unless(ctx, BackupsCover, err)
	}
	if err := l.readBackups(ctx); err != nil {
		return l.unless(ctx, BackupsCover, err)
	}
	c, err := l.cover(ctx)
	if err == nil && l.needsCopies(c) {
		if err = l.readCopies(ctx); err == nil {
			c, err = l.cover(ctx)
		}
	}
	if err == nil {
		c.Disagree, err = l.disagree(ctx)
	}
	if err != nil {
		return l.unless(ctx, BackupsCover, err)
	}
	l.view.Cover = c
	l.markRedundant(c)
	l.sayCover(c)
	return nil
}

// sayCover reports backups-cover.
func (l *looker) sayCover(c *Cover) {
	var lacks []string
	for _, kind := range kinds {
		if len(c.of(kind)) == 0 || c.of(kind)[0].Role != Live {
			continue // that is another fact
		}
		if text := c.Lacks(kind, Backup); text != "" {
			lacks = append(lacks, text)
		}
	}
	if len(c.FamiliesLacking) > 0 {
		lacks = append(lacks, fmt.Sprintf("the column family %s", strings.Join(c.FamiliesLacking, ", ")))
	}
	if len(lacks) > 0 {
		l.wrong(BackupsCover, c, "the data lacks %s that a backup has", strings.Join(lacks, " and "))
		return
	}
	if l.dir == nil {
		l.couldNotWith(BackupsCover, c, errNoBackups)
		return
	}
	l.sound(BackupsCover, c, "the data lacks nothing that a backup has")
}

var errNoBackups = fmt.Errorf("there are no backups to compare with")

// needsCopies reports whether a plan may need the copies next to the data: something is wrong
// with a live part, or the disk may be full.
func (l *looker) needsCopies(c *Cover) bool {
	for _, f := range l.view.Facts {
		if f.State != Wrong {
			continue
		}
		switch f.Code {
		case SnapshotsForm, SnapshotsLatest, DBForm, DBDamage, DataLeftovers:
			return true
		}
	}
	for _, kind := range kinds {
		if c.Lacks(kind, Backup) != "" {
			return true
		}
	}
	return l.recordMissing() || l.tight()
}

// recordMissing reports whether the latest anchor has no record in the live database.
func (l *looker) recordMissing() bool {
	if !l.latestHolds() || l.db == nil {
		return false
	}
	_, ok, err := l.db.Anchor(l.latest.Anchor.Hash)
	return err == nil && !ok
}

// tight reports whether the disk may be too full.
func (l *looker) tight() bool {
	s := &Space{}
	if s.add(l.view.Place.Path) != nil {
		return false
	}
	f := s.FileSystems[0]
	f.Needed += 2*sizeOf(l.view.Place.Snapshots) + treeSize(l.view.Place.Database)
	return f.Lacks()
}

// thing is one snapshot, anchor or event, and what is known of it.
type thing struct {
	key    string
	ms     uint64
	number int64
}

// cover compares all sources.
func (l *looker) cover(ctx context.Context) (*Cover, error) {
	c := &Cover{}
	files, databases := l.ofKind(SnapshotKind), l.ofKind(DatabaseKind)
	for _, s := range files {
		c.Snapshots = append(c.Snapshots, s.Source)
	}
	for _, s := range databases {
		c.Databases = append(c.Databases, s.Source)
	}
	explain, err := l.explanation(ctx, files)
	if err != nil {
		return nil, err
	}
	err = c.group(ctx, SnapshotThing, files, func(s *source) iter.Seq2[thing, error] { return digests(ctx, s.file) }, explain)
	if err == nil {
		err = c.group(ctx, AnchorThing, databases, func(s *source) iter.Seq2[thing, error] { return anchorThings(s.db) }, nil)
	}
	if err == nil {
		err = c.group(ctx, EventThing, databases, func(s *source) iter.Seq2[thing, error] { return eventThings(s.db) }, nil)
	}
	if err != nil {
		return nil, err
	}
	for _, g := range c.Groups {
		if g.Explained {
			c.Explained += int64(g.Count)
		}
	}
	c.compareFamilies(databases)
	return c, nil
}

func digests(ctx context.Context, f *content.Snapshots) iter.Seq2[thing, error] {
	return func(yield func(thing, error) bool) {
		for d, err := range f.ValidDigests(ctx) {
			t := thing{key: string(d.SHA256[:]), number: d.Number}
			if !d.Time.IsZero() {
				t.ms = uint64(d.Time.UnixMilli())
			}
			if !yield(t, err) || err != nil {
				return
			}
		}
	}
}

func anchorThings(d *content.Database) iter.Seq2[thing, error] {
	return func(yield func(thing, error) bool) {
		for a, err := range d.AnchorRecords() {
			if !yield(thing{key: a.Hash, ms: a.BroadcastMs}, err) || err != nil {
				return
			}
		}
	}
}

func eventThings(d *content.Database) iter.Seq2[thing, error] {
	return func(yield func(thing, error) bool) {
		for e, err := range d.EventDigests() {
			if !yield(thing{key: string(e.SHA256[:]), ms: e.DetectedAt * 1000}, err) || err != nil {
				return
			}
		}
	}
}

// explanation returns a function that reports whether a snapshot that the live file lacks was
// pruned: it comes before the first snapshot of the live file in its source, and the file
// begins there because of a prune. Proof of that is a note of the prune, or the old file that
// a prune left when it was killed after the exchange. It returns nil if nothing was pruned.
func (l *looker) explanation(ctx context.Context, files []*source) (func(source int, t thing) bool, error) {
	if len(files) == 0 || files[0].Role != Live || files[0].file.Oldest == nil {
		return nil, nil
	}
	notes, err := prunenote.Read(l.view.Place.Snapshots)
	if err != nil {
		return nil, err
	}
	first := files[0].file.Oldest
	_, pruned := prunenote.Explaining(notes, first.SHA256)
	begins := make([]int64, len(files)) // number of the first live snapshot in each; 0 for none
	for i, s := range files {
		for d, err := range s.file.ValidDigests(ctx) {
			if err != nil {
				return nil, err
			}
			if hex.EncodeToString(d.SHA256[:]) == first.SHA256 {
				begins[i] = d.Number
				break
			}
		}
		pruned = pruned || begins[i] > 1 && l.leftByPrune(s.Path)
	}
	if !pruned {
		return nil, nil
	}
	firstMs := timeAt(first).Ms
	return func(source int, t thing) bool {
		if begins[source] > 0 {
			return t.number < begins[source]
		}
		return t.ms < firstMs
	}, nil
}

// leftByPrune reports whether a file was displaced by a prune that must be completed.
func (l *looker) leftByPrune(path string) bool {
	return l.view.Leftovers != nil && slices.ContainsFunc(l.view.Leftovers.Found, func(f Leftover) bool { return f.Path == path && f.Kind == PruneLeft })
}

// group puts the things of all sources into groups. It merges the sources, each of which must
// yield its things in ascending order of their keys.
func (c *Cover) group(ctx context.Context, what Thing, sources []*source, things func(*source) iter.Seq2[thing, error], explained func(int, thing) bool) error {
	groups := map[groupKey]*Group{}
	heads := make([]head, len(sources))
	for i, s := range sources {
		next, stop := iter.Pull2(things(s))
		defer stop()
		heads[i].next = next
		if err := heads[i].advance(); err != nil {
			return err
		}
	}
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		least := -1
		for i, h := range heads {
			if h.more && (least < 0 || h.thing.key < heads[least].thing.key) {
				least = i
			}
		}
		if least < 0 {
			break
		}
		now := heads[least].thing
		k := groupKey{}
		for i := range heads {
			h := &heads[i]
			if !h.more || h.thing.key != now.key {
				continue
			}
			k.mask |= 1 << i
			if explained != nil && explained(i, h.thing) {
				k.explained = true
			}
			for h.more && h.thing.key == now.key {
				if err := h.advance(); err != nil {
					return err
				}
			}
		}
		if sources[0].Role == Live && k.mask&1 != 0 {
			k.explained = false
		}
		g := groups[k]
		if g == nil {
			g = &Group{Thing: what, Sources: indices(k.mask), Explained: k.explained, First: now.ms}
			groups[k] = g
		}
		g.Count++
		g.First, g.Last = min(g.First, now.ms), max(g.Last, now.ms)
	}
	list := make([]Group, 0, len(groups))
	for _, g := range groups {
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b Group) int {
		return cmp.Or(slices.Compare(a.Sources, b.Sources), cmp.Compare(boolInt(a.Explained), boolInt(b.Explained)))
	})
	c.Groups = append(c.Groups, list...)
	return nil
}

type groupKey struct {
	mask      uint64
	explained bool
}

// head is the next thing of a source.
type head struct {
	next  func() (thing, error, bool)
	thing thing
	more  bool
}

func (h *head) advance() (err error) {
	h.thing, err, h.more = h.next()
	return err
}

func indices(mask uint64) []int {
	list := make([]int, 0, bits.OnesCount64(mask))
	for ; mask != 0; mask &= mask - 1 {
		list = append(list, bits.TrailingZeros64(mask))
	}
	return list
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// compareFamilies notes which column families of a backup the live database lacks.
func (c *Cover) compareFamilies(databases []*source) {
	if len(databases) == 0 || databases[0].Role != Live {
		return
	}
	for _, s := range databases[1:] {
		for family := range s.db.Families {
			if _, ok := databases[0].db.Families[family]; !ok && !slices.Contains(c.FamiliesLacking, printable.Text(family)) {
				c.FamiliesLacking = append(c.FamiliesLacking, printable.Text(family))
			}
		}
	}
	slices.Sort(c.FamiliesLacking)
}

// of returns the sources of a kind.
func (c *Cover) of(kind Kind) []Source {
	if kind == SnapshotKind {
		return c.Snapshots
	}
	return c.Databases
}

// kindOfThing returns the kind of source that has such things.
func kindOfThing(t Thing) Kind {
	if t == SnapshotThing {
		return SnapshotKind
	}
	return DatabaseKind
}

// Lacks says what the live part lacks that sound sources of a role have, such as "14 anchors
// and 3 events", or "" for nothing. What prune notes explain does not count.
func (c *Cover) Lacks(kind Kind, role Role) string {
	counts := map[Thing]uint64{}
	list := c.of(kind)
	for _, g := range c.Groups {
		if kindOfThing(g.Thing) != kind || g.Explained {
			continue
		}
		live, other := false, false
		for _, i := range g.Sources {
			live = live || list[i].Role == Live
			other = other || list[i].Role == role && list[i].Verdict == SourceSound
		}
		if other && !live {
			counts[g.Thing] += g.Count
		}
	}
	return CountText(counts)
}

// CountText formats counts of things, such as "1 snapshot" or "14 anchors and 3 events". It is
// "" if all are 0.
func CountText(counts map[Thing]uint64) string {
	var parts []string
	for _, t := range []Thing{SnapshotThing, AnchorThing, EventThing} {
		switch n := counts[t]; {
		case n == 1:
			parts = append(parts, fmt.Sprintf("1 %s", t))
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", n, t))
		}
	}
	return strings.Join(parts, " and ")
}

// markRedundant marks copies that were read and have nothing that the live part lacks.
func (l *looker) markRedundant(c *Cover) {
	if l.view.Copies == nil {
		return
	}
	for i, kept := range l.view.Copies.Found {
		list := c.of(kept.Kind)
		at := slices.IndexFunc(list, func(s Source) bool { return s.Path == kept.Path })
		if at < 0 || len(list) == 0 || list[0].Role != Live || list[0].Verdict != SourceSound || list[at].Verdict == SourceUnread || list[at].Hidden > 0 {
			continue
		}
		l.view.Copies.Found[i].Redundant = !slices.ContainsFunc(c.Groups, func(g Group) bool {
			return kindOfThing(g.Thing) == kept.Kind && slices.Contains(g.Sources, at) && !slices.Contains(g.Sources, 0)
		})
	}
}
