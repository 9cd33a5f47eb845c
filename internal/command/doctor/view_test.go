package doctor

import (
	"fmt"
	"slices"
	"time"

	"ailee-recovery/internal/datadir"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
)

// now is the time of the views in these tests.
var now = time.Date(2026, 3, 18, 10, 20, 41, 0, time.UTC)

// ms returns a time of that day in Unix milliseconds.
func ms(clock string) uint64 {
	at, err := time.Parse(time.DateTime, "2026-03-18 "+clock)
	if err != nil {
		panic(err)
	}
	return uint64(at.UnixMilli())
}

const (
	dataDir  = "/var/lib/ailee"
	file     = dataDir + "/l2_snapshots.dat"
	database = dataDir + "/reorg_db"
	folder   = dataDir + "/backups"

	fileBackup     = folder + "/l2_snapshots_20260318_101702.dat.bak"
	databaseBackup = folder + "/reorg_db_20260318_101702.tar.gz"
)

// set replaces the fact with a code in a view, or adds it.
func set(v *datadir.View, code datadir.Code, s datadir.State, text string) *datadir.Fact {
	f := datadir.Fact{Code: code, State: s, Text: text, At: now}
	if at := slices.IndexFunc(v.Facts, func(f datadir.Fact) bool { return f.Code == code }); at >= 0 {
		v.Facts[at] = f
		return &v.Facts[at]
	}
	v.Facts = append(v.Facts, f)
	return &v.Facts[len(v.Facts)-1]
}

// unset removes facts from a view.
func unset(v *datadir.View, codes ...datadir.Code) {
	v.Facts = slices.DeleteFunc(v.Facts, func(f datadir.Fact) bool { return slices.Contains(codes, f.Code) })
}

// healthy returns the view of a healthy, running node: 1203 snapshots, 14 anchors and 3 events,
// all of which are in the newest backups.
func healthy() *datadir.View {
	v := &datadir.View{At: now}
	for _, code := range datadir.Codes() {
		switch code {
		case datadir.DBHeights, datadir.BitcoinNode, datadir.BitcoinBlocks, datadir.BitcoinAnchors:
		default:
			set(v, code, datadir.Sound, "sound")
		}
	}
	set(v, datadir.DataHolders, datadir.Sound, "running: ailee-node.service, pid 1234")
	set(v, datadir.DataSpace, datadir.Sound, "12.4 GiB free, 2.9 GiB needed")
	set(v, datadir.SnapshotsAll, datadir.Sound, "1203 snapshots, all valid")
	set(v, datadir.AgreeAll, datadir.Sound, "all 14 anchors of the snapshot file are recorded")
	v.Place = &datadir.Place{Path: dataDir, Snapshots: file, Database: database}
	v.Owners = &datadir.Owners{UID: 64100, GID: 64100, User: "ailee:ailee"}
	v.Mounts = &datadir.Mounts{}
	v.Space = &datadir.Space{FileSystems: []datadir.FileSystem{{Path: dataDir, Device: 1, Free: 12 << 30, Inodes: 1 << 20, Needed: 3 << 30}}}
	v.Holders = &datadir.Holders{Unit: "ailee-node.service", Installed: true, Processes: []datadir.Holder{
		{PID: 1234, Command: "ailee-node", Unit: "ailee-node.service", Part: datadir.DatabaseKind, Path: database + "/LOCK", Writes: true, Locks: true}}}
	v.Leftovers, v.Copies = &datadir.Leftovers{}, &datadir.Copies{}
	v.SnapshotForm = &datadir.SnapshotForm{Size: 2904443, Form: datadir.PlainForm}
	latest := datadir.Time{Ms: ms("10:02:11")}
	v.Latest = &datadir.Latest{Complete: true, Verdict: "valid", Time: latest, Height: 847690}
	v.AllSnapshots = &datadir.AllSnapshots{Complete: 1203, Valid: 1203, Newest: &datadir.Located{Number: 1203, Time: latest}}
	v.Tail, v.Hidden, v.PegOuts, v.Names = &datadir.Tail{Offset: 2904443}, &datadir.Hidden{}, &datadir.PegOuts{}, &datadir.Names{Links: 1}
	v.DatabaseForm = &datadir.DatabaseForm{Form: datadir.DatabaseFolder, Size: 61 << 10}
	v.Damage = &datadir.Damage{Tables: 3}
	v.Records = &datadir.Records{Blocks: 1951, Lowest: 845741, Tip: 847691, Anchors: map[string]uint64{"confirmed": 14}, Events: 3, Counter: 3}
	v.AgreeLatest = &datadir.Agreement{Anchors: 1, Recorded: 1, Status: "confirmed"}
	v.AgreeAll = &datadir.Agreement{Anchors: 14, Recorded: 14}
	made := now.Add(-3*time.Minute - 39*time.Second)
	snapshots := datadir.Source{Path: fileBackup, Kind: datadir.SnapshotKind, Role: datadir.Backup, Verdict: datadir.SourceSound, Made: made, ReadNow: true, Snapshots: 1203, Newest: &latest}
	db := datadir.Source{Path: databaseBackup, Kind: datadir.DatabaseKind, Role: datadir.Backup, Verdict: datadir.SourceSound, Made: made, ReadNow: true,
		Blocks: 1951, Tip: 847691, Heights: []datadir.Range{{From: 845741, To: 847691}}, Anchors: 14, Events: 3}
	v.BackupFolder = &datadir.BackupFolder{Path: folder, Exists: true, Snapshots: 31, Databases: 31}
	v.NewestBackups = &datadir.NewestBackups{Snapshots: &snapshots, Database: &db}
	v.OlderBackups, v.BackupNames = &datadir.OlderBackups{Sound: 62}, &datadir.BackupNames{}
	v.Cover = &datadir.Cover{
		Snapshots: []datadir.Source{{Path: file, Kind: datadir.SnapshotKind, Role: datadir.Live, Verdict: datadir.SourceSound, Snapshots: 1203, Newest: &latest}, snapshots},
		Databases: []datadir.Source{{Path: database, Kind: datadir.DatabaseKind, Role: datadir.Live, Verdict: datadir.SourceSound,
			Blocks: 1951, Tip: 847691, Heights: []datadir.Range{{From: 845741, To: 847691}}, Anchors: 14, Events: 3}, db},
		Groups: []datadir.Group{
			{Thing: datadir.SnapshotThing, Sources: []int{0, 1}, Count: 1203, Last: latest.Ms},
			{Thing: datadir.AnchorThing, Sources: []int{0, 1}, Count: 14, Last: ms("09:40:12")},
			{Thing: datadir.EventThing, Sources: []int{0, 1}, Count: 3},
		},
	}
	return v
}

// setting returns the setting for an operator who gave no flags.
func setting() Setting {
	return Setting{DataDir: dataDir, BackupDir: folder, Unit: "ailee-node", Now: now}
}

// change changes a view.
type change func(v *datadir.View)

func (c change) and(other change) change {
	return func(v *datadir.View) {
		c(v)
		other(v)
	}
}

// share replaces the groups of a kind of things.
func share(v *datadir.View, thing datadir.Thing, groups ...datadir.Group) {
	v.Cover.Groups = slices.DeleteFunc(v.Cover.Groups, func(g datadir.Group) bool { return g.Thing == thing })
	for _, g := range groups {
		g.Thing = thing
		v.Cover.Groups = append(v.Cover.Groups, g)
	}
}

// gone removes a live part from the sources that are compared.
func gone(v *datadir.View, kind datadir.Kind) {
	list := &v.Cover.Snapshots
	if kind == datadir.DatabaseKind {
		list = &v.Cover.Databases
	}
	*list = (*list)[1:]
	for i := range v.Cover.Groups {
		g := &v.Cover.Groups[i]
		if (g.Thing == datadir.SnapshotThing) != (kind == datadir.SnapshotKind) {
			continue
		}
		var sources []int
		for _, s := range g.Sources {
			if s > 0 {
				sources = append(sources, s-1)
			}
		}
		g.Sources = sources
	}
}

// The faults: one for each kind of finding.
var (
	stopped change = func(v *datadir.View) {
		v.Holders.Processes = nil
		set(v, datadir.DataHolders, datadir.Sound, "not running")
	}
	tornTail change = func(v *datadir.View) {
		v.Tail.Length = 400
		set(v, datadir.SnapshotsTail, datadir.Wrong, "400 bytes from byte 2904443, not growing")
	}
	hiddenSnapshot change = func(v *datadir.View) {
		v.Hidden.Count = 1
		v.Cover.Snapshots[0].Hidden = 1
		set(v, datadir.SnapshotsHidden, datadir.Wrong, "no node sees a sound snapshot at byte 2904843")
	}
	// The latest snapshot is not valid. The others are in the backup as well.
	latestWrong change = func(v *datadir.View) {
		v.AllSnapshots.Valid = 1202
		v.AllSnapshots.Bad = []datadir.Bad{{Number: 1203, Offset: 2900000, Verdict: "state root mismatch", Time: datadir.Time{Ms: ms("10:02:11")}}}
		v.Cover.Snapshots[0].Snapshots, v.Cover.Snapshots[0].Verdict = 1202, datadir.SourceWrong
		set(v, datadir.SnapshotsLatest, datadir.Wrong, "at byte 2900000: state root mismatch")
		share(v, datadir.SnapshotThing, datadir.Group{Sources: []int{0, 1}, Count: 1202}, datadir.Group{Sources: []int{1}, Count: 1, Last: ms("10:02:11")})
	}
	// Valid snapshots in the file are not in the backup.
	latestWrongAhead = latestWrong.and(func(v *datadir.View) {
		share(v, datadir.SnapshotThing, datadir.Group{Sources: []int{0, 1}, Count: 1200}, datadir.Group{Sources: []int{0}, Count: 2, Last: ms("10:00:00")})
		v.NewestBackups.Snapshots.Newest = &datadir.Time{Ms: ms("09:00:00")}
		v.Cover.Snapshots[1].Newest = &datadir.Time{Ms: ms("09:00:00")}
	})
	fileMissing change = func(v *datadir.View) {
		gone(v, datadir.SnapshotKind)
		v.SnapshotForm = &datadir.SnapshotForm{Form: datadir.MissingForm}
		v.Latest, v.AllSnapshots, v.Tail, v.Hidden, v.PegOuts, v.AgreeLatest, v.AgreeAll = nil, nil, nil, nil, nil, nil, nil
		unset(v, datadir.SnapshotsLatest, datadir.SnapshotsAll, datadir.SnapshotsTail, datadir.SnapshotsHidden, datadir.SnapshotsPegOuts, datadir.AgreeLatest, datadir.AgreeAll)
		set(v, datadir.SnapshotsForm, datadir.Wrong, "there is no "+file)
	}
	noBackups change = func(v *datadir.View) {
		v.NewestBackups = &datadir.NewestBackups{}
		v.BackupFolder.Snapshots, v.BackupFolder.Databases = 0, 0
		keepLive := func(list []datadir.Source) []datadir.Source {
			return slices.DeleteFunc(slices.Clone(list), func(s datadir.Source) bool { return s.Role == datadir.Backup })
		}
		hadFile, hadDatabase := len(v.Cover.Snapshots) > 1, len(v.Cover.Databases) > 1
		v.Cover.Snapshots, v.Cover.Databases = keepLive(v.Cover.Snapshots), keepLive(v.Cover.Databases)
		var groups []datadir.Group
		for _, g := range v.Cover.Groups {
			had := hadDatabase
			if g.Thing == datadir.SnapshotThing {
				had = hadFile
			}
			if had && slices.Contains(g.Sources, 0) {
				g.Sources = []int{0}
				groups = append(groups, g)
			}
		}
		v.Cover.Groups = groups
		set(v, datadir.BackupsNewest, datadir.Wrong, "no sound backup of the snapshots and of the database")
	}
	// A table is damaged: 51 records are lost, 49 of which are in the backup.
	damaged change = func(v *datadir.View) {
		v.Damage = &datadir.Damage{Found: []datadir.Damaged{{File: "000004.sst", Offset: 19547, Length: 980, Entries: 51}}, Count: 1, Files: 1, Tables: 3, Entries: 51}
		set(v, datadir.DBDamage, datadir.Wrong, "000004.sst at byte 19547, 980 bytes: 51 records lost")
		v.Cover.Databases[0].Verdict = datadir.SourceWrong
		v.Cover.Databases[0].Heights = []datadir.Range{{From: 845741, To: 847640}, {From: 847692, To: 847695}}
		v.Cover.Databases[1].Heights = []datadir.Range{{From: 845741, To: 847689}}
	}
	immutable change = func(v *datadir.View) {
		v.Mounts.Found = []datadir.Mounted{{Path: file, Kind: datadir.Immutable}}
		set(v, datadir.DataMount, datadir.Wrong, "immutable")
	}
	tooNew change = func(v *datadir.View) {
		set(v, datadir.DBDamage, datadir.CouldNot, "too new").Err = &reorgdb.TooNewError{}
		v.Damage, v.Records = nil, nil
	}
	databaseMissing change = func(v *datadir.View) {
		gone(v, datadir.DatabaseKind)
		v.DatabaseForm = &datadir.DatabaseForm{Form: datadir.MissingFolder}
		v.Damage, v.Records, v.AgreeLatest, v.AgreeAll = nil, nil, nil, nil
		unset(v, datadir.DBDamage, datadir.DBRecords, datadir.AgreeLatest, datadir.AgreeAll)
		set(v, datadir.DBForm, datadir.Wrong, "there is no "+database)
	}
	madeAnew change = func(v *datadir.View) {
		v.Records.Anchors = map[string]uint64{"pending": 1}
		share(v, datadir.AnchorThing, datadir.Group{Sources: []int{1}, Count: 14}, datadir.Group{Sources: []int{0}, Count: 1})
		share(v, datadir.EventThing, datadir.Group{Sources: []int{1}, Count: 3})
		set(v, datadir.BackupsCover, datadir.Wrong, "the data lacks 14 anchors and 3 events that a backup has")
	}
	rotten change = func(v *datadir.View) {
		wrong := *v.NewestBackups.Database
		wrong.Verdict, wrong.Why = datadir.SourceWrong, "ends after 8192 bytes"
		older := *v.NewestBackups.Database
		older.Path, older.Made = folder+"/reorg_db_20260318_091704.tar.gz", now.Add(-63*time.Minute-37*time.Second)
		v.NewestBackups.Database, v.NewestBackups.Wrong = &older, []datadir.Source{wrong}
		v.Cover.Databases[len(v.Cover.Databases)-1].Path, v.Cover.Databases[len(v.Cover.Databases)-1].Made = older.Path, older.Made
		set(v, datadir.BackupsNewest, datadir.Wrong, "reorg_db_20260318_101702.tar.gz: ends after 8192 bytes")
	}
	pendingBroadcast change = func(v *datadir.View) {
		v.Broadcast = &datadir.Broadcast{Path: dataDir + "/.reorg_db.anchor-pending", Anchor: "ab", Root: "cd", TxID: "ef", Wallet: "anchors", Snapshot: 1203, Latest: true}
		set(v, datadir.DataBroadcast, datadir.Wrong, "the broadcast of anchor ab was interrupted")
	}
	killedPrune change = func(v *datadir.View) {
		v.Leftovers.Found = append(v.Leftovers.Found, datadir.Leftover{Path: dataDir + "/.l2_snapshots.dat.ailee-old-1", Kind: datadir.PruneLeft})
		set(v, datadir.DataLeftovers, datadir.Wrong, "a prune was killed and must be completed")
	}
	withBitcoin change = func(v *datadir.View) {
		v.BitcoinState = &datadir.BitcoinState{URL: "http://localhost:8332", Chain: "main", Height: 847691, Headers: 847691, TipTime: now.Add(-5 * time.Minute)}
		v.Chain, v.Heights, v.Proofs = &datadir.Chain{Compared: 1951}, &datadir.Heights{}, &datadir.Proofs{}
		for _, code := range []datadir.Code{datadir.DBHeights, datadir.BitcoinNode, datadir.BitcoinBlocks, datadir.BitcoinAnchors} {
			set(v, code, datadir.Sound, "sound")
		}
	}
	syncing change = func(v *datadir.View) {
		v.BitcoinState = &datadir.BitcoinState{URL: "http://localhost:8332", Chain: "main", Height: 512004, Headers: 847702, Trouble: datadir.Syncing}
		v.Chain, v.Heights, v.Proofs = nil, nil, nil
		unset(v, datadir.DBHeights, datadir.BitcoinBlocks, datadir.BitcoinAnchors)
		set(v, datadir.BitcoinNode, datadir.CouldNot, "it is still syncing: block 512004 of 847702")
	}
	reorged = withBitcoin.and(func(v *datadir.View) {
		v.Chain.Different, v.Chain.First, v.Chain.Last = 2, datadir.Range{From: 847690, To: 847691}, datadir.Range{From: 847690, To: 847691}
		set(v, datadir.BitcoinBlocks, datadir.Wrong, "2 of 1951 block hashes differ from the chain, starting at 847690")
	})
	full change = func(v *datadir.View) {
		v.Space.FileSystems[0].Free = 1 << 30
		set(v, datadir.DataSpace, datadir.Wrong, "1.0 GiB free in /var/lib/ailee, 3.0 GiB needed")
	}
	futureBackup change = func(v *datadir.View) {
		v.BackupNames.Future = []datadir.Misdated{{Path: folder + "/l2_snapshots_20990101_000000.dat.bak", True: folder + "/l2_snapshots_20260318_100211.dat.bak"}}
		set(v, datadir.BackupsNames, datadir.Wrong, "1 dated in the future")
	}
	wrongOwner change = func(v *datadir.View) {
		v.Owners.Count = 1
		v.Owners.Wrong = []datadir.Denied{{Path: file, Has: "root:root 0600", Want: "ailee:ailee 0600", ByOwner: true}}
		set(v, datadir.DataOwner, datadir.Wrong, file+" is root:root 0600")
	}
)

// copyOf adds a copy, which was read.
func copyOf(kind datadir.Kind, path string, count int64) change {
	return func(v *datadir.View) {
		s := datadir.Source{Path: path, Kind: kind, Role: datadir.KeptCopy, Verdict: datadir.SourceSound, ReadNow: true, Snapshots: count, Newest: &datadir.Time{Ms: ms("10:10:00")}}
		list := &v.Cover.Snapshots
		if kind == datadir.DatabaseKind {
			list = &v.Cover.Databases
		}
		*list = append(*list, s)
	}
}

func lineOf(command []string) string { return exit.Command(command...) }

// commands returns the commands of a plan, one for each step. A manual step is its text.
func (p Plan) commands() (list []string) {
	for _, s := range p.Steps {
		switch {
		case s.Manual:
			list = append(list, "manual: "+s.Text)
		case slices.Equal(s.Expect, []int{0}):
			list = append(list, lineOf(s.Command))
		default:
			list = append(list, fmt.Sprintf("%s %v", lineOf(s.Command), s.Expect))
		}
	}
	return list
}
