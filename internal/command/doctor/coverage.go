package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ailee-recovery/internal/datadir"
	"ailee-recovery/internal/snapshottool"
)

// coverage says which source of one kind has which things.
type coverage struct {
	kind    datadir.Kind
	sources []datadir.Source
	groups  []datadir.Group // without those that a prune note explains
	live    int             // index of the live source, -1 for none
}

// coverOf returns the coverage of a kind, nil if it could not be determined.
func (p *planner) coverOf(kind datadir.Kind) *coverage {
	all := p.v.Cover
	if all == nil {
		return nil
	}
	c := &coverage{kind: kind, sources: all.Snapshots, live: -1}
	if kind == datadir.DatabaseKind {
		c.sources = all.Databases
	}
	for i, s := range c.sources {
		if s.Role == datadir.Live {
			c.live = i
		}
	}
	for _, g := range all.Groups {
		if (g.Thing == datadir.SnapshotThing) == (kind == datadir.SnapshotKind) && !g.Explained {
			c.groups = append(c.groups, g)
		}
	}
	return c
}

// newest returns the index of the backup that ailee-restore would choose, -1 for none.
func (c *coverage) newest(v *datadir.View) int {
	if v.NewestBackups == nil {
		return -1
	}
	newest := v.NewestBackups.Snapshots
	if c.kind == datadir.DatabaseKind {
		newest = v.NewestBackups.Database
	}
	if newest == nil {
		return -1
	}
	return slices.IndexFunc(c.sources, func(s datadir.Source) bool { return s.Path == newest.Path })
}

// has reports whether one of the sources in set has the things in the group.
func has(g datadir.Group, set []int) bool {
	return slices.ContainsFunc(g.Sources, func(i int) bool { return slices.Contains(set, i) })
}

// gather adds to set each allowed source, in order, that has something which none in the set
// has so far; a nil function allows all. A live file or prune leftover that hides snapshots has
// something that no other source has.
func (c *coverage) gather(set []int, allowed func(datadir.Source) bool) []int {
	for i, s := range c.sources {
		if slices.Contains(set, i) || allowed != nil && !allowed(s) {
			continue
		}
		adds := s.Hidden > 0 && (s.Role == datadir.Live || s.Role == datadir.LeftoverRole) || slices.ContainsFunc(c.groups, func(g datadir.Group) bool {
			return slices.Contains(g.Sources, i) && !has(g, set)
		})
		if adds {
			set = append(set, i)
		}
	}
	return set
}

// only returns the set of one source, which is empty for the index -1.
func only(i int) []int {
	if i < 0 {
		return nil
	}
	return []int{i}
}

// hasAll reports whether this source alone has everything.
func (c *coverage) hasAll(i int) bool {
	return i >= 0 && len(c.gather([]int{i}, nil)) == 1
}

// whole returns a sound source that has everything and that a restore can take as it is: the
// packed live file, or a copy. It is -1 if there is none.
func (c *coverage) whole() int {
	for i, s := range c.sources {
		if s.Verdict == datadir.SourceSound && s.Hidden == 0 && (s.Packed || s.Role == datadir.KeptCopy) && c.hasAll(i) {
			return i
		}
	}
	return -1
}

func isSound(s datadir.Source) bool { return s.Verdict == datadir.SourceSound }

// loss is what a choice of sources loses.
type loss struct {
	counts      map[datadir.Thing]uint64
	last        map[datadir.Thing]uint64 // time of the latest of them, in Unix milliseconds
	invalid     uint64                   // snapshots that are not valid
	invalidLast uint64                   // in Unix milliseconds
	unseen      uint64                   // complete snapshots that are not valid, and that no node sees
	blocks      uint64                   // block hashes, which Bitcoin has
	records     uint64                   // of a damaged database, of any kind
	unknown     bool                     // perhaps more records
}

// loss counts what no source in set has.
func (c *coverage) loss(set []int) loss {
	l := loss{counts: map[datadir.Thing]uint64{}, last: map[datadir.Thing]uint64{}}
	for _, g := range c.groups {
		if has(g, set) {
			continue
		}
		l.counts[g.Thing] += g.Count
		l.last[g.Thing] = max(l.last[g.Thing], g.Last)
	}
	return l
}

// none reports whether nothing is lost except for what Bitcoin has.
func (l loss) none() bool {
	return len(l.counts) == 0 && l.invalid == 0 && l.unseen == 0 && l.records == 0 && !l.unknown
}

// text says what is lost, "" for nothing. Block hashes are left to the plan's summary.
func (l loss) text(now time.Time) string {
	var parts []string
	for _, t := range []datadir.Thing{datadir.SnapshotThing, datadir.AnchorThing, datadir.EventThing} {
		n := l.counts[t]
		if n == 0 {
			continue
		}
		text := datadir.CountText(map[datadir.Thing]uint64{t: n})
		if at := l.last[t]; at > 0 {
			until := " of "
			if n > 1 {
				until = ", the last of "
			}
			text += until + shortTime(at, now)
		}
		parts = append(parts, text)
	}
	switch {
	case l.invalid == 1:
		parts = append(parts, "1 snapshot that is not valid"+at(l.invalidLast, now))
	case l.invalid > 1:
		parts = append(parts, fmt.Sprintf("%d snapshots that are not valid", l.invalid))
	}
	switch {
	case l.unseen == 1:
		parts = append(parts, "1 snapshot that is not valid, and that no node sees")
	case l.unseen > 1:
		parts = append(parts, fmt.Sprintf("%d snapshots that are not valid, and that no node sees", l.unseen))
	}
	switch {
	case l.records > 0:
		parts = append(parts, fmt.Sprintf("at most %d records of the damaged database", l.records))
	case l.unknown:
		parts = append(parts, "an unknown number of records of the damaged database, perhaps none")
	}
	return strings.Join(parts, " and ")
}

func at(ms uint64, now time.Time) string {
	if ms == 0 {
		return ""
	}
	return ", of " + shortTime(ms, now)
}

// shortTime formats a time, without the day if that is today.
func shortTime(ms uint64, now time.Time) string {
	text := snapshottool.ShortTime(ms)
	if day, clock, ok := strings.Cut(text, " "); ok && day == now.UTC().Format(time.DateOnly) {
		text = clock
	}
	return text + " UTC"
}

// added returns how many anchors and events the other sources add to the first in set.
func (c *coverage) added(set []int) (n uint64) {
	for _, g := range c.groups {
		if !has(g, set[:1]) && has(g, set[1:]) {
			n += g.Count
		}
	}
	return n
}

// missingHeights returns how many heights between the lowest and the highest of the sources
// have no block in any of them.
func (c *coverage) missingHeights(set []int) (n uint64) {
	all := c.heights(set)
	for i := 1; i < len(all); i++ {
		n += all[i].From - all[i-1].To - 1
	}
	return n
}

// heights returns the ranges of heights that the sources have together.
func (c *coverage) heights(set []int) (joined []datadir.Range) {
	var all []datadir.Range
	for _, i := range set {
		all = append(all, c.sources[i].Heights...)
	}
	slices.SortFunc(all, func(a, b datadir.Range) int {
		if a.From != b.From {
			if a.From < b.From {
				return -1
			}
			return 1
		}
		return 0
	})
	for _, r := range all {
		if n := len(joined); n > 0 && r.From <= joined[n-1].To+1 {
			joined[n-1].To = max(joined[n-1].To, r.To)
			continue
		}
		joined = append(joined, r)
	}
	return joined
}

// addHeights returns a sound backup that has blocks which the sources in set lack, if there is
// one.
func (c *coverage) addHeights(set []int) (more []int) {
	before := c.missingHeights(set)
	for i, s := range c.sources {
		if before == 0 || s.Role != datadir.Backup || s.Verdict != datadir.SourceSound || slices.Contains(set, i) {
			continue
		}
		if c.missingHeights(append(slices.Clone(set), i)) < before {
			return []int{i}
		}
	}
	return nil
}
