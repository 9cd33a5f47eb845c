package datadir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"ailee-recovery/internal/content"
	"ailee-recovery/internal/printable"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// lookAll checks snapshots-all and snapshots-hidden, for which it reads the whole file once.
func (l *looker) lookAll(ctx context.Context) error {
	all, err := content.ReadSnapshots(ctx, l.file, l.size, content.SnapshotsOptions{
		Now: l.now, Memory: l.Memory, Progress: l.progress("the snapshot file", l.size),
	})
	if err != nil {
		if err := l.unless(ctx, SnapshotsAll, err); err != nil {
			return err
		}
		l.couldNot(SnapshotsHidden, err)
		return nil
	}
	l.closers = append(l.closers, all)
	l.all = all
	a := &AllSnapshots{Complete: all.Complete, Valid: all.Valid, First: located(all.First), Newest: located(all.Newest)}
	for _, bad := range all.Bad {
		a.Bad = append(a.Bad, Bad{bad.Number, bad.Offset, string(bad.Verdict), timeAt(&bad)})
	}
	l.view.AllSnapshots = a
	text := fmt.Sprintf("%d snapshots, all valid", a.Complete)
	if a.Valid < a.Complete {
		text = fmt.Sprintf("%d of %d snapshots valid", a.Valid, a.Complete)
	}
	if a.Complete == 1 && a.Valid == 1 {
		text = "1 snapshot, valid"
	}
	f := l.sound(SnapshotsAll, a, "%s", text)
	if len(a.Bad) > 0 && l.view.Latest != nil && l.latest != nil && l.latest.Holding() {
		f.Remark = fmt.Sprintf("%d before the latest are not valid, the first is snapshot %d: %s", a.Complete-a.Valid, a.Bad[0].Number, a.Bad[0].Verdict)
	}
	l.sayHidden(all)
	return nil
}

// sayHidden reports snapshots-hidden.
func (l *looker) sayHidden(all *content.Snapshots) {
	h := &Hidden{Count: all.HiddenCount, Invalid: all.HiddenBad}
	for i := range all.Hidden {
		h.Found = append(h.Found, *located(&all.Hidden[i]))
	}
	l.view.Hidden = h
	switch {
	case h.Count == 0:
		l.sound(SnapshotsHidden, h, "none")
	case h.Count == 1:
		l.wrong(SnapshotsHidden, h, "no node sees a sound snapshot at byte %d, of %s", h.Found[0].Offset, snapshottool.ShortTime(h.Found[0].Time.Ms))
	default:
		l.wrong(SnapshotsHidden, h, "no node sees %d sound snapshots, the first at byte %d", h.Count, h.Found[0].Offset)
	}
}

func located(s *content.Snapshot) *Located {
	if s == nil {
		return nil
	}
	return &Located{Number: s.Number, Offset: s.Offset, Root: printable.Text(s.Root), Anchor: printable.Text(s.Anchor), Time: timeAt(s)}
}

// timeAt returns the time of a snapshot.
func timeAt(s *content.Snapshot) Time {
	if s.Time.IsZero() {
		return Time{s.TimestampMs, s.Doubtful}
	}
	return Time{uint64(s.Time.UnixMilli()), s.Doubtful}
}

// lookDatabaseForm checks db-form.
func (l *looker) lookDatabaseForm() {
	path := l.view.Place.Database
	d := &DatabaseForm{}
	err := reorgdb.CheckFolder(path)
	if info, statErr := os.Stat(path); statErr == nil {
		d.ID = idOf(info)
	}
	d.Size = int64(treeSize(path))
	entries, _ := os.ReadDir(path)
	d.Files = len(entries)
	l.view.DatabaseForm = d
	switch {
	case err == nil && !exists(filepath.Join(path, "CURRENT")):
		d.Form = UnfinishedFolder
		l.sound(DBForm, d, "a node was killed while it created it: it is empty")
	case err == nil:
		d.Form = DatabaseFolder
		l.sound(DBForm, d, "%d files, %s", d.Files, Bytes(uint64(d.Size)))
	case errors.Is(err, fs.ErrNotExist):
		d.Form = MissingFolder
		l.wrong(DBForm, d, "there is no %s", path)
	case errors.Is(err, syscall.ENOTDIR):
		d.Form = NoFolder
		l.wrong(DBForm, d, "%s is not a folder", path)
	case errors.Is(err, reorgdb.ErrNoDatabase) && d.Files == 0:
		d.Form = EmptyFolder
		l.wrong(DBForm, d, "%s is empty", path)
	case errors.Is(err, reorgdb.ErrNoDatabase):
		d.Form = NoDatabase
		l.wrong(DBForm, d, "%s holds no database", path)
	case errors.Is(err, reorgdb.ErrCorrupt):
		d.Form = NoCurrent
		l.wrong(DBForm, d, "%s", withoutPath(err, path))
	default:
		l.view.DatabaseForm = nil
		l.couldNot(DBForm, err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// withoutPath returns the text of an error without the path at its start.
func withoutPath(err error, path string) string {
	return strings.TrimPrefix(err.Error(), path+": ")
}

// lookDatabase checks db-damage and db-records, for which it reads the whole database once.
// Bitcoin is asked about the records of the same view of it.
func (l *looker) lookDatabase(ctx context.Context) error {
	orphaned := uint64(0)
	db, err := content.ReadDatabase(ctx, l.view.Place.Database, content.DatabaseOptions{
		Progress: l.progress("the database", 0),
		Sound: func(db *reorgdb.DB) (err error) {
			if orphaned, err = countOrphaned(ctx, db, l.now); err != nil {
				return err
			}
			if l.hashes, err = highestHashes(ctx, db); err != nil {
				return err
			}
			return l.compareChain(ctx, db)
		},
	})
	if err != nil {
		if err := l.unless(ctx, DBDamage, err); err != nil {
			return err
		}
		l.couldNot(DBRecords, err)
		return nil
	}
	l.closers = append(l.closers, db)
	l.db = db
	l.sayDamage(db)
	return l.sayRecords(ctx, db, orphaned)
}

// sampled is how many of the highest heights are compared between databases.
const sampled = 1000

// highestHashes returns the block hashes at the highest heights.
func highestHashes(ctx context.Context, db *reorgdb.DB) (map[uint64]string, error) {
	highest, ok, err := db.HighestBlock()
	if err != nil || !ok {
		return nil, err
	}
	hashes := map[uint64]string{}
	for b, err := range db.Blocks(ctx, max(highest.Height, sampled)-sampled) {
		if err != nil {
			return nil, err
		}
		hashes[b.Height] = b.Hash
	}
	return hashes, nil
}

// countOrphaned counts the anchors that a node would call orphaned.
func countOrphaned(ctx context.Context, db *reorgdb.DB, now time.Time) (n uint64, err error) {
	for a, err := range db.Anchors(ctx) {
		if err != nil {
			return 0, err
		}
		if a.Orphaned(uint64(max(now.UnixMilli(), 0))) {
			n++
		}
	}
	return n, nil
}

// sayRecords reports db-records.
func (l *looker) sayRecords(ctx context.Context, db *content.Database, orphaned uint64) error {
	r, err := recordsOf(db)
	if err != nil {
		return l.unless(ctx, DBRecords, err)
	}
	r.Orphaned = orphaned
	l.view.Records = r
	text := fmt.Sprintf("%d blocks to %d, %d anchors, %d events", r.Blocks, r.Tip, r.AnchorCount(), r.Events)
	if r.Blocks == 0 {
		text = fmt.Sprintf("no blocks, %d anchors, %d events", r.AnchorCount(), r.Events)
	}
	switch {
	case db.Damaged():
		// Gaps, and a counter that is too low, come from the damage, which is another fact.
		l.sound(DBRecords, r, "%s can be read", text)
		return nil
	case r.CounterBehind:
		l.wrong(DBRecords, r, "the event counter is %d: the next event would overwrite an existing one", r.Counter)
		return nil
	case r.Missing == 1 && len(r.Gaps) > 0:
		l.wrong(DBRecords, r, "height %d has no block hash", r.Gaps[0].From)
		return nil
	case len(r.Gaps) > 0:
		l.wrong(DBRecords, r, "%d heights have no block hash, starting at %d", r.Missing, r.Gaps[0].From)
		return nil
	}
	f := l.sound(DBRecords, r, "%s", text)
	var remarks []string
	if r.Unreadable > 0 {
		remarks = append(remarks, fmt.Sprintf("%d records that no node can read", r.Unreadable))
	}
	if r.Odd > 0 {
		remarks = append(remarks, fmt.Sprintf("%d anchors whose key disagrees with their record", r.Odd))
	}
	f.Remark = strings.Join(remarks, ", ")
	return nil
}

// recordsOf returns the records of a database as evidence.
func recordsOf(db *content.Database) (*Records, error) {
	r := &Records{Blocks: uint64(db.Blocks), Lowest: db.Lowest, Tip: db.Tip, Missing: db.Gaps, Anchors: map[string]uint64{}, Families: map[string]uint64{},
		Events: uint64(db.Events), Counter: db.Counter, CounterBehind: !db.CounterSound, Unreadable: uint64(db.Unreadable), Odd: uint64(db.Mismatched)}
	for status, n := range db.Anchors {
		r.Anchors[statusName(status)] += uint64(n)
	}
	for family, n := range db.Families {
		if family != reorgdb.DefaultFamily {
			r.Families[printable.Text(family)] = uint64(n)
		}
	}
	next, started := uint64(0), false
	for heights, err := range db.Heights() {
		if err != nil {
			return nil, err
		}
		if started && len(r.Gaps) < MaxListed {
			r.Gaps = append(r.Gaps, Range{next, heights[0] - 1})
		}
		next, started = heights[1]+1, true
	}
	return r, nil
}

// heightsOf returns the ranges of heights that have a block, nil if they are too many to list.
func heightsOf(db *content.Database) ([]Range, error) {
	var list []Range
	for heights, err := range db.Heights() {
		if err != nil {
			return nil, err
		}
		if len(list) == MaxListed {
			return nil, nil
		}
		list = append(list, Range{heights[0], heights[1]})
	}
	return list, nil
}

// statusNames are the names of statuses in documents.
var statusNames = map[reorgdb.AnchorStatus]string{
	reorgdb.Pending: "pending", reorgdb.Confirmed: "confirmed", reorgdb.InvalidatedReorg: "invalidated", reorgdb.FailedOrphaned: "failed",
}

func statusName(s reorgdb.AnchorStatus) string {
	if name := statusNames[s]; name != "" {
		return name
	}
	return "other"
}

// sayDamage reports db-damage.
func (l *looker) sayDamage(db *content.Database) {
	d := &Damage{}
	lost := map[string]int64{} // entries by file, for files that lost records
	for _, p := range db.Problems {
		if !p.Lost && !p.Stale && db.Unopened == nil {
			continue
		}
		d.Count++
		if p.Lost {
			lost[p.File] += max(p.Entries, 0)
		}
		if len(d.Found) < MaxListed {
			d.Found = append(d.Found, Damaged{File: printable.Text(p.File), Kind: string(p.Kind), Offset: p.Offset, Length: p.Length, Entries: p.Entries, Why: printable.Text(p.Why)})
		}
	}
	if d.Count == 0 && db.Unopened != nil {
		d.Count = 1
		d.Found = []Damaged{{Kind: "does not open", Why: printable.Text(db.Unopened.Error())}}
	}
	for file, entries := range lost {
		d.Entries += entries
		// A log or the MANIFEST does not say how many entries it held.
		d.AtMost = d.AtMost || entries == 0
		if isTable(file) {
			d.Files++
		}
	}
	entries, _ := os.ReadDir(l.view.Place.Database)
	for _, entry := range entries {
		if isTable(entry.Name()) {
			d.Tables++
		}
	}
	l.view.Damage = d
	if d.Count == 0 {
		l.sound(DBDamage, d, "none")
		return
	}
	l.wrong(DBDamage, d, "%s", d.text())
}

func isTable(name string) bool { return strings.HasSuffix(name, ".sst") }

// text says where the first damage is, and how much is lost in total.
func (d *Damage) text() string {
	first := d.Found[0]
	text := first.Kind
	switch {
	case first.File != "" && first.Length > 0:
		text = fmt.Sprintf("%s at byte %d, %d bytes", first.File, first.Offset, first.Length)
	case first.File != "" && first.Offset > 0:
		text = fmt.Sprintf("%s at byte %d", first.File, first.Offset)
	case first.File != "":
		text = first.File
	}
	switch {
	case d.Entries == 0:
		text += ": " + cmp.Or(first.Why, first.Kind)
	case d.AtMost:
		text += fmt.Sprintf(": %d records lost, perhaps more", d.Entries)
	case d.Entries == 1:
		text += ": 1 record lost"
	default:
		text += fmt.Sprintf(": %d records lost", d.Entries)
	}
	if others := d.Count - 1; others > 0 && d.Entries == 0 {
		text += fmt.Sprintf(", and %d more", others)
	}
	return text
}

// lookPegOuts checks snapshots-pegouts, for the latest snapshot, which a node loads.
func (l *looker) lookPegOuts(ctx context.Context) error {
	p := &PegOuts{Count: l.view.Latest.PegOuts}
	open := snapshot.AnchorSet{}
	named := map[string]NamedAnchor{}
	others := uint64(0)
	for problem, err := range l.checker.PegOutProblems(ctx, l.file, l.latest) {
		if err == nil && len(problem.AnchorHash) > 0 && !open.Has(problem.AnchorHash) {
			err = l.checker.Add(open, string(problem.AnchorHash))
			if len(named) < MaxListed {
				named[string(problem.AnchorHash)] = NamedAnchor{printable.Text(string(problem.PegID)), printable.Text(string(problem.AnchorHash))}
			}
		}
		if err != nil {
			return l.unless(ctx, SnapshotsPegOuts, err)
		}
		others++
	}
	p.Own = p.Count - others
	if err := l.findNamed(ctx, p, open); err != nil {
		return l.unless(ctx, SnapshotsPegOuts, err)
	}
	for hash := range open {
		p.Missing++
		if n, ok := named[hash]; ok {
			p.Nowhere = append(p.Nowhere, n)
		}
	}
	slices.SortFunc(p.Nowhere, func(a, b NamedAnchor) int { return strings.Compare(a.PegOut, b.PegOut) })
	l.view.PegOuts = p
	if p.Missing > 0 {
		l.couldNotWith(SnapshotsPegOuts, p, fmt.Errorf("%w: %d, the first named by peg-out %s", errNowhere, p.Missing, firstPegOut(p)))
		return nil
	}
	text := "every peg-out names an anchor that exists"
	if p.Count == 0 {
		text = "no peg-outs"
	}
	l.sound(SnapshotsPegOuts, p, "%s", text)
	return nil
}

var errNowhere = errors.New("anchors that peg-outs name were not found anywhere, as after a prune")

func firstPegOut(p *PegOuts) string {
	if len(p.Nowhere) == 0 {
		return "?"
	}
	return p.Nowhere[0].PegOut
}

// findNamed removes the anchors that it finds from the set open, and counts where they were.
func (l *looker) findNamed(ctx context.Context, p *PegOuts, open snapshot.AnchorSet) error {
	if len(open) == 0 {
		return nil
	}
	found := func(hash string, in *uint64) {
		if _, ok := open[hash]; ok {
			delete(open, hash)
			*in++
		}
	}
	for at, err := range snapshot.NewChecker(l.Memory).Anchors(ctx, l.file, l.latest.Offset) {
		if err != nil {
			return err
		}
		if at.Anchor != nil {
			found(at.Anchor.Hash, &p.InFile)
		}
	}
	if l.db != nil && len(open) > 0 {
		for a, err := range l.db.AnchorRecords() {
			if err != nil {
				return err
			}
			found(a.Hash, &p.InDB)
		}
	}
	if len(open) == 0 {
		return nil
	}
	if err := l.readBackups(ctx); err != nil {
		return err
	}
	for _, s := range l.sources {
		if s.Role == Live {
			continue
		}
		if err := s.anchors(func(hash string) { found(hash, &p.InCopy) }); err != nil {
			return err
		}
	}
	return nil
}
