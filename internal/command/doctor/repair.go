package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"ailee-recovery/internal/datadir"
	"ailee-recovery/reorgdb"
)

// how says what to do with a part.
type how int

const (
	keep          how = iota
	tail              // remove the torn tail of the snapshot file
	gather            // recover from several sources, then put the result in place
	restoreNewest     // restore the newest sound backups
	restoreFrom       // restore from one source, which is named
	repairHeights     // of the database
	lost              // there is nothing to recover from
	hidden            // everything depends on what could not be checked
)

// repair is what to do with one part.
type repair struct {
	how     how
	sources []datadir.Source // to gather, or to restore from
	force   bool
	text    string // of the step that gathers
	put     string // text of the step that replaces the part
	why     string
	loses   loss
	instead *Alternative
}

// gathers reports whether something is recovered before it is put in place.
func (r repair) gathers() bool { return r.how == gather }

// replaces reports whether the part is replaced.
func (r repair) replaces() bool {
	return r.how == gather || r.how == restoreNewest || r.how == restoreFrom
}

// decideSnapshots decides what to do with the snapshot file.
func (p *planner) decideSnapshots() repair {
	v := p.v
	if v.Is(datadir.SnapshotsForm, datadir.CouldNot) || v.Is(datadir.SnapshotsLatest, datadir.CouldNot) || v.Is(datadir.SnapshotsAll, datadir.CouldNot) {
		return repair{}
	}
	torn := v.Is(datadir.SnapshotsTail, datadir.Wrong)
	formWrong, latestWrong := v.Is(datadir.SnapshotsForm, datadir.Wrong), v.Is(datadir.SnapshotsLatest, datadir.Wrong)
	hides := v.Is(datadir.SnapshotsHidden, datadir.Wrong)
	foreign := p.leftover(datadir.PruneForeign) != nil
	// Completing a prune carries over unchanged what no node sees.
	hides = hides || p.carried(func(left datadir.Leftover) int64 { return left.Hidden }) > 0
	c := p.coverOf(datadir.SnapshotKind)
	lacks := c != nil && !formWrong && !latestWrong && v.Cover.Lacks(datadir.SnapshotKind, datadir.Backup) != ""
	// A prune in place refuses a file that has other names.
	linked := torn && v.Names != nil && v.Names.Links > 1 && p.leftover(datadir.PruneLeft) == nil
	switch {
	case latestWrong && hides && c != nil:
		return p.joinSnapshots(c, hides, lacks)
	case formWrong || latestWrong:
		if c == nil || v.BackupFolder != nil && v.BackupFolder.NotMounted {
			return repair{how: hidden}
		}
		return p.recoverSnapshots(c)
	case hides || foreign || lacks || linked || p.notToComplete():
		if c == nil {
			c = p.uncompared()
		}
		return p.joinSnapshots(c, hides, lacks)
	case torn || p.leftover(datadir.PruneLeft) != nil:
		r := repair{how: tail}
		if v.Hidden != nil {
			r.loses.unseen = uint64(v.Hidden.Invalid + p.carried(func(left datadir.Leftover) int64 { return left.Invalid }))
		}
		return r
	}
	return repair{}
}

// notToComplete reports whether a killed prune must not be completed: the prune would refuse
// the file that it left if that has other names, or might give the file a latest snapshot that
// is not valid. The latter may happen if what is carried over ends in such a snapshot, or if
// both tails have one: of tails that begin alike, the prune keeps what differs.
func (p *planner) notToComplete() bool {
	invalid := p.carried(func(left datadir.Leftover) int64 { return left.Invalid })
	return invalid > 0 && p.v.Hidden != nil && p.v.Hidden.Invalid > 0 || p.carried(func(left datadir.Leftover) int64 {
		if left.LatestInvalid || left.Shared {
			return 1
		}
		return 0
	}) > 0
}

// uncompared returns the coverage if no sources could be compared: the snapshot file, and what
// killed prunes left of it.
func (p *planner) uncompared() *coverage {
	c := &coverage{kind: datadir.SnapshotKind, sources: []datadir.Source{{Path: p.v.Place.Snapshots, Kind: datadir.SnapshotKind, Role: datadir.Live}}}
	if p.v.Leftovers == nil {
		return c
	}
	for _, left := range p.v.Leftovers.Found {
		if left.Kind == datadir.PruneLeft || left.Kind == datadir.PruneForeign {
			c.sources = append(c.sources, datadir.Source{Path: left.Path, Kind: datadir.SnapshotKind, Role: datadir.LeftoverRole})
			c.groups = append(c.groups, datadir.Group{Thing: datadir.SnapshotThing, Sources: []int{len(c.sources) - 1}})
		}
	}
	return c
}

// carried adds up a count over all files from which completing a prune carries something over.
func (p *planner) carried(count func(datadir.Leftover) int64) (sum int64) {
	if p.v.Leftovers == nil {
		return 0
	}
	for _, left := range p.v.Leftovers.Found {
		if left.Kind == datadir.PruneLeft {
			sum += count(left)
		}
	}
	return sum
}

// recoverSnapshots repairs a file that no node can load.
func (p *planner) recoverSnapshots(c *coverage) repair {
	best, whole := c.newest(p.v), c.whole()
	set := c.gather(only(best), nil)
	switch {
	case len(set) == 0:
		return repair{how: lost}
	case c.hasAll(best):
		return repair{how: restoreNewest, loses: p.invalidAfter(c, set), why: "the backup has every valid snapshot of the file"}
	case whole >= 0:
		r := repair{how: restoreFrom, sources: []datadir.Source{c.sources[whole]}, why: "no backup goes further"}
		if r.sources[0].Packed {
			r.why = "the content decides, not the form"
		}
		return r
	}
	r := p.recovered(c, set)
	r.loses = p.invalidAfter(c, set)
	if best >= 0 {
		if l := c.loss([]int{best}); !l.none() {
			r.instead = &Alternative{Command: p.own("ailee-restore", "--snapshot-only", "--force"), Loses: l.text(p.Now)}
		}
	}
	return r
}

// joinSnapshots repairs a file that a node can load but that lacks snapshots, or that a prune
// cannot repair.
func (p *planner) joinSnapshots(c *coverage, hides, lacks bool) repair {
	set := c.gather(only(c.live), func(s datadir.Source) bool {
		return s.Role == datadir.Backup && s.Verdict == datadir.SourceSound || s.Role == datadir.LeftoverRole || p.v.Is(datadir.SnapshotsLatest, datadir.Wrong)
	})
	// ailee-restore leaves a sound file that has everything in the source alone unless forced.
	force := len(set) == 1 && !hides && !p.v.Is(datadir.SnapshotsLatest, datadir.Wrong)
	// A prune that is not completed leaves no note: what it dropped would count as missing.
	for i, s := range c.sources {
		if s.Role == datadir.LeftoverRole && p.leftover(datadir.PruneLeft) != nil && !slices.Contains(set, i) {
			set = append(set, i)
		}
	}
	r := p.recovered(c, set)
	r.loses, r.force = p.invalidAfter(c, set), force
	switch {
	case lacks:
		r.why = "the histories are joined, each snapshot once"
		l := p.v.Cover.Lacks(datadir.SnapshotKind, datadir.Backup)
		r.instead = &Alternative{Command: p.own("ailee-backup", "--accept-loss"), Loses: l}
	case hides:
		r.why = "a prune would refuse to drop them"
	case p.notToComplete():
		r.why = "a prune would refuse what was left, or carry over what is not valid"
	case p.v.Names != nil && p.v.Names.Links > 1:
		r.why = "a prune in place would not reach writers that use the file's other names"
	}
	return r
}

// recovered returns the repair that gathers the snapshots of the sources.
func (p *planner) recovered(c *coverage, set []int) repair {
	r := repair{how: gather}
	for _, i := range set {
		r.sources = append(r.sources, c.sources[i])
	}
	// A node loads the last snapshot, which is that of the source named last: the newest.
	slices.SortStableFunc(r.sources, func(a, b datadir.Source) int {
		return cmp.Or(cmp.Compare(newestMs(a), newestMs(b)), -cmp.Compare(rank(a), rank(b)))
	})
	r.text = "Take every valid snapshot"
	switch {
	case len(r.sources) == 1 && r.sources[0].Role == datadir.Live:
		r.text += " from the file"
	case slices.ContainsFunc(r.sources, func(s datadir.Source) bool { return s.Role == datadir.Live }):
		r.text += " from the file, and what it lacks from elsewhere"
	default:
		r.text += " there is"
	}
	r.text += "."
	r.put = "Put it in place. The other one is kept beside it."
	return r
}

// rank is 0 for the live part, to which the node appended last, and 1 for all others.
func rank(s datadir.Source) int {
	if s.Role == datadir.Live {
		return 0
	}
	return 1
}

func newestMs(s datadir.Source) uint64 {
	if s.Newest == nil {
		return 0
	}
	return s.Newest.Ms
}

// invalidAfter returns what is lost if the sources replace the file: what only other sources
// have, and the snapshots in the file that are not valid.
func (p *planner) invalidAfter(c *coverage, set []int) loss {
	l := c.loss(set)
	if all := p.v.AllSnapshots; all != nil {
		// An invalid snapshot that hides a sound one is no loss: the sound one is recovered.
		l.invalid = uint64(max(all.Complete-all.Valid-p.hidden(), 0))
		if len(all.Bad) > 0 && l.invalid > 0 {
			l.invalidLast = all.Bad[len(all.Bad)-1].Time.Ms
		}
	}
	return l
}

// hidden returns how many sound snapshots no node sees.
func (p *planner) hidden() int64 {
	if p.v.Hidden == nil {
		return 0
	}
	return p.v.Hidden.Count
}

// decideDatabase decides what to do with the database.
func (p *planner) decideDatabase() repair {
	v := p.v
	if p.unread() {
		return repair{}
	}
	c := p.coverOf(datadir.DatabaseKind)
	blind := c == nil || v.BackupFolder != nil && v.BackupFolder.NotMounted
	missing := v.Is(datadir.DBForm, datadir.Wrong) && v.DatabaseForm.Form != datadir.NoCurrent
	damaged := v.Is(datadir.DBDamage, datadir.Wrong) || v.Is(datadir.DBForm, datadir.Wrong) && !missing
	switch {
	case (missing || damaged) && blind:
		return repair{how: hidden}
	case missing || damaged && c.live < 0:
		return p.replaceDatabase(c)
	case damaged:
		return p.rescueDatabase(c)
	case v.Chain != nil && v.Chain.OtherNetwork && v.Is(datadir.BitcoinBlocks, datadir.Wrong):
		return repair{how: restoreNewest, force: true, why: "the backup is from Bitcoin's network", put: "Put the database of this network in place. The other one is kept beside it."}
	case v.Is(datadir.DBHeights, datadir.Wrong):
		return repair{how: repairHeights}
	case v.Chain == nil && v.Cover != nil && v.Cover.Disagree:
		p.consider(p.askBitcoin(), "The database and its backup are from different networks. Bitcoin can tell which is right")
		return repair{}
	case c != nil && c.live == 0 && p.databaseLacks():
		return p.joinDatabase(c)
	case v.Records != nil && v.Records.CounterBehind:
		live := datadir.Source{Path: v.Place.Database, Kind: datadir.DatabaseKind, Role: datadir.Live}
		return repair{how: gather, sources: []datadir.Source{live}, text: "Copy the database: this corrects its event counter.",
			put: "Put it in place. The other one is kept beside it.", why: "the next reorg event would overwrite an existing one"}
	}
	return repair{}
}

// databaseLacks reports whether a backup or a copy has something that the database lacks.
func (p *planner) databaseLacks() bool {
	return p.v.Cover.Lacks(datadir.DatabaseKind, datadir.Backup) != "" || len(p.v.Cover.FamiliesLacking) > 0 ||
		p.v.AgreeLatest != nil && len(p.v.AgreeLatest.HadBy) > 0 || p.v.AgreeAll != nil && p.v.AgreeAll.HadElsewhere > 0
}

// replaceDatabase replaces a database that is missing.
func (p *planner) replaceDatabase(c *coverage) repair {
	best, whole := c.newest(p.v), c.whole()
	set := c.gather(only(best), nil)
	switch {
	case len(set) == 0:
		return repair{how: lost}
	case c.hasAll(best):
		return repair{how: restoreNewest, why: "a fresh one has no anchors"}
	case whole >= 0:
		return repair{how: restoreFrom, sources: []datadir.Source{c.sources[whole]}, why: "no backup goes further"}
	}
	r := p.merged(c, set)
	r.text = "Merge what the sources have of it."
	r.put = "Put it in place."
	return r
}

// rescueDatabase repairs a database that is damaged: what can be read of it is newer than any
// backup.
func (p *planner) rescueDatabase(c *coverage) repair {
	set := c.gather(only(c.live), isSound)
	set = c.gather(append(set, c.addHeights(set)...), nil)
	r := p.merged(c, set)
	r.put = "Put it in place. The damaged one is kept beside it."
	r.loses = c.loss(set)
	r.loses.blocks = c.missingHeights(set)
	d := p.v.Damage
	liveGaps := c.missingHeights([]int{c.live})
	if d != nil {
		other := max(d.Entries-int64(liveGaps), 0) - int64(c.added(set))
		r.loses.records = uint64(max(other, 0))
		r.loses.unknown = d.AtMost
	}
	if best := c.newest(p.v); best >= 0 {
		if l := c.loss([]int{best}); !l.none() {
			r.instead = &Alternative{Command: p.own("ailee-restore", "--db-only", "--force"), Loses: l.text(p.Now)}
		}
	}
	r.text = rescueText(c, set, r.loses)
	return r
}

// rescueText says what is gathered, and which exit status to expect.
func rescueText(c *coverage, set []int, l loss) string {
	text := "Take what can be read of the database"
	switch {
	case len(set) == 2 && c.sources[set[1]].Role == datadir.Backup && c.sources[set[1]].Verdict == datadir.SourceSound:
		text += ", and what it lacks from the newest sound backup"
	case len(set) > 1:
		text += ", and what it lacks from other sources"
	}
	text += ". Exit status 2 is expected"
	where := "neither"
	if len(set) != 2 {
		where = "none of them"
	}
	if len(set) == 1 {
		where = "no source"
	}
	switch {
	case l.blocks == 1:
		text += ": 1 block is in " + where
	case l.blocks > 1:
		text += fmt.Sprintf(": %d blocks are in %s", l.blocks, where)
	default:
		text += ": it is damaged"
	}
	return text + "."
}

// joinDatabase repairs a database that is undamaged but lacks what a backup has: it was
// recreated.
func (p *planner) joinDatabase(c *coverage) repair {
	r := p.merged(c, c.gather(only(c.live), isSound))
	r.text = "Merge the database and its backup."
	r.put = "Put it in place. The other one is kept beside it."
	r.why = "it was recreated: the backup alone would lose what came since"
	lacks := p.v.Cover.Lacks(datadir.DatabaseKind, datadir.Backup)
	if lacks != "" {
		r.instead = &Alternative{Command: p.own("ailee-backup", "--accept-loss"), Loses: lacks}
	}
	return r
}

// merged returns the repair that merges the sources.
func (p *planner) merged(c *coverage, set []int) repair {
	r := repair{how: gather}
	for _, i := range set {
		r.sources = append(r.sources, c.sources[i])
	}
	return r
}

// tooNew reports whether the database was written by a RocksDB that this build cannot read.
func (p *planner) tooNew() bool {
	for _, code := range []datadir.Code{datadir.DBForm, datadir.DBDamage, datadir.DBRecords} {
		f := p.v.Fact(code)
		var tooNew *reorgdb.TooNewError
		if f != nil && (errors.As(f.Err, &tooNew) || errors.Is(f.Err, reorgdb.ErrUnsupported)) {
			return true
		}
	}
	return false
}

// addTail adds the prune that completes a killed one and removes the torn tail.
func (p *planner) addTail() {
	text := "Remove the torn tail: the next snapshot would be damaged by it."
	left := p.leftover(datadir.PruneLeft) != nil
	switch {
	case left && p.v.Is(datadir.SnapshotsTail, datadir.Wrong):
		text = "Complete the prune that was killed, and remove the torn tail: the next snapshot would be damaged by it."
	case left:
		text = "Complete the prune that was killed: it carries over what was appended."
	case p.v.Tail != nil && p.v.Tail.Length == 0:
		text = "End the last line: the next snapshot would be damaged otherwise."
	}
	command := []string{"ailee_prune_snapshots", "--in-place", "--keep", "all", "--file", p.file()}
	if p.discards() {
		p.addCopy()
		command = slices.Insert(command, 2, "--discard-hidden")
	}
	p.add(Step{Text: text, Command: command, Loses: p.snapshots.loses.text(p.Now)})
}

// discards reports whether removing the tail drops complete snapshots, which are not valid and
// which no node sees.
func (p *planner) discards() bool { return p.snapshots.how == tail && p.snapshots.loses.unseen > 0 }

// addCopy adds a copy of the file before complete snapshots are dropped from it. The prune
// keeps nothing of them, and a node may have appended since the file was checked.
func (p *planner) addCopy() {
	command := []string{"cp", "-a", "--reflink=auto", p.file()}
	for _, left := range p.v.Leftovers.Found {
		if left.Kind == datadir.PruneLeft {
			command = append(command, left.Path)
		}
	}
	p.add(Step{Text: "Keep a copy of the file: the next step drops complete snapshots from it.", Command: append(command, p.room)})
}

// addGathering adds the steps that recover snapshots and merge databases.
func (p *planner) addGathering() {
	if r := p.snapshots; r.how == gather {
		command := []string{"ailee_recover_snapshots"}
		expect := []int{0}
		for _, s := range r.sources {
			// The file does not tell whether a prune dropped the anchors that peg-outs name.
			if s.PegOutsOpen > 0 && !slices.Contains(command, "--accept-pruned-anchors") {
				command = slices.Insert(command, 1, "--accept-pruned-anchors")
			}
			if s.Verdict != datadir.SourceSound || s.Role == datadir.Live {
				expect = []int{0, 2}
			}
			command = append(command, s.Path)
		}
		text := r.text
		if len(expect) > 1 {
			text += " Exit status 2 is expected: what is not valid is left out."
		}
		p.add(Step{Text: text, Command: append(command, filepath.Join(p.room, "l2_snapshots.dat")), Expect: expect, Why: r.why, Stopped: true, Loses: r.loses.text(p.Now)})
	}
	if r := p.database; r.how == gather {
		command := []string{"ailee_init_reorg_db", "--path", filepath.Join(p.room, "reorg_db")}
		expect := []int{0}
		for _, s := range r.sources {
			command = append(command, "--copy-from", s.Path)
			if s.Verdict == datadir.SourceWrong {
				expect = []int{0, 2}
			}
		}
		p.add(Step{Text: r.text, Command: command, Expect: expect, Why: r.why, Stopped: true, Loses: r.loses.text(p.Now)})
	}
}

// addReplacement adds the steps that replace the parts, in one run if possible: two parts of
// different ages must never be in place together.
func (p *planner) addReplacement() {
	s, d := p.snapshots, p.database
	for _, part := range []struct {
		r    *repair
		kind datadir.Kind
		path string
	}{{&s, datadir.SnapshotKind, p.file()}, {&d, datadir.DatabaseKind, p.databasePath()}} {
		if !part.r.replaces() {
			continue
		}
		if m := p.ownMount(part.kind); m != nil {
			p.manual("%s is a separate mount, at %s, and cannot be replaced: mount the folder above it instead, or copy what was recovered into it.", part.path, m.Point)
			part.r.how = keep
		}
	}
	if d.replaces() && d.force {
		p.add(Step{Text: d.put, Why: d.why, Command: p.own("ailee-restore", "--db-only", "--force"), Stopped: true})
		d.how = keep
	}
	if s.replaces() && s.force {
		p.add(Step{Text: s.put, Why: s.why, Command: p.own("ailee-restore", "--snapshot-backup", p.sourceOf(s, datadir.SnapshotKind, "l2_snapshots.dat"), "--force"), Stopped: true})
		s.how = keep
	}
	if !s.replaces() && !d.replaces() {
		return
	}
	step := Step{Stopped: true, Command: []string{"ailee-restore"}}
	switch {
	case s.how == restoreNewest && d.how == restoreNewest:
		step.Text = "Restore both from the newest sound backups."
	case s.how == restoreNewest && !d.replaces():
		step.Text = "Restore the snapshot file from the newest sound backup."
		if p.v.SnapshotForm == nil || p.v.SnapshotForm.Form != datadir.MissingForm {
			step.Text += " What is there is kept beside it."
		}
		step.Command = append(step.Command, "--snapshot-only")
	case d.how == restoreNewest && !s.replaces():
		step.Text = "Restore the database from the newest sound backup."
		step.Command = append(step.Command, "--db-only")
	default:
		step.Text = p.putText(s, d)
		if s.replaces() {
			step.Command = append(step.Command, "--snapshot-backup", p.sourceOf(s, datadir.SnapshotKind, "l2_snapshots.dat"))
		}
		if d.replaces() {
			step.Command = append(step.Command, "--db-backup", p.sourceOf(d, datadir.DatabaseKind, "reorg_db"))
		}
	}
	step.Why = cmp.Or(s.why, d.why)
	if s.how != gather {
		step.Loses = s.loses.text(p.Now)
	}
	step.Command = p.own(step.Command...)
	p.add(step)
}

// putText returns the text of the step that puts the parts in place.
func (p *planner) putText(s, d repair) string {
	switch {
	case s.replaces() && d.replaces():
		return "Put both in place. What is there is kept beside them."
	case s.how == restoreFrom && s.sources[0].Packed:
		return "Unpack the file and put the content in its place."
	case s.how == restoreFrom || d.how == restoreFrom:
		return "Put the copy in place."
	case s.replaces():
		return s.put
	}
	return d.put
}

// sourceOf returns the path from which a part is put in place.
func (p *planner) sourceOf(r repair, kind datadir.Kind, name string) string {
	switch {
	case r.how == gather:
		return filepath.Join(p.room, name)
	case r.how == restoreFrom && r.sources[0].Packed:
		return p.file()
	case r.how == restoreFrom:
		return r.sources[0].Path
	case kind == datadir.SnapshotKind:
		return p.v.NewestBackups.Snapshots.Path
	}
	return p.v.NewestBackups.Database.Path
}
