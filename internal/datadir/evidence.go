package datadir

import (
	"time"

	"ailee-recovery/internal/backups"
)

// The evidence of facts. Unless a comment says otherwise, sizes and offsets are in bytes, times
// in UTC, and paths absolute and without links. Long lists end after [MaxListed] entries, with
// a count of all.

// MaxListed bounds lists in evidence.
const MaxListed = 100

// Kind is one of the two kinds of data, live or in a backup.
type Kind = backups.Kind

// The kinds: l2_snapshots.dat and reorg_db.
const (
	SnapshotKind = backups.Snapshots
	DatabaseKind = backups.Database
)

// kinds are both kinds, in the order in which they are reported.
var kinds = []Kind{SnapshotKind, DatabaseKind}

// ID identifies a file or folder, by whatever path it is opened.
type ID struct {
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
}

// Place is where the data is.
type Place struct {
	Path       string `json:"path"`
	ID         ID     `json:"id"`
	FileSystem string `json:"file_system"` // its type, such as ext4, or the number in hex of an unknown type
	// Snapshots and Database are the paths of the two parts, whether these exist or not.
	Snapshots string `json:"snapshots"`
	Database  string `json:"database"`
	Links     []Link `json:"links,omitempty"` // that were followed to get there
}

// Link is a symbolic link and its final target.
type Link struct {
	Path   string `json:"path"`
	Target string `json:"target"`
	Broken bool   `json:"broken,omitempty"` // the target does not exist
}

// Owners says who should own the data, and what that user cannot use.
type Owners struct {
	UID  int    `json:"uid"` // the node's user
	GID  int    `json:"gid"`
	User string `json:"user"` // user:group, by name if they have names
	// FromUnit is set if the node's unit names the user. Else it is the owner of the data
	// directory.
	FromUnit bool     `json:"from_unit"`
	Wrong    []Denied `json:"wrong,omitempty"`
	Count    int      `json:"count"` // of all files and folders that are wrong
}

// Denied is a file or folder that the node's user cannot read and write.
type Denied struct {
	Path string `json:"path"`
	Has  string `json:"has"`  // user:group mode, such as root:root 0600
	Want string `json:"want"` // the same
	// UID, GID and Mode are what they should be.
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
	Mode uint32 `json:"mode"`
	// ByOwner is set if the owner must change, ByMode if the mode must.
	ByOwner bool `json:"by_owner"`
	ByMode  bool `json:"by_mode"`
}

// Mounts are obstacles that prevent a node from writing, or a part from being replaced.
type Mounts struct {
	Found []Mounted `json:"found,omitempty"`
}

// MountKind is a kind of obstacle.
type MountKind string

// The kinds. The first two are wrong. The others are remarks: a replacement is refused.
const (
	ReadOnly   MountKind = "read-only"
	Immutable  MountKind = "immutable"
	AppendOnly MountKind = "append-only"
	OwnMount   MountKind = "own-mount"     // the part is a separate mount
	MountedBy  MountKind = "mounted-alone" // the file is mounted by itself, elsewhere or in another process's view
)

// Mounted is one path with an obstacle.
type Mounted struct {
	Path  string    `json:"path"`
	Kind  MountKind `json:"kind"`
	Point string    `json:"point,omitempty"` // the mount point
	PID   int       `json:"pid,omitempty"`   // the process in whose view it is mounted
}

// Space says how much space is free and how much will be needed.
type Space struct {
	FileSystems []FileSystem `json:"file_systems"`
}

// FileSystem is a file system that holds part of the data.
type FileSystem struct {
	Path   string `json:"path"` // a folder on it: the data or backup directory, or that of a part
	Device uint64 `json:"device"`
	Free   uint64 `json:"free"`   // for the user who runs the check
	Inodes uint64 `json:"inodes"` // free inodes; 0 with NoInodes
	// NoInodes is set if the file system has no limit of inodes.
	NoInodes bool   `json:"no_inodes,omitempty"`
	Needs    []Need `json:"needs"`
	Needed   uint64 `json:"needed"` // sum of the needs, and 64 MiB
}

// Need is how much something will write.
type Need struct {
	For   string `json:"for"` // such as "the next backup"
	Bytes uint64 `json:"bytes"`
}

// Lacks reports whether less is free than is needed.
func (f FileSystem) Lacks() bool { return f.Free < f.Needed || !f.NoInodes && f.Inodes < minInodes }

// minInodes is a generous estimate of how many inodes a backup and a repair need.
const minInodes = 64

// Holders are the processes that have the data open.
type Holders struct {
	Processes []Holder `json:"processes,omitempty"`
	// Hidden are processes of the data's owner that could not be inspected. Those of other
	// users are only counted, in Others.
	Hidden []int `json:"hidden,omitempty"`
	Others int   `json:"others"`
	// Removed is set if a process has locked a LOCK file that has been removed or replaced.
	Removed bool `json:"removed_lock,omitempty"`
	// Writers is how many processes may write to the database. More than one is wrong.
	Writers int `json:"writers"`
	// Unit is the node's systemd unit. Installed is set if the machine has it.
	Unit      string `json:"unit"`
	Installed bool   `json:"unit_installed"`
}

// Holder is a process that has part of the data open.
type Holder struct {
	PID     int    `json:"pid"`
	UID     int    `json:"uid"`
	Command string `json:"command"`
	Unit    string `json:"unit,omitempty"` // its systemd unit, such as ailee-node.service
	Part    Kind   `json:"part"`
	Path    string `json:"path"` // of what it has open, as the process sees it
	// Writes is set if it is open for writing, or mapped writable and shared.
	Writes bool `json:"writes"`
	// Locks is set if it holds the lock of the database.
	Locks bool `json:"locks"`
	// Deleted is set if the file has been removed or replaced.
	Deleted bool `json:"deleted,omitempty"`
}

// Node returns the process that has the data open as a node does: the first that holds the
// lock of the database, else the first that writes, nil if there is none.
func (h *Holders) Node() *Holder {
	var writes *Holder
	for i := range h.Processes {
		switch p := &h.Processes[i]; {
		case p.Locks:
			return p
		case p.Writes && writes == nil:
			writes = p
		}
	}
	return writes
}

// Leftovers are files that killed runs of the toolkit left, and that no process has locked.
type Leftovers struct {
	Found []Leftover `json:"found,omitempty"`
}

// LeftoverKind says which command left something.
type LeftoverKind string

// The kinds. The first three are wrong. Those of the last kind are removed by the next run of
// the command.
const (
	PruneLeft    LeftoverKind = "prune"   // .FILE.ailee-old-… or -back-…: completed by the next prune
	PruneForeign LeftoverKind = "foreign" // the same, but FILE was replaced since: no prune completes it
	RestoreLeft  LeftoverKind = "restore" // the journal of a restore: completed by the next one
	Temporary    LeftoverKind = "temporary"
)

// Leftover is one thing that a killed run left.
type Leftover struct {
	Path string       `json:"path"`
	Kind LeftoverKind `json:"kind"`
	Size int64        `json:"size"`
	Made time.Time    `json:"made"` // by its mtime
	// Snapshots is how many valid snapshots it has, -1 if they were not counted.
	Snapshots int64 `json:"snapshots"`
	// Hidden and Invalid count the complete snapshots that no node sees in what completing a
	// prune carries over: the valid ones, and the others.
	Hidden  int64 `json:"hidden,omitempty"`
	Invalid int64 `json:"invalid,omitempty"`
	// LatestInvalid is set if the last complete snapshot in it that a node sees is not valid:
	// a node would load it.
	LatestInvalid bool `json:"latest_invalid,omitempty"`
	// Shared is set on a file of a prune that has other names (hard links): no prune completes
	// it.
	Shared bool `json:"shared,omitempty"`
}

// Copies are earlier states that are kept next to the data.
type Copies struct {
	Found []Copy `json:"found,omitempty"`
}

// Copy is one earlier state.
type Copy struct {
	Path string `json:"path"`
	Kind Kind   `json:"kind"`
	Size int64  `json:"size"`
	// Redundant is set if it was read and has nothing that the live part lacks.
	Redundant bool `json:"redundant,omitempty"`
}

// Broadcast is a broadcast that is not finished.
type Broadcast struct {
	Path   string `json:"path"`
	Anchor string `json:"anchor"` // its hash
	Root   string `json:"root"`
	TxID   string `json:"txid"`
	Wallet string `json:"wallet"` // "" if none is recorded
	// Held is set while a run is working on it, which holds the lock of the database.
	Held bool `json:"held"`
	// Snapshot is the number of the snapshot that has the root, where 1 is the oldest. It is 0
	// if the file has none or was not read. Latest is set if it is the latest.
	Snapshot int64 `json:"snapshot"`
	Latest   bool  `json:"latest"`
	// Recorded is set if the database was read and has the anchor's record.
	Recorded bool `json:"recorded"`
}

// Clock compares the clock with the times in the data.
type Clock struct {
	Now    time.Time `json:"now"`
	Newest time.Time `json:"newest"` // newest time that is not in doubt
	Of     string    `json:"of"`     // what that is the time of
	// Doubtful are times that are more than an hour ahead of the clock, or beyond what a clock
	// can show.
	Doubtful []Dated `json:"doubtful,omitempty"`
}

// Dated is a time, and what it is of.
type Dated struct {
	Of   string `json:"of"`
	Time string `json:"time"` // RFC 3339, or the number
}

// SnapshotForm is what is at the path of the snapshot file.
type SnapshotForm struct {
	ID   ID     `json:"id"`
	Size int64  `json:"size"`
	Form Form   `json:"form"`
	What string `json:"what,omitempty"` // what it is, if not a regular file
}

// Form is what the content of a file looks like.
type Form string

// The forms. Only the first is sound.
const (
	PlainForm   Form = "plain" // anything that is none of the others
	MissingForm Form = "missing"
	EmptyForm   Form = "empty"
	ZerosForm   Form = "zeros"
	GzipForm    Form = "gzip"
	ZstdForm    Form = "zstd"
	TarForm     Form = "tar"
	JSONForm    Form = "json"
	UTF16Form   Form = "utf-16"
	OtherForm   Form = "not-a-file"
)

// Latest is the snapshot that a node loads.
type Latest struct {
	Offset   int64  `json:"offset"`
	Size     int64  `json:"size"`
	Verdict  string `json:"verdict"` // as ailee_l2_verify has it
	Time     Time   `json:"time"`
	Root     string `json:"root"`
	Anchor   string `json:"anchor,omitempty"` // its hash
	Height   uint64 `json:"height,omitempty"` // the Bitcoin height in its anchor
	PegOuts  uint64 `json:"pegouts"`
	Complete bool   `json:"-"` // there is a complete snapshot
}

// Time is the time of a snapshot: that of its anchor if the anchor holds, else its own.
type Time struct {
	Ms uint64 `json:"ms"` // Unix milliseconds
	// Doubt is set if it is more than an hour ahead of the clock, or beyond what a clock can
	// show.
	Doubt bool `json:"doubt,omitempty"`
}

// AllSnapshots are the complete snapshots of the file.
type AllSnapshots struct {
	Complete int64    `json:"complete"`
	Valid    int64    `json:"valid"`
	First    *Located `json:"first,omitempty"`        // the first valid one
	Newest   *Located `json:"newest_valid,omitempty"` // the last valid one
	Bad      []Bad    `json:"bad,omitempty"`
}

// Located is a snapshot in the file.
type Located struct {
	Number int64  `json:"number"` // 1 is the oldest
	Offset int64  `json:"offset"`
	Root   string `json:"root"`
	Anchor string `json:"anchor,omitempty"`
	Time   Time   `json:"time"`
}

// Bad is a snapshot that is not valid.
type Bad struct {
	Number  int64  `json:"number"`
	Offset  int64  `json:"offset"`
	Verdict string `json:"verdict"`
	Time    Time   `json:"time"` // by the snapshot itself
}

// Tail is what follows the last complete snapshot.
type Tail struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"` // 0 for none
	// NoNewline is set if the last line has no newline.
	NoNewline bool `json:"no_newline,omitempty"`
	// Growing is set if the file had another size a second later: a node is writing.
	Growing bool `json:"growing,omitempty"`
}

// Hidden are sound snapshots that no node sees.
type Hidden struct {
	Found []Located `json:"found,omitempty"`
	Count int64     `json:"count"`
	// Invalid is how many complete snapshots that no node sees are not valid. That is not
	// wrong, but a prune does not drop them unless told to.
	Invalid int64 `json:"invalid,omitempty"`
}

// PegOuts says where the anchors are that the peg-outs of the latest snapshot name.
type PegOuts struct {
	Count   uint64        `json:"count"`
	Own     uint64        `json:"own"`
	InFile  uint64        `json:"in_file"`
	InDB    uint64        `json:"in_database"`
	InCopy  uint64        `json:"in_backups"`
	Nowhere []NamedAnchor `json:"nowhere,omitempty"`
	Missing uint64        `json:"missing"`
}

// NamedAnchor is an anchor that a peg-out names.
type NamedAnchor struct {
	PegOut string `json:"pegout"`
	Anchor string `json:"anchor"`
}

// Names are the other names of the live file.
type Names struct {
	Links uint64   `json:"links"`           // number of names of the inode
	Found []string `json:"found,omitempty"` // names that were found in the data or the backup directory
	// Backups are those names that are backups.
	Backups []string `json:"backups,omitempty"`
}

// DatabaseForm is what is at the path of the database.
type DatabaseForm struct {
	ID    ID         `json:"id"`
	Form  FolderForm `json:"form"`
	Files int        `json:"files"`
	Size  int64      `json:"size"` // of all files
}

// FolderForm is what a folder of a database looks like.
type FolderForm string

// The forms. The first two are sound.
const (
	DatabaseFolder   FolderForm = "database"
	UnfinishedFolder FolderForm = "unfinished" // a process was killed while creating it: sound, but empty
	MissingFolder    FolderForm = "missing"
	EmptyFolder      FolderForm = "empty"
	NoCurrent        FolderForm = "no-current" // no CURRENT, although there are tables or logs
	NoDatabase       FolderForm = "no-database"
	NoFolder         FolderForm = "not-a-folder"
)

// Damage is the damage in the files of the database.
type Damage struct {
	Found  []Damaged `json:"found,omitempty"`
	Count  int       `json:"count"`
	Files  int       `json:"files"`  // tables that are damaged
	Tables int       `json:"tables"` // all tables
	// Entries is how many entries are lost at least. AtMost is set if an unknown number of
	// further entries may be lost.
	Entries int64 `json:"entries"`
	AtMost  bool  `json:"at_most,omitempty"`
}

// Damaged is one damaged range.
type Damaged struct {
	File    string `json:"file"`
	Kind    string `json:"kind"`
	Offset  int64  `json:"offset"`
	Length  int64  `json:"length"`  // 0 if not known, or if all of it is damaged
	Entries int64  `json:"entries"` // lost, as far as known
	Why     string `json:"why"`
}

// Records are the contents of the database.
type Records struct {
	Blocks  uint64            `json:"blocks"`
	Lowest  uint64            `json:"lowest"`
	Tip     uint64            `json:"tip"`
	Gaps    []Range           `json:"gaps,omitempty"`
	Missing uint64            `json:"missing_blocks"` // in all gaps
	Anchors map[string]uint64 `json:"anchors"`        // by status: pending, confirmed, invalidated, failed, other
	Events  uint64            `json:"events"`
	Counter uint64            `json:"counter"` // the next event id
	// CounterBehind is set if the next event would take the id of an existing one.
	CounterBehind bool              `json:"counter_behind,omitempty"`
	Families      map[string]uint64 `json:"families,omitempty"` // number of records in other column families
	Unreadable    uint64            `json:"unreadable"`         // records that no node can read
	Odd           uint64            `json:"odd"`                // anchors whose key disagrees with the record
	Orphaned      uint64            `json:"orphaned"`           // anchors that have been pending for more than an hour
}

// AnchorCount returns the number of anchors.
func (r *Records) AnchorCount() (n uint64) {
	for _, count := range r.Anchors {
		n += count
	}
	return n
}

// Range is a range of heights, both ends included.
type Range struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// Heights are stored heights that are really a count of blocks.
type Heights struct {
	Found []CountedRange `json:"found,omitempty"`
	Count uint64         `json:"count"`
}

// CountedRange is a range of such heights, and where its blocks are in the chain: 0 if they
// are no longer in it.
type CountedRange struct {
	From      uint64 `json:"from"`
	To        uint64 `json:"to"`
	ChainFrom uint64 `json:"chain_from,omitempty"`
	ChainTo   uint64 `json:"chain_to,omitempty"`
}

// Agreement says which anchors of snapshots have a record in the database.
type Agreement struct {
	Anchors  uint64 `json:"anchors"`
	Recorded uint64 `json:"recorded"`
	First    string `json:"first_missing,omitempty"`
	Last     string `json:"last_missing,omitempty"`
	// HadElsewhere counts the anchors without a record of which a backup or copy has a record.
	HadElsewhere uint64 `json:"had_elsewhere,omitempty"`
	// For agree-latest: the hash of the latest anchor, the status of its record ("" if it has
	// none), and the sources that have a record which the database lacks.
	Anchor string   `json:"anchor,omitempty"`
	Status string   `json:"status,omitempty"`
	HadBy  []string `json:"had_by,omitempty"`
}

// BitcoinState is what the Bitcoin node says about itself.
type BitcoinState struct {
	URL     string    `json:"url"`
	Chain   string    `json:"chain"` // main, test, testnet4, signet, regtest
	Height  int64     `json:"height"`
	Headers int64     `json:"headers"`
	TipTime time.Time `json:"tip_time"`
	// Trouble says why it cannot be used, "" if it can.
	Trouble BitcoinTrouble `json:"trouble,omitempty"`
}

// BitcoinTrouble says why a Bitcoin node cannot be used now.
type BitcoinTrouble string

// The reasons.
const (
	Unreachable  BitcoinTrouble = "unreachable"
	Unauthorized BitcoinTrouble = "unauthorized"
	Loading      BitcoinTrouble = "loading"
	Syncing      BitcoinTrouble = "syncing"
	OldTip       BitcoinTrouble = "old-tip"
	OtherChain   BitcoinTrouble = "other-chain" // the database and all backups are from another
)

// Chain compares the stored block hashes with the chain.
type Chain struct {
	Compared  uint64 `json:"compared"`
	Different uint64 `json:"different"`
	First     Range  `json:"first"`  // first range that differs
	Last      Range  `json:"last"`   // last range that differs
	Behind    uint64 `json:"behind"` // how many blocks the stored tip is behind that of the chain
	// OtherNetwork is set if no hash is in the chain, which no reorg explains.
	OtherNetwork bool `json:"other_network,omitempty"`
}

// Proofs says which confirmed anchors are in the chain.
type Proofs struct {
	Confirmed uint64     `json:"confirmed"`
	Proven    uint64     `json:"proven"`
	Unknown   uint64     `json:"unknown"` // the node cannot find them: it is pruned or has no index
	Wrong     []Unproven `json:"wrong,omitempty"`
	Count     uint64     `json:"count"` // of all that are wrong
}

// Unproven is a confirmed anchor that the chain does not have.
type Unproven struct {
	Anchor string `json:"anchor"`
	TxID   string `json:"txid"`
	Height uint64 `json:"height"`
	Why    string `json:"why"`
}
