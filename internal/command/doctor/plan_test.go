package doctor

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/datadir"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
)

const (
	room  = dataDir + "/recovery_20260318_102041"
	stop  = "systemctl stop ailee-node"
	start = "systemctl start ailee-node"
	mkdir = "mkdir -m 750 " + room
	save  = "ailee-backup"
	again = "ailee-doctor"
	prune = "ailee_prune_snapshots --in-place --keep all --file " + file
	sync  = "ailee_resync_blocks --anchors --db-path " + database + " --bitcoin-rpc http://localhost:8332"
	send  = "ailee_create_anchor --broadcast --yes --wallet anchors --l2-state-file " + file + " --bitcoin-rpc http://localhost:8332"

	recovered = room + "/l2_snapshots.dat"
	merged    = room + "/reorg_db"
	putFile   = "ailee-restore --snapshot-backup " + recovered
	putDB     = "ailee-restore --db-backup " + merged
	putBoth   = "ailee-restore --snapshot-backup " + recovered + " --db-backup " + merged
	backFile  = "ailee-restore --snapshot-only"
	backDB    = "ailee-restore --db-only"
	verify    = "ailee-backup verify --all [0 2]"
	discard   = "ailee_prune_snapshots --in-place --discard-hidden --keep all --file " + file
	leftover  = dataDir + "/.l2_snapshots.dat.ailee-old-1"
	copyFile  = "cp -a --reflink=auto " + file
	extract   = "ailee_extract_snapshots --index 1203"
	sendAside = "ailee_create_anchor --broadcast --yes --wallet anchors --l2-state-file " + room + "/snapshot_1203.dat --bitcoin-rpc http://localhost:8332 --output " + room + "/anchored_1203.dat"
	useBuild  = "manual: Use the build of these tools that matches the node's RocksDB: nothing is damaged, but a copy would lose what this build cannot read."

	recLive       = "ailee_recover_snapshots " + file + " " + recovered + " [0 2]"
	recBackupLive = "ailee_recover_snapshots " + fileBackup + " " + file + " " + recovered + " [0 2]"
	mergeLive     = "ailee_init_reorg_db --path " + merged + " --copy-from " + database
	mergeBoth     = mergeLive + " --copy-from " + databaseBackup
)

// row is one finding or several, and what to do about it.
type row struct {
	name    string
	change  change
	want    []string // the commands, without the last one, which looks again
	loses   string
	instead string // the next best way: its command and its loss
	last    []string
	waits   bool // there is only advice
	stays   bool // there is nothing to do until something outside changes
	code    int
}

// TestPlanOfOthers: the operator's flags are passed on to the commands, and commands run by root
// can write where they have to.
func TestPlanOfOthers(t *testing.T) {
	v := healthy()
	hiddenSnapshot(v)
	reorged(v)
	s := Setting{DataDir: "/srv/a b", BackupDir: "/mnt/b", Unit: "node", URL: "https://btc:8332", Login: []string{"--rpc-cookie-file", "/c"}, Root: true, Now: now,
		Flags: []string{"--data-dir", "/srv/a b", "--backup-dir", "/mnt/b"}}
	require.Equal(t, []string{
		"systemctl stop node",
		"install -d -m 750 -o ailee -g ailee '/srv/a b/recovery_20260318_102041'",
		"ailee_recover_snapshots /var/lib/ailee/l2_snapshots.dat '/srv/a b/recovery_20260318_102041/l2_snapshots.dat' [0 2]",
		"ailee-restore --snapshot-backup '/srv/a b/recovery_20260318_102041/l2_snapshots.dat' --data-dir '/srv/a b' --backup-dir /mnt/b",
		"ailee_resync_blocks --anchors --db-path '/srv/a b/reorg_db' --bitcoin-rpc https://btc:8332 --rpc-cookie-file /c",
		"systemctl start node",
		"ailee-backup --data-dir '/srv/a b' --backup-dir /mnt/b",
		"ailee-doctor --data-dir '/srv/a b' --backup-dir /mnt/b --bitcoin-rpc https://btc:8332 --rpc-cookie-file /c",
	}, MakePlan(v, s).commands())
}

// TestPlan tests the findings one by one, then combinations of them.
func TestPlan(t *testing.T) {
	rows := []row{
		{name: "1 torn tail", change: tornTail, want: []string{prune, save}},
		{name: "1 missing newline", change: func(v *datadir.View) {
			v.Tail.NoNewline = true
			set(v, datadir.SnapshotsTail, datadir.Wrong, "the last line has no newline")
		}, want: []string{prune, save}},
		{name: "1 torn tail with a complete snapshot that is not valid", change: tornTail.and(func(v *datadir.View) { v.Hidden.Invalid = 1 }),
			want: []string{mkdir, copyFile + " " + room, discard, save}, loses: "1 snapshot that is not valid, and that no node sees"},
		{name: "1 torn tail of a file with other names", change: tornTail.and(func(v *datadir.View) { v.Names.Links = 2 }),
			want: []string{stop, mkdir, recLive, putFile + " --force", start, save}},
		{name: "2 hidden snapshots", change: hiddenSnapshot, want: []string{stop, mkdir, recLive, putFile, start, save}},
		{name: "3 latest wrong, a backup has all", change: latestWrong, want: []string{stop, backFile, start, save}, loses: "1 snapshot that is not valid, of 10:02:11 UTC"},
		{name: "4 latest wrong, the file has more", change: latestWrongAhead, want: []string{stop, mkdir, recBackupLive, putFile, start, save},
			loses: "1 snapshot that is not valid, of 10:02:11 UTC", instead: "ailee-restore --snapshot-only --force: 2 snapshots, the last of 10:00:00 UTC"},
		{name: "4 with peg-outs", change: latestWrongAhead.and(func(v *datadir.View) { v.Cover.Snapshots[0].PegOutsOpen = 3 }),
			want:  []string{stop, mkdir, "ailee_recover_snapshots --accept-pruned-anchors " + fileBackup + " " + file + " " + recovered + " [0 2]", putFile, start, save},
			loses: "1 snapshot that is not valid, of 10:02:11 UTC", instead: "ailee-restore --snapshot-only --force: 2 snapshots, the last of 10:00:00 UTC"},
		{name: "5 zeros", change: fileMissing.and(func(v *datadir.View) {
			v.SnapshotForm.Form = datadir.ZerosForm
			set(v, datadir.SnapshotsForm, datadir.Wrong, "it is 2904443 bytes of zeros")
		}), want: []string{stop, backFile, start, save}},
		{name: "6 file missing", change: fileMissing, want: []string{stop, backFile, start, save}},
		{name: "6 file missing, a copy goes further", change: fileMissing.and(copyOf(datadir.SnapshotKind, file+".replaced_1", 5)).and(func(v *datadir.View) {
			share(v, datadir.SnapshotThing, datadir.Group{Sources: []int{0}, Count: 1200}, datadir.Group{Sources: []int{1}, Count: 5})
		}), want: []string{stop, mkdir, "ailee_recover_snapshots " + fileBackup + " " + file + ".replaced_1 " + recovered, putFile, start, save},
			instead: "ailee-restore --snapshot-only --force: 5 snapshots"},
		{name: "7 compressed", change: fileMissing.and(packed), want: []string{stop, "ailee-restore --snapshot-backup " + file, start, save}},
		{name: "8 nothing valid anywhere", change: fileMissing.and(noBackups), code: 2,
			last: []string{stop, "ailee_init_node --data-dir /var/lib/ailee --if-missing", start, again}},
		{name: "9 wrong owner", change: wrongOwner, want: []string{"chown ailee:ailee " + file}},
		{name: "9 wrong mode", change: wrongOwner.and(func(v *datadir.View) { v.Owners.Wrong[0].ByOwner, v.Owners.Wrong[0].ByMode = false, true }),
			want: []string{"chmod u+rwX " + file}},
		{name: "10 peg-outs of earlier anchors", change: func(v *datadir.View) { v.PegOuts.InDB, v.Cover.Snapshots[0].PegOutsOpen = 4, 4 }},
		{name: "11 peg-outs of anchors nowhere", change: func(v *datadir.View) {
			v.PegOuts.Missing = 1
			set(v, datadir.SnapshotsPegOuts, datadir.CouldNot, "found nowhere")
		}, stays: true, code: 1},
		{name: "12 damaged table", change: damaged.and(func(v *datadir.View) { v.Cover.Databases[1].Heights[0].To = 847691 }),
			want: []string{stop, mkdir, mergeBoth + " [0 2]", putDB, sync, start, save}},
		{name: "12 damaged, no backup adds anything", change: damaged.and(func(v *datadir.View) {
			v.Cover.Databases[0].Heights, v.Damage.Entries = []datadir.Range{{From: 845741, To: 847691}}, 0
		}), want: []string{stop, mkdir, mergeLive + " [0 2]", putDB, sync, start, save}},
		{name: "12 damaged log", change: damaged.and(func(v *datadir.View) {
			v.Damage.AtMost, v.Damage.Entries = true, 0
			v.Cover.Databases[0].Heights = []datadir.Range{{From: 845741, To: 847691}}
		}), want: []string{stop, mkdir, mergeLive + " [0 2]", putDB, sync, start, save}, loses: "an unknown number of records of the damaged database, perhaps none"},
		{name: "13 database missing", change: databaseMissing, want: []string{stop, backDB, sync, start, save}},
		{name: "13 database missing, two have something", change: databaseMissing.and(copyOf(datadir.DatabaseKind, database+".replaced_1", 0)).and(func(v *datadir.View) {
			share(v, datadir.AnchorThing, datadir.Group{Sources: []int{0}, Count: 14}, datadir.Group{Sources: []int{1}, Count: 2})
		}), want: []string{stop, mkdir, "ailee_init_reorg_db --path " + merged + " --copy-from " + databaseBackup + " --copy-from " + database + ".replaced_1", putDB, sync, start, save}},
		{name: "14 database missing, no source", change: databaseMissing.and(noBackups), code: 2,
			last: []string{stop, "ailee_init_reorg_db --path " + database, "ailee_resync_blocks --start-height 847690 --db-path " + database + " --bitcoin-rpc http://localhost:8332", start, again}},
		{name: "15 recreated", change: madeAnew, want: []string{stop, mkdir, mergeBoth, putDB, sync, start, save}, instead: "ailee-backup --accept-loss: 14 anchors and 3 events"},
		{name: "16 another network", change: withBitcoin.and(func(v *datadir.View) {
			v.Chain.OtherNetwork = true
			set(v, datadir.BitcoinBlocks, datadir.Wrong, "the database is from another network")
		}), want: []string{stop, "ailee-restore --db-only --force", sync, start, save}},
		{name: "17 all differ from Bitcoin", change: withBitcoin.and(func(v *datadir.View) {
			v.Chain.OtherNetwork, v.BitcoinState.Trouble = true, datadir.OtherChain
			set(v, datadir.BitcoinNode, datadir.CouldNot, "it is on another network")
			set(v, datadir.BitcoinBlocks, datadir.CouldNot, "it is on another network")
		}), stays: true, code: 1},
		{name: "18 heights are a count", change: withBitcoin.and(func(v *datadir.View) {
			v.Heights.Count = 20
			set(v, datadir.DBHeights, datadir.Wrong, "20 blocks are stored at a count")
		}), want: []string{stop, "ailee_resync_blocks --repair-heights --db-path " + database + " --bitcoin-rpc http://localhost:8332", sync, start, save}},
		{name: "19 too new", change: func(v *datadir.View) {
			set(v, datadir.DBDamage, datadir.CouldNot, "too new").Err = &reorgdb.TooNewError{}
			v.Damage, v.Records = nil, nil
		}, want: []string{"manual: Use the build of these tools that matches the node's RocksDB: nothing is damaged, but a copy would lose what this build cannot read."}, stays: true, code: 1},
		{name: "19 too new, and a torn tail and a broadcast", change: tornTail.and(pendingBroadcast).and(func(v *datadir.View) {
			set(v, datadir.DBDamage, datadir.CouldNot, "too new").Err = &reorgdb.TooNewError{}
			v.Damage, v.Records = nil, nil
		}), want: []string{"manual: Use the build of these tools that matches the node's RocksDB: nothing is damaged, but a copy would lose what this build cannot read.",
			prune, "ailee-backup --snapshot-only"}},
		{name: "16 another network, and Bitcoin not asked", change: madeAnew.and(func(v *datadir.View) { v.Cover.Disagree = true }), waits: true},
		{name: "18 heights may be a count, and Bitcoin not asked", change: func(v *datadir.View) {
			v.Records.Gaps, v.Records.Missing = []datadir.Range{{From: 13, To: 845740}}, 845728
			set(v, datadir.DBRecords, datadir.Wrong, "845728 heights have no block hash")
		}, waits: true},
		{name: "32 reorg, but Bitcoin is syncing", change: func(v *datadir.View) {
			v.Records.Gaps, v.Records.Missing = []datadir.Range{{From: 846000, To: 846009}}, 10
			set(v, datadir.DBRecords, datadir.Wrong, "10 heights have no block hash")
			syncing(v)
		}, waits: true},
		{name: "20 held by the node", change: func(*datadir.View) {}},
		{name: "21 held by another process", change: hiddenSnapshot.and(func(v *datadir.View) {
			v.Holders.Processes[0].Unit, v.Holders.Processes[0].Command, v.Holders.Installed = "", "bash", false
		}), want: []string{"kill 1234", mkdir, recLive, putFile, save}},
		{name: "21 held by another process, and a torn tail", change: tornTail.and(func(v *datadir.View) {
			v.Holders.Processes = append(v.Holders.Processes, datadir.Holder{PID: 77, Command: "tail", Part: datadir.SnapshotKind, Writes: true})
		}), want: []string{"kill 77", prune, save}},
		{name: "22 LOCK removed while a process holds it", change: tornTail.and(func(v *datadir.View) {
			v.Holders.Processes[0].Locks, v.Holders.Removed = false, true
			set(v, datadir.DataHolders, datadir.Wrong, "its LOCK is gone")
		}), want: []string{stop}},
		{name: "22 two writers", change: func(v *datadir.View) {
			other := v.Holders.Processes[0]
			other.PID, other.Unit, other.Locks = 77, "", false
			v.Holders.Processes = append(v.Holders.Processes, other)
			set(v, datadir.DataHolders, datadir.Wrong, "two writers")
		}, want: []string{stop, "kill 77"}},
		{name: "23 killed prune", change: killedPrune, want: []string{prune, save}},
		{name: "23 killed prune that carries over invalid snapshots", change: killedPrune.and(func(v *datadir.View) { v.Leftovers.Found[0].Invalid = 2 }),
			want: []string{mkdir, copyFile + " " + leftover + " " + room, discard, save}, loses: "2 snapshots that are not valid, and that no node sees"},
		{name: "23 killed prune that carries over hidden snapshots", change: killedPrune.and(func(v *datadir.View) {
			v.Leftovers.Found[0].Hidden = 1
			left := datadir.Source{Path: leftover, Kind: datadir.SnapshotKind, Role: datadir.LeftoverRole, Verdict: datadir.SourceSound, Hidden: 1, Newest: &datadir.Time{Ms: ms("09:00:00")}}
			v.Cover.Snapshots = append(v.Cover.Snapshots, left)
		}), want: []string{stop, mkdir, "ailee_recover_snapshots " + leftover + " " + file + " " + recovered + " [0 2]", putFile, start, save}},
		{name: "23 killed prune that carries over an invalid latest", change: killedPrune.and(func(v *datadir.View) { v.Leftovers.Found[0].LatestInvalid = true }),
			want: []string{stop, mkdir, recLive, putFile + " --force", start, save}},
		{name: "23 killed prune that left a file with other names", change: killedPrune.and(func(v *datadir.View) { v.Leftovers.Found[0].Shared = true }),
			want: []string{stop, mkdir, recLive, putFile + " --force", start, save}},
		{name: "23 killed prune, both tails with invalid snapshots", change: killedPrune.and(tornTail).and(func(v *datadir.View) {
			v.Leftovers.Found[0].Invalid, v.Hidden.Invalid = 1, 1
			left := datadir.Source{Path: leftover, Kind: datadir.SnapshotKind, Role: datadir.LeftoverRole, Verdict: datadir.SourceSound, Newest: &datadir.Time{Ms: ms("09:00:00")}}
			v.Cover.Snapshots = append(v.Cover.Snapshots, left)
		}), want: []string{stop, mkdir, "ailee_recover_snapshots " + leftover + " " + file + " " + recovered + " [0 2]", putFile + " --force", start, save}},
		{name: "23 killed prune that carries over hidden snapshots, and nothing could be compared", change: killedPrune.and(func(v *datadir.View) {
			v.Leftovers.Found[0].Hidden, v.Cover = 1, nil
			set(v, datadir.BackupsCover, datadir.CouldNot, "no right")
		}), want: []string{stop, mkdir, "ailee_recover_snapshots " + leftover + " " + file + " " + recovered + " [0 2]", putFile, start, save}},
		{name: "24 killed prune, file since replaced by one that has more", change: killedPrune.and(func(v *datadir.View) { v.Leftovers.Found[0].Kind = datadir.PruneForeign }),
			want: []string{stop, mkdir, recLive, putFile + " --force", start, save}},
		{name: "24 killed prune, file since replaced", change: killedPrune.and(func(v *datadir.View) {
			v.Leftovers.Found[0].Kind = datadir.PruneForeign
			left := datadir.Source{Path: v.Leftovers.Found[0].Path, Kind: datadir.SnapshotKind, Role: datadir.LeftoverRole, Verdict: datadir.SourceSound, Newest: &datadir.Time{Ms: ms("09:00:00")}}
			v.Cover.Snapshots = append(v.Cover.Snapshots, left)
			share(v, datadir.SnapshotThing, datadir.Group{Sources: []int{0, 1}, Count: 1203}, datadir.Group{Sources: []int{2}, Count: 2})
		}), want: []string{stop, mkdir, "ailee_recover_snapshots " + dataDir + "/.l2_snapshots.dat.ailee-old-1 " + file + " " + recovered + " [0 2]", putFile, start, save}},
		{name: "25 killed restore", change: databaseMissing.and(func(v *datadir.View) {
			v.Leftovers.Found = []datadir.Leftover{{Path: dataDir + "/.ailee-restore.json", Kind: datadir.RestoreLeft}}
			set(v, datadir.DataLeftovers, datadir.Wrong, "a restore was interrupted")
		}), want: []string{stop, "ailee-restore"}},
		{name: "25 killed restore, immutable and with another owner", change: wrongOwner.and(immutable).and(func(v *datadir.View) {
			v.Leftovers.Found = []datadir.Leftover{{Path: dataDir + "/.ailee-restore.json", Kind: datadir.RestoreLeft}}
		}), want: []string{stop, "chattr -i " + file, "chown ailee:ailee " + file, "ailee-restore"}},
		{name: "26 broadcast pending", change: pendingBroadcast, want: []string{stop, send, start, save}},
		{name: "26 of an older snapshot", change: pendingBroadcast.and(func(v *datadir.View) { v.Broadcast.Latest, v.Broadcast.Snapshot, v.Broadcast.Wallet = false, 1200, "" }),
			want: []string{stop, mkdir, "ailee_extract_snapshots --index 1200 " + file + " " + room,
				"ailee_create_anchor --broadcast --yes --l2-state-file " + room + "/snapshot_1200.dat --bitcoin-rpc http://localhost:8332 --output " + room + "/anchored_1200.dat", start, save}},
		{name: "26 and there will be another latest snapshot", change: pendingBroadcast.and(killedPrune).and(func(v *datadir.View) { v.Broadcast.Snapshot = 1203 }),
			want: []string{stop, mkdir, extract + " " + file + " " + room, prune, sendAside, start, save}},
		{name: "26 and the file is replaced", change: pendingBroadcast.and(hiddenSnapshot).and(func(v *datadir.View) { v.Broadcast.Snapshot = 1203 }),
			want: []string{stop, mkdir, extract + " " + file + " " + room, recLive, putFile, sendAside, start, save}},
		{name: "26 of a state that only a backup may have", change: pendingBroadcast.and(fileMissing).and(func(v *datadir.View) { v.Broadcast.Latest, v.Broadcast.Snapshot = false, 0 }),
			want: []string{stop, backFile, start, save}},
		{name: "27 no backups", change: noBackups, want: []string{save}},
		{name: "28 newest backup wrong", change: rotten, want: []string{verify, save}},
		{name: "29 dated in the future", change: futureBackup,
			want: []string{"mv -n " + folder + "/l2_snapshots_20990101_000000.dat.bak " + folder + "/l2_snapshots_20260318_100211.dat.bak", save}},
		{name: "30 backups not mounted", change: notMounted, stays: true, code: 1,
			want: []string{"manual: Mount the file system of " + folder + ": not mounted. Do not create the folder: it would hide the backups."}},
		{name: "31 disk full, a copy is redundant", change: full.and(func(v *datadir.View) {
			v.Copies.Found = []datadir.Copy{{Path: database + ".replaced_1", Kind: datadir.DatabaseKind, Size: 3 << 30, Redundant: true},
				{Path: database + ".replaced_2", Kind: datadir.DatabaseKind, Size: 3 << 30}}
		}), want: []string{"rm -r " + database + ".replaced_1"}},
		{name: "31 disk full", change: full,
			want: []string{"manual: Make room on the file system of /var/lib/ailee: 1.0 GiB free, 3.0 GiB needed. Delete nothing in /var/lib/ailee/reorg_db, and no backup."}},
		{name: "32 reorg during downtime", change: reorged, want: []string{stop, sync, start, save}},
		{name: "32 deep", change: reorged.and(func(v *datadir.View) { v.Chain.First = datadir.Range{From: 847500, To: 847501} }),
			want: []string{stop, "ailee_resync_blocks --anchors --start-height 847500 --max-reorg-depth 192 --db-path " + database + " --bitcoin-rpc http://localhost:8332", start, save}},
		{name: "32 blocks since", change: withBitcoin.and(stopped).and(func(v *datadir.View) {
			v.Chain.Behind = 5
			set(v, datadir.BitcoinBlocks, datadir.Wrong, "5 blocks behind")
		}), want: []string{stop, sync, start, save}},
		{name: "33 Bitcoin syncing", change: syncing, stays: true, code: 1},
		{name: "34 cut", change: func(v *datadir.View) {
			share(v, datadir.SnapshotThing, datadir.Group{Sources: []int{0, 1}, Count: 3}, datadir.Group{Sources: []int{1}, Count: 1200})
			set(v, datadir.BackupsCover, datadir.Wrong, "the data lacks 1200 snapshots that a backup has")
		}, want: []string{stop, mkdir, recBackupLive, putFile, start, save}, instead: "ailee-backup --accept-loss: 1200 snapshots"},
		{name: "35 the live file is a backup", change: func(v *datadir.View) {
			v.Names.Links, v.Names.Backups = 2, []string{folder + "/l2_snapshots_latest.dat.bak"}
			set(v, datadir.SnapshotsNames, datadir.Wrong, "the live file is also the backup")
		}, want: []string{save}},
		{name: "35 and append-only", change: func(v *datadir.View) {
			v.Names.Links, v.Names.Backups = 2, []string{folder + "/l2_snapshots_latest.dat.bak"}
			set(v, datadir.SnapshotsNames, datadir.Wrong, "the live file is also the backup")
			v.Mounts.Found = []datadir.Mounted{{Path: file, Kind: datadir.AppendOnly}}
		}, want: []string{"chattr -a " + file, save, "chattr +a " + file}},
		{name: "35 and torn", change: tornTail.and(func(v *datadir.View) {
			v.Names.Links, v.Names.Backups = 2, []string{folder + "/l2_snapshots_latest.dat.bak"}
			set(v, datadir.SnapshotsNames, datadir.Wrong, "the live file is also the backup")
		}), want: []string{stop, mkdir, recLive, putFile + " --force", start, save}},
		{name: "36 no record of the latest anchor", change: func(v *datadir.View) {
			v.AgreeLatest = &datadir.Agreement{Anchors: 1}
			set(v, datadir.AgreeLatest, datadir.Sound, "no record").Remark = "no record anywhere"
		}},
		{name: "37 the latest anchor is invalidated", change: func(v *datadir.View) {
			v.AgreeLatest.Status = "invalidated"
			set(v, datadir.AgreeLatest, datadir.Wrong, "the latest anchor is INVALIDATED")
		}, want: []string{stop, sync, start, save}},
		{name: "38 a gap", change: func(v *datadir.View) {
			v.Records.Gaps, v.Records.Missing = []datadir.Range{{From: 846000, To: 846009}}, 10
			set(v, datadir.DBRecords, datadir.Wrong, "10 heights have no block hash")
		}, want: []string{stop, "ailee_resync_blocks --anchors --start-height 846000 --db-path " + database + " --bitcoin-rpc http://localhost:8332", start, save}},
		{name: "39 counter too low", change: func(v *datadir.View) {
			v.Records.CounterBehind = true
			set(v, datadir.DBRecords, datadir.Wrong, "the event counter is 0")
		}, want: []string{stop, mkdir, mergeLive, putDB, start, save}},
		{name: "40 no data directory", change: func(v *datadir.View) {
			*v = datadir.View{At: now}
			set(v, datadir.DataDir, datadir.Wrong, "there is no folder /var/lib/ailee")
		}, want: []string{"manual: There is no folder /var/lib/ailee. Mount its disk, or name another folder with --data-dir. Do not create a new one: it would hide the data."},
			stays: true, code: 2},

		{name: "damaged database + rotten newest backup", change: damaged.and(rotten),
			want: []string{stop, mkdir, mergeLive + " --copy-from " + folder + "/reorg_db_20260318_091704.tar.gz [0 2]", putDB, sync, start, save}},
		{name: "damaged database + rotten newest backup that adds something", change: damaged.and(rotten).and(func(v *datadir.View) {
			v.Cover.Databases = append(v.Cover.Databases, v.NewestBackups.Wrong[0])
			share(v, datadir.AnchorThing, datadir.Group{Sources: []int{0, 1}, Count: 13}, datadir.Group{Sources: []int{2}, Count: 1})
		}), want: []string{stop, mkdir, mergeLive + " --copy-from " + folder + "/reorg_db_20260318_091704.tar.gz --copy-from " + databaseBackup + " [0 2]", putDB, sync, start, save},
			instead: "ailee-restore --db-only --force: 1 anchor"},
		{name: "torn tail + damaged database", change: tornTail.and(damaged).and(func(v *datadir.View) { v.Cover.Databases[1].Heights[0].To = 847691 }),
			want: []string{stop, prune, mkdir, mergeBoth + " [0 2]", putDB, sync, start, save}},
		{name: "torn tail + hidden snapshot", change: tornTail.and(hiddenSnapshot), want: []string{stop, mkdir, recLive, putFile, start, save}},
		{name: "torn tail + killed prune", change: tornTail.and(killedPrune), want: []string{prune, save}},
		{name: "latest wrong + killed prune", change: latestWrongAhead.and(killedPrune).and(func(v *datadir.View) {
			left := datadir.Source{Path: v.Leftovers.Found[0].Path, Kind: datadir.SnapshotKind, Role: datadir.LeftoverRole, Verdict: datadir.SourceSound, Newest: &datadir.Time{Ms: ms("09:30:00")}}
			v.Cover.Snapshots = append(v.Cover.Snapshots, left)
			v.Cover.Groups = append(v.Cover.Groups, datadir.Group{Thing: datadir.SnapshotThing, Sources: []int{2}, Count: 1})
		}), want: []string{stop, mkdir, "ailee_recover_snapshots " + fileBackup + " " + dataDir + "/.l2_snapshots.dat.ailee-old-1 " + file + " " + recovered + " [0 2]", putFile, start, save},
			loses: "1 snapshot that is not valid, of 10:02:11 UTC", instead: "ailee-restore --snapshot-only --force: 3 snapshots, the last of 10:00:00 UTC"},
		{name: "pruned on purpose + peg-outs of earlier anchors", change: func(v *datadir.View) {
			share(v, datadir.SnapshotThing, datadir.Group{Sources: []int{0, 1}, Count: 1000}, datadir.Group{Sources: []int{1}, Count: 203, Explained: true})
			v.PegOuts.InCopy = 2
		}},
		{name: "database missing + pending broadcast", change: databaseMissing.and(pendingBroadcast), want: []string{stop, backDB, sync, send, start, save}},
		{name: "both wrong", change: latestWrongAhead.and(damaged).and(func(v *datadir.View) { v.Cover.Databases[1].Heights[0].To = 847691 }),
			want:  []string{stop, mkdir, recBackupLive, mergeBoth + " [0 2]", putBoth, sync, start, save},
			loses: "1 snapshot that is not valid, of 10:02:11 UTC", instead: "ailee-restore --snapshot-only --force: 2 snapshots, the last of 10:00:00 UTC"},
		{name: "both missing", change: fileMissing.and(databaseMissing), want: []string{stop, "ailee-restore", sync, start, save}},
		{name: "file missing + damaged database", change: fileMissing.and(damaged).and(func(v *datadir.View) { v.Cover.Databases[1].Heights[0].To = 847691 }),
			want: []string{stop, mkdir, mergeBoth + " [0 2]", "ailee-restore --snapshot-backup " + fileBackup + " --db-backup " + merged, sync, start, save}},
		{name: "repair + disk full, the backups have room", change: hiddenSnapshot.and(full).and(func(v *datadir.View) {
			v.SnapshotForm.Size = 1 << 29
			v.Space.FileSystems[0].Needed, v.Space.FileSystems[0].Free = 1<<29, 1<<30
			v.Space.FileSystems = append(v.Space.FileSystems, datadir.FileSystem{Path: folder, Device: 2, Free: 1 << 40, Inodes: 1 << 20})
			set(v, datadir.DataSpace, datadir.Sound, "enough")
		}), want: []string{stop, "mkdir -m 750 " + folder + "/recovery_20260318_102041",
			"ailee_recover_snapshots " + file + " " + folder + "/recovery_20260318_102041/l2_snapshots.dat [0 2]",
			"ailee-restore --snapshot-backup " + folder + "/recovery_20260318_102041/l2_snapshots.dat", start, save}},
		{name: "repair + Bitcoin unusable", change: databaseMissing.and(syncing), want: []string{stop, backDB, start, save}},
		{name: "replacement + append-only", change: hiddenSnapshot.and(func(v *datadir.View) {
			v.Mounts.Found = []datadir.Mounted{{Path: file, Kind: datadir.AppendOnly}}
		}), want: []string{stop, "chattr -a " + file, mkdir, recLive, putFile, "chattr +a " + file, start, save}},
		{name: "replacement + separate mount", change: databaseMissing.and(func(v *datadir.View) {
			v.Mounts.Found = []datadir.Mounted{{Path: database, Kind: datadir.OwnMount, Point: database}}
		}), want: []string{stop, "manual: /var/lib/ailee/reorg_db is a separate mount, at /var/lib/ailee/reorg_db, and cannot be replaced: mount the folder above it instead, or copy what was recovered into it.", sync, start, save}},
		{name: "immutable", change: immutable, want: []string{"chattr -i " + file}},
		{name: "immutable and with another owner", change: wrongOwner.and(immutable), want: []string{"chattr -i " + file, "chown ailee:ailee " + file}},
		{name: "immutable database", change: func(v *datadir.View) {
			for i := range listedPaths + 1 {
				v.Mounts.Found = append(v.Mounts.Found, datadir.Mounted{Path: fmt.Sprintf("%s/%06d.sst", database, i), Kind: datadir.Immutable})
			}
			set(v, datadir.DataMount, datadir.Wrong, "immutable")
		}, want: []string{"chattr -R -i " + database}},
		{name: "broadcast + append-only folder", change: pendingBroadcast.and(func(v *datadir.View) {
			v.Mounts.Found = []datadir.Mounted{{Path: dataDir, Kind: datadir.AppendOnly}}
		}), want: []string{stop, "chattr -a " + dataDir, send, "chattr +a " + dataDir, start, save}},
		{name: "19 too new, and no backup", change: tooNew.and(noBackups), want: []string{useBuild, "ailee-backup --snapshot-only"}, stays: true},
		{name: "19 too new, and no backup of the database", change: tooNew.and(noBackups).and(func(v *datadir.View) {
			v.NewestBackups.Snapshots = &datadir.Source{Path: fileBackup, Kind: datadir.SnapshotKind}
		}), want: []string{useBuild}, stays: true},
		{name: "19 too new, and the newest backup of the database wrong", change: tooNew.and(rotten), want: []string{useBuild}, stays: true},
		{name: "28 already noted", change: rotten.and(func(v *datadir.View) { v.OlderBackups.Listed = v.NewestBackups.Wrong }), want: []string{save}},
		{name: "32 reorg, and no backup", change: reorged.and(noBackups), want: []string{stop, "ailee-backup --db-only", sync, start, save}},
		{name: "wrong owner + damaged", change: wrongOwner.and(damaged).and(func(v *datadir.View) { v.Cover.Databases[1].Heights[0].To = 847691 }),
			want: []string{stop, "chown ailee:ailee " + file, mkdir, mergeBoth + " [0 2]", putDB, sync, start, save}},
		{name: "damaged + backups not mounted", change: damaged.and(notMounted),
			want: []string{"manual: Mount the file system of " + folder + ": not mounted. Do not create the folder: it would hide the backups."}},
		{name: "clock wrong + torn tail", change: tornTail.and(func(v *datadir.View) { set(v, datadir.DataClock, datadir.Wrong, "the clock says 1970") }),
			want: []string{"manual: Set the clock, for example with timedatectl: the clock says 1970.", prune, save}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			v := healthy()
			r.change(v)
			s := setting()
			if v.BitcoinState != nil {
				s.URL = v.BitcoinState.URL
			}
			p := MakePlan(v, s)
			want := r.want
			if len(want) > 0 && (!r.stays || p.Again != nil || slices.Contains(p.commands(), again)) {
				look := again
				if s.URL != "" {
					look += " --bitcoin-rpc " + s.URL
				}
				want = append(slices.Clone(want), look)
			}
			require.Equal(t, want, p.commands())
			require.Equal(t, r.loses, p.Loses)
			instead := ""
			if p.Instead != nil {
				instead = exit.Command(p.Instead.Command...) + ": " + p.Instead.Loses
			}
			require.Equal(t, r.instead, instead)
			require.Equal(t, r.last, Plan{Steps: p.LastResort}.commands())
			if r.code > 0 {
				require.Equal(t, r.code, v.ExitCode())
			}
			require.NotContains(t, printed(v, s), "No command can repair")
			require.Equal(t, r.waits, strings.Contains(printed(v, s), "cannot be repaired yet"))
			for _, step := range p.Steps {
				require.True(t, step.Manual != (step.Command != nil), "%+v", step)
			}
		})
	}
}

var (
	packed change = func(v *datadir.View) {
		v.SnapshotForm = &datadir.SnapshotForm{Form: datadir.GzipForm, Size: 1 << 20}
		set(v, datadir.SnapshotsForm, datadir.Wrong, "it is compressed with gzip")
		live := datadir.Source{Path: file, Kind: datadir.SnapshotKind, Role: datadir.Live, Verdict: datadir.SourceSound, Packed: true, Snapshots: 1204, Newest: &datadir.Time{Ms: ms("10:15:00")}}
		v.Cover.Snapshots = append([]datadir.Source{live}, v.Cover.Snapshots...)
		share(v, datadir.SnapshotThing, datadir.Group{Sources: []int{0, 1}, Count: 1203}, datadir.Group{Sources: []int{0}, Count: 1, Last: ms("10:15:00")})
	}
	notMounted change = func(v *datadir.View) {
		v.BackupFolder = &datadir.BackupFolder{Path: folder, NotMounted: true}
		v.NewestBackups, v.OlderBackups, v.BackupNames = nil, nil, nil
		unset(v, datadir.BackupsNewest, datadir.BackupsOlder, datadir.BackupsNames)
		keep := func(list []datadir.Source) []datadir.Source { return list[:1] }
		v.Cover.Snapshots, v.Cover.Databases = keep(v.Cover.Snapshots), keep(v.Cover.Databases)
		for i := range v.Cover.Groups {
			v.Cover.Groups[i].Sources = []int{0}
		}
		set(v, datadir.BackupsFolder, datadir.CouldNot, "not mounted")
		set(v, datadir.BackupsCover, datadir.CouldNot, "no backups to compare with")
	}
)
