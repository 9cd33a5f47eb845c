package datadir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/content"
	"ailee-recovery/internal/printable"
	"ailee-recovery/snapshot"
)

// codes are all codes, in the order in which facts are in a view.
var codes = []Code{
	DataDir, DataOwner, DataMount, DataSpace, DataHolders, DataLeftovers, DataCopies, DataBroadcast, DataClock,
	SnapshotsForm, SnapshotsLatest, SnapshotsAll, SnapshotsTail, SnapshotsHidden, SnapshotsPegOuts, SnapshotsNames,
	DBForm, DBDamage, DBRecords, DBHeights, AgreeLatest, AgreeAll,
	BackupsFolder, BackupsNewest, BackupsOlder, BackupsCover, BackupsNames,
	BitcoinNode, BitcoinBlocks, BitcoinAnchors,
}

// Codes returns all codes, in the order in which facts are in a view.
func Codes() []Code { return slices.Clone(codes) }

// restsOn names the facts that must be established for a fact, in addition to data-dir.
var restsOn = map[Code][]Code{
	DataBroadcast:    {DataHolders, SnapshotsForm},
	DataClock:        {SnapshotsLatest, BackupsFolder},
	SnapshotsLatest:  {SnapshotsForm},
	SnapshotsAll:     {SnapshotsLatest},
	SnapshotsTail:    {SnapshotsLatest},
	SnapshotsHidden:  {SnapshotsAll},
	SnapshotsPegOuts: {SnapshotsLatest, DBRecords, BackupsFolder},
	DBDamage:         {DBForm},
	DBRecords:        {DBDamage},
	DBHeights:        {DBRecords, BitcoinNode},
	AgreeLatest:      {SnapshotsLatest, DBRecords, BackupsFolder},
	AgreeAll:         {SnapshotsAll, DBRecords, BackupsFolder},
	BackupsNewest:    {BackupsFolder},
	BackupsOlder:     {BackupsFolder},
	BackupsNames:     {BackupsFolder},
	BackupsCover:     {SnapshotsAll, DBRecords, BackupsNewest, DataCopies, DataLeftovers},
	BitcoinBlocks:    {DBRecords, BitcoinNode, DataHolders},
	BitcoinAnchors:   {DBRecords, BitcoinNode},
}

// looker establishes the facts of one view.
type looker struct {
	Options
	view    *View
	wanted  map[Code]bool
	now     time.Time
	began   time.Time // when the current step began
	closers []io.Closer

	file    *os.File // the snapshot file; nil unless it is plain
	size    int64    // of the snapshot file when it was opened
	latest  *snapshot.Report
	checker *snapshot.Checker
	all     *content.Snapshots // in the live file, even if it is packed
	db      *content.Database  // the live database
	hashes  map[uint64]string  // block hashes at its highest heights
	chain   chainLook
	dir     *backups.Dir
	sources []*source
	newest  map[Kind]*source // newest backup of each kind, by content
	read    bool             // the backups were read
	// futureNames are the names already proposed for backups dated in the future.
	futureNames []string
}

// looks is how often everything is checked if parts are being replaced meanwhile.
const looks = 3

func look(ctx context.Context, o Options) (*View, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	for n := 1; ; n++ {
		l := &looker{Options: o, wanted: closure(o.Codes), now: o.Now().UTC(), began: time.Now()}
		l.view = &View{At: l.now.Truncate(time.Second)}
		err := l.run(ctx)
		replaced := err == nil && l.replaced()
		l.close()
		switch {
		case err != nil:
			return nil, err
		case replaced && n < looks:
			continue
		case replaced:
			l.couldNot(SnapshotsForm, errReplaced)
			l.couldNot(DBForm, errReplaced)
		}
		l.sort()
		return l.view, nil
	}
}

var errReplaced = fmt.Errorf("it was replaced %d times while it was being checked", looks)

// closure adds the codes that the wanted ones depend on.
func closure(wanted []Code) map[Code]bool {
	if wanted == nil {
		wanted = codes
	}
	all := map[Code]bool{DataDir: true}
	var add func([]Code)
	add = func(list []Code) {
		for _, code := range list {
			if !all[code] {
				all[code] = true
				add(restsOn[code])
			}
		}
	}
	add(wanted)
	return all
}

func (l *looker) close() {
	for _, c := range slices.Backward(l.closers) {
		_ = c.Close()
	}
}

// replaced reports whether another file or folder has the name of a part now.
func (l *looker) replaced() bool {
	if l.view.Place == nil {
		return false
	}
	changed := func(path string, id ID) bool {
		now, _ := idAt(path)
		return id != ID{} && now != id
	}
	f, d := l.view.SnapshotForm, l.view.DatabaseForm
	return f != nil && changed(l.view.Place.Snapshots, f.ID) || d != nil && changed(l.view.Place.Database, d.ID)
}

// sort puts the facts in the order of the codes. If there are several for one code, the last
// one counts.
func (l *looker) sort() {
	last := map[Code]Fact{}
	for _, f := range l.view.Facts {
		last[f.Code] = f
	}
	l.view.Facts = l.view.Facts[:0]
	for _, code := range codes {
		if f, ok := last[code]; ok {
			l.view.Facts = append(l.view.Facts, f)
		}
	}
}

// run establishes all wanted facts, each after those it depends on.
func (l *looker) run(ctx context.Context) error {
	l.lookPlace()
	if l.view.Place == nil {
		return ctx.Err()
	}
	ready := func(parts ...bool) bool { return !slices.Contains(parts, false) }
	steps := []struct {
		code Code
		when func() bool
		look func() error
	}{
		{DataHolders, nil, func() error { return l.lookHolders(ctx) }},
		{DataOwner, nil, plain(l.lookOwner)},
		{DataMount, nil, plain(l.lookMount)},
		{BitcoinNode, func() bool { return l.Bitcoin != nil }, func() error { return l.lookBitcoin(ctx) }},
		{SnapshotsForm, nil, func() error { return l.lookForm(ctx) }},
		{SnapshotsLatest, func() bool { return l.file != nil }, func() error { return l.lookLatest(ctx) }},
		{SnapshotsTail, func() bool { return l.view.Latest != nil && l.view.Latest.Complete }, func() error { return l.lookTail(ctx) }},
		{SnapshotsAll, func() bool { return l.file != nil }, func() error { return l.lookAll(ctx) }},
		{SnapshotsNames, nil, plain(l.lookNames)},
		{DBForm, nil, plain(l.lookDatabaseForm)},
		{DBDamage, l.hasDatabase, func() error { return l.lookDatabase(ctx) }},
		{DataLeftovers, nil, func() error { return l.lookLeftovers(ctx) }},
		{DataCopies, nil, plain(l.lookCopies)},
		{DataBroadcast, nil, func() error { return l.lookBroadcast(ctx) }},
		{BackupsFolder, nil, func() error { return l.lookFolder(ctx) }},
		{BackupsNames, func() bool { return l.dir != nil }, func() error { return l.lookBackupNames(ctx) }},
		{BackupsOlder, func() bool { return l.dir != nil }, plain(l.lookOlder)},
		{BackupsNewest, func() bool { return l.dir != nil }, func() error { return l.lookNewest(ctx) }},
		{BackupsCover, nil, func() error { return l.lookCover(ctx) }},
		{SnapshotsPegOuts, func() bool { return l.latest != nil }, func() error { return l.lookPegOuts(ctx) }},
		{AgreeLatest, func() bool { return ready(l.latest != nil, l.db != nil) }, func() error { return l.agreeLatest(ctx) }},
		{AgreeAll, func() bool { return ready(l.all != nil, l.db != nil) }, func() error { return l.agreeAll(ctx) }},
		{DBHeights, func() bool { return l.chain.looked && !l.wanted[BitcoinBlocks] }, plain(l.sayHeights)},
		{BitcoinBlocks, func() bool { return l.chain.looked }, func() error { return l.sayChain(ctx) }},
		{DataClock, nil, plain(l.lookClock)},
		{DataSpace, nil, plain(l.lookSpace)},
	}
	for _, step := range steps {
		if !l.wanted[step.code] || step.when != nil && !step.when() {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		l.began = time.Now()
		if err := step.look(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func plain(look func()) func() error {
	return func() error {
		look()
		return nil
	}
}

func (l *looker) hasDatabase() bool {
	d := l.view.DatabaseForm
	return d != nil && (d.Form == DatabaseFolder || d.Form == UnfinishedFolder || d.Form == NoCurrent)
}

// add adds a fact. The pointer is valid until the next one is added.
func (l *looker) add(code Code, s State, evidence any, format string, args ...any) *Fact {
	l.view.Facts = append(l.view.Facts, Fact{Code: code, State: s, Text: printable.Text(fmt.Sprintf(format, args...)), Evidence: evidence,
		At: l.Now().UTC().Truncate(time.Second), Cost: time.Since(l.began)})
	return &l.view.Facts[len(l.view.Facts)-1]
}

func (l *looker) sound(code Code, evidence any, format string, args ...any) *Fact {
	return l.add(code, Sound, evidence, format, args...)
}

func (l *looker) wrong(code Code, evidence any, format string, args ...any) {
	l.add(code, Wrong, evidence, format, args...)
}

func (l *looker) couldNot(code Code, err error) { l.couldNotWith(code, nil, err) }

// couldNotWith is couldNot with the evidence that was found nevertheless.
func (l *looker) couldNotWith(code Code, evidence any, err error) {
	l.add(code, CouldNot, evidence, "%v", err).Err = err
}

// unless turns an error into a fact, unless the context was cancelled: it returns that error.
func (l *looker) unless(ctx context.Context, code Code, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	l.couldNot(code, err)
	return nil
}

// wait waits. Tests replace it by a function that takes no time.
func (l *looker) wait(ctx context.Context, d time.Duration) error {
	if l.Wait != nil {
		return l.Wait(ctx, d)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// progress returns a function that reports how much of something was read. The total is 0 if
// it is not known.
func (l *looker) progress(what string, total int64) func(int64) {
	if l.Progress == nil {
		return nil
	}
	done := int64(0)
	return func(n int64) {
		done += n
		l.Progress(what, done, total)
	}
}

func (l *looker) backupDir() string {
	dir := cmp.Or(l.BackupDir, filepath.Join(l.DataDir, "backups"))
	return absolute(dir)
}

// linksOf returns how many names the inode has.
func linksOf(info fs.FileInfo) uint64 { return uint64(info.Sys().(*syscall.Stat_t).Nlink) }

// find looks for other names of a file: in its own folder, the data and the backup directory.
func (n *Names) find(path string, info fs.FileInfo, dataDir, backupDir string) error {
	seen := map[string]bool{path: true}
	for _, folder := range []string{filepath.Dir(path), dataDir, backupDir} {
		entries, err := os.ReadDir(folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, entry := range entries {
			name := filepath.Join(folder, entry.Name())
			other, err := entry.Info()
			if err != nil || seen[name] || !os.SameFile(info, other) {
				continue
			}
			seen[name] = true
			n.Found = append(n.Found, name)
			if _, ok := backups.ParseName(entry.Name()); folder == backupDir && (ok || entry.Name() == backups.LatestName) {
				n.Backups = append(n.Backups, name)
			}
		}
	}
	return nil
}
