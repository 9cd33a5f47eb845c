package datadir

import (
	"time"

	"ailee-recovery/internal/backups"
)

// The evidence of facts. Sizes and offsets are in bytes, times in UTC, paths absolute
// and without links unless it says otherwise. Lists of what may be many are cut after
// [MaxListed], and a count has them all.

// MaxListed bounds lists in evidence.
const MaxListed = 100

// Kind is one of the two kinds of data, live or in a backup.
type Kind = backups.Kind

// The kinds: l2_snapshots.dat and reorg_db.
const (
	SnapshotKind = backups.Snapshots
	DatabaseKind = backups.Database
)

// kinds are both, in the order in which they are told.
var kinds = []Kind{SnapshotKind, DatabaseKind}

// ID is what is the same by whatever path it is opened.
type ID struct {
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
}

// Place is where the data is.
type Place struct {
	Path       string `json:"path"`
	ID         ID     `json:"id"`
	FileSystem string `json:"file_system"` // its type, such as ext4; a number in hex where it has no name here
	// Snapshots and Database are the paths of the two parts, whether there is anything or
	// not.
	Snapshots string `json:"snapshots"`
	Database  string `json:"database"`
	Links     []Link `json:"links,omitempty"` // that were followed to get to these
}

// Link is a symbolic link, and where it leads in the end.
type Link struct {
	Path   string `json:"path"`
	Target string `json:"target"`
	Broken bool   `json:"broken,omitempty"` // nothing is there
}

// Owners is who owns the data.
type Owners struct {
	UID  int    `json:"uid"` // the node's user
	GID  int    `json:"gid"`
	User string `json:"user"` // user:group, names where they have any
	// FromUnit is set where the node's unit says so; else it is the owner of the data
	// directory.
	FromUnit bool     `json:"from_unit"`
	Wrong    []Denied `json:"wrong,omitempty"`
	Count    int      `json:"count"` // of all that are wrong
}

// Denied is a file or folder that the node's user cannot read and write.
type Denied struct {
	Path string `json:"path"`
	Has  string `json:"has"`  // user:group mode, such as root:root 0600
	Want string `json:"want"` // the same
	// UID, GID and Mode are what it should have.
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
	Mode uint32 `json:"mode"`
	// ByOwner is set where another owner is enough, ByMode where another mode is.
	ByOwner bool `json:"by_owner"`
	ByMode  bool `json:"by_mode"`
}

// Mounts are what keeps a node from writing, or a name from being replaced.
type Mounts struct {
	Found []Mounted `json:"found,omitempty"`
}

// MountKind says what is the matter with a path.
type MountKind string

// The kinds. The first two are wrong, the others remarks on which a replacement refuses.
const (
	ReadOnly   MountKind = "read-only"
	Immutable  MountKind = "immutable"
	AppendOnly MountKind = "append-only"
	OwnMount   MountKind = "own-mount"     // the part is a mount of its own
	MountedBy  MountKind = "mounted-alone" // the file is mounted by itself, elsewhere or in another process's view
)

// Mounted is one path with such a matter.
type Mounted struct {
	Path  string    `json:"path"`
	Kind  MountKind `json:"kind"`
	Point string    `json:"point,omitempty"` // the mount point
	PID   int       `json:"pid,omitempty"`   // in whose view it is mounted
}

// Space is what is free against what will be needed.
type Space struct {
	FileSystems []FileSystem `json:"file_systems"`
}

// FileSystem is one on which something of the data is.
type FileSystem struct {
	Path   string `json:"path"` // a folder on it that is the data's: data or backup directory, part, temporary files
	Device uint64 `json:"device"`
	Free   uint64 `json:"free"`   // for the user who looks
	Inodes uint64 `json:"inodes"` // free; 0 and NoInodes where it does not count them
	// NoInodes is set where the file system has no such limit.
	NoInodes bool   `json:"no_inodes,omitempty"`
	Needs    []Need `json:"needs"`
	Needed   uint64 `json:"needed"` // all of them, and 64 MiB
}

// Need is what something will write.
type Need struct {
	For   string `json:"for"` // such as "the next backup"
	Bytes uint64 `json:"bytes"`
}

// Lacks reports whether less is free than is needed.
func (f FileSystem) Lacks() bool { return f.Free < f.Needed || !f.NoInodes && f.Inodes < minInodes }

// minInodes are those that a backup and a repair make, generously.
const minInodes = 64

// Holders is who has the data open.
type Holders struct {
	Processes []Holder `json:"processes,omitempty"`
	// Hidden are processes of the data's owner that could not be looked into. Others, of
	// users who have no rights here, are only counted.
	Hidden []int `json:"hidden,omitempty"`
	Others int   `json:"others"`
	// Removed is set where a process holds the lock of a LOCK that is no longer the one
	// under its name.
	Removed bool `json:"removed_lock,omitempty"`
	// Writers is how many processes may write the database. Two are wrong.
	Writers int `json:"writers"`
	// Unit is the node's unit of systemd, and Installed reports whether the machine has it.
	Unit      string `json:"unit"`
	Installed bool   `json:"unit_installed"`
}

// Holder is a process that has something of the data open.
type Holder struct {
	PID     int    `json:"pid"`
	UID     int    `json:"uid"`
	Command string `json:"command"`
	Unit    string `json:"unit,omitempty"` // of systemd, such as ailee-node.service
	Part    Kind   `json:"part"`
	Path    string `json:"path"` // by which it has it open, in its own view
	// Writes is set where it is open for writing, or mapped so.
	Writes bool `json:"writes"`
	// Locks is set where it holds the lock of the database.
	Locks bool `json:"locks"`
	// Deleted is set where its name is gone, or leads to another file by now.
	Deleted bool `json:"deleted,omitempty"`
}

// Node returns the process that has the data as a node has: it is the first that holds
// the lock of the database, else the first that writes. nil for none.
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

// Leftovers are what killed runs of the toolkit left, whose locks nobody holds.
type Leftovers struct {
	Found []Leftover `json:"found,omitempty"`
}

// LeftoverKind says which command left it.
type LeftoverKind string

// The kinds. Only the first three must be completed, and are wrong; the next run of
// the command removes the others.
const (
	PruneLeft    LeftoverKind = "prune"   // .FILE.ailee-old-… or -back-…: completed by the next prune
	PruneForeign LeftoverKind = "foreign" // the same, but FILE was replaced since: no prune completes it
	RestoreLeft  LeftoverKind = "restore" // the journal of a restore: completed by the next one
	Temporary    LeftoverKind = "temporary"
)

// Leftover is one of them.
type Leftover struct {
	Path string       `json:"path"`
	Kind LeftoverKind `json:"kind"`
	Size int64        `json:"size"`
	Made time.Time    `json:"made"` // by its mtime
	// Snapshots is how many valid ones it has, where that was counted, else -1.
	Snapshots int64 `json:"snapshots"`
	// Hidden and Invalid are, of what completing a prune carries over, the complete snapshots
	// that no node sees: valid ones, and others.
	Hidden  int64 `json:"hidden,omitempty"`
	Invalid int64 `json:"invalid,omitempty"`
	// LatestInvalid is set where the last complete one of it that a node sees is not valid: a
	// node would load it.
	LatestInvalid bool `json:"latest_invalid,omitempty"`
	// Shared is set on what a prune left that has other names (hard links): no prune takes it for
	// its own.
	Shared bool `json:"shared,omitempty"`
}

// Copies are earlier states beside the data.
type Copies struct {
	Found []Copy `json:"found,omitempty"`
}

// Copy is one of them.
type Copy struct {
	Path string `json:"path"`
	Kind Kind   `json:"kind"`
	Size int64  `json:"size"`
	// Redundant is set where it was read, and has nothing that the live part lacks.
	Redundant bool `json:"redundant,omitempty"`
}

// Broadcast is a broadcast that is not finished.
type Broadcast struct {
	Path   string `json:"path"`
	Anchor string `json:"anchor"` // its hash
	Root   string `json:"root"`
	TxID   string `json:"txid"`
	Wallet string `json:"wallet"` // "" where none is recorded
	// Held is set while a run is at it: it holds the lock of the database.
	Held bool `json:"held"`
	// Snapshot is the number of the snapshot that has the root, the oldest being 1; 0 where
	// the file has none, or was not read. Latest is set where it is the latest.
	Snapshot int64 `json:"snapshot"`
	Latest   bool  `json:"latest"`
	// Recorded is set where the database has the anchor's record.
	Recorded bool `json:"recorded"`
}

// Clock is the clock against the data.
type Clock struct {
	Now    time.Time `json:"now"`
	Newest time.Time `json:"newest"` // that is not in doubt
	Of     string    `json:"of"`     // what that is the time of
	// Doubtful are times that are more than an hour ahead of the clock, or that none can
	// show.
	Doubtful []Dated `json:"doubtful,omitempty"`
}

// Dated is a time, and what it is of.
type Dated struct {
	Of   string `json:"of"`
	Time string `json:"time"` // RFC 3339, or the number
}

// SnapshotForm is what is under the name of the snapshot file.
type SnapshotForm struct {
	ID   ID     `json:"id"`
	Size int64  `json:"size"`
	Form Form   `json:"form"`
	What string `json:"what,omitempty"` // of what is no regular file
}

// Form is what bytes look like.
type Form string

// The forms. Only the first is sound.
const (
	PlainForm   Form = "plain" // or anything else that is none of these
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
	Height   uint64 `json:"height,omitempty"` // of Bitcoin, in its anchor
	PegOuts  uint64 `json:"pegouts"`
	Complete bool   `json:"-"` // there is one
}

// Time is the time of a snapshot: its anchor's where that holds, else its own.
type Time struct {
	Ms uint64 `json:"ms"` // Unix milliseconds
	// Doubt is set where it is more than an hour ahead of the clock, or beyond any.
	Doubt bool `json:"doubt,omitempty"`
}

// AllSnapshots are the complete snapshots of the file.
type AllSnapshots struct {
	Complete int64    `json:"complete"`
	Valid    int64    `json:"valid"`
	First    *Located `json:"first,omitempty"`        // valid
	Newest   *Located `json:"newest_valid,omitempty"` // the last valid one
	Bad      []Bad    `json:"bad,omitempty"`
}

// Located is a snapshot of the file.
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
	Time    Time   `json:"time"` // as it says itself
}

// Tail is what follows the last complete snapshot.
type Tail struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"` // 0 for none
	// NoNewline is set where the last line has none.
	NoNewline bool `json:"no_newline,omitempty"`
	// Growing is set where it was another a second later: a node writes.
	Growing bool `json:"growing,omitempty"`
}

// Hidden are sound snapshots that no node sees.
type Hidden struct {
	Found []Located `json:"found,omitempty"`
	Count int64     `json:"count"`
	// Invalid is how many complete ones no node sees either, and are not valid: nothing is
	// wrong with that, but no prune drops them unasked.
	Invalid int64 `json:"invalid,omitempty"`
}

// PegOuts are the anchors that the peg-outs of the latest snapshot name.
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

// Names are other names of the live file.
type Names struct {
	Links uint64   `json:"links"`           // of the inode
	Found []string `json:"found,omitempty"` // those that were found, in the data and the backup directory
	// Backups are those of them that are backups.
	Backups []string `json:"backups,omitempty"`
}

// DatabaseForm is what is under the name of the database.
type DatabaseForm struct {
	ID    ID         `json:"id"`
	Form  FolderForm `json:"form"`
	Files int        `json:"files"`
	Size  int64      `json:"size"` // of all files
	// Version is that of the RocksDB that wrote it, "" where that is not known.
	Version string `json:"version,omitempty"`
}

// FolderForm is a form of a database.
type FolderForm string

// The forms. The first two are sound.
const (
	DatabaseFolder   FolderForm = "database"
	UnfinishedFolder FolderForm = "unfinished" // a process was killed while it made it: sound, and empty
	MissingFolder    FolderForm = "missing"
	EmptyFolder      FolderForm = "empty"
	NoCurrent        FolderForm = "no-current" // no CURRENT, though tables or logs are there
	NoDatabase       FolderForm = "no-database"
	NoFolder         FolderForm = "not-a-folder"
)

// Damage is what is damaged in the files of the database.
type Damage struct {
	Found  []Damaged `json:"found,omitempty"`
	Count  int       `json:"count"`
	Files  int       `json:"files"`  // that are damaged
	Tables int       `json:"tables"` // in all
	// Entries is how many are lost at least; AtMost is set where nobody knows how many
	// more are.
	Entries int64 `json:"entries"`
	AtMost  bool  `json:"at_most,omitempty"`
}

// Damaged is one damaged range.
type Damaged struct {
	File    string `json:"file"`
	Kind    string `json:"kind"`
	Offset  int64  `json:"offset"`
	Length  int64  `json:"length"`  // 0: not known, or all of it
	Entries int64  `json:"entries"` // lost, as far as known
	Why     string `json:"why"`
}

// Records is what is in the database.
type Records struct {
	Blocks  uint64            `json:"blocks"`
	Lowest  uint64            `json:"lowest"`
	Tip     uint64            `json:"tip"`
	Gaps    []Range           `json:"gaps,omitempty"`
	Missing uint64            `json:"missing_blocks"` // in all gaps
	Anchors map[string]uint64 `json:"anchors"`        // by status: pending, confirmed, invalidated, failed, other
	Events  uint64            `json:"events"`
	Counter uint64            `json:"counter"` // the next event id
	// CounterBehind is set where the next event would take the id of one that is there.
	CounterBehind bool              `json:"counter_behind,omitempty"`
	Families      map[string]uint64 `json:"families,omitempty"` // records of other column families
	Unreadable    uint64            `json:"unreadable"`         // no node can read them
	Odd           uint64            `json:"odd"`                // the key disagrees with the record
	Orphaned      uint64            `json:"orphaned"`           // pending for more than an hour
}

// AnchorCount is how many anchors there are.
func (r *Records) AnchorCount() (n uint64) {
	for _, count := range r.Anchors {
		n += count
	}
	return n
}

// Range is a range of heights, both included.
type Range struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// Heights are heights that are none, but a count of blocks.
type Heights struct {
	Found []CountedRange `json:"found,omitempty"`
	Count uint64         `json:"count"`
}

// CountedRange is a row of counted heights, and where its blocks are in the chain; 0
// where they no longer are.
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
	// HadElsewhere is how many of those without a record a backup or copy has one of.
	HadElsewhere uint64 `json:"had_elsewhere,omitempty"`
	// Of the latest anchor, for agree-latest: its hash, the status of its record, "" without
	// one, and the sources that have it where the database lacks it.
	Anchor string   `json:"anchor,omitempty"`
	Status string   `json:"status,omitempty"`
	HadBy  []string `json:"had_by,omitempty"`
}

// BitcoinState is what the Bitcoin node says of itself.
type BitcoinState struct {
	URL     string    `json:"url"`
	Chain   string    `json:"chain"` // main, test, testnet4, signet, regtest
	Height  int64     `json:"height"`
	Headers int64     `json:"headers"`
	TipTime time.Time `json:"tip_time"`
	// Trouble says why it is not used, "" where it can be.
	Trouble BitcoinTrouble `json:"trouble,omitempty"`
}

// BitcoinTrouble is why a Bitcoin node is of no use now.
type BitcoinTrouble string

// The reasons.
const (
	Unreachable  BitcoinTrouble = "unreachable"
	Unauthorized BitcoinTrouble = "unauthorized"
	Loading      BitcoinTrouble = "loading"
	Syncing      BitcoinTrouble = "syncing"
	OldTip       BitcoinTrouble = "old-tip"
	OtherChain   BitcoinTrouble = "other-chain" // than the database and all backups
)

// Chain is the stored hashes against the chain.
type Chain struct {
	Compared  uint64 `json:"compared"`
	Different uint64 `json:"different"`
	First     Range  `json:"first"` // range that differs
	Last      Range  `json:"last"`
	Behind    uint64 `json:"behind"` // blocks that the stored tip is behind the chain's
	// OtherNetwork is set where no hash is of the chain, which no reorg explains.
	OtherNetwork bool `json:"other_network,omitempty"`
}

// Proofs are the confirmed anchors looked for in the chain.
type Proofs struct {
	Confirmed uint64     `json:"confirmed"`
	Proven    uint64     `json:"proven"`
	Unknown   uint64     `json:"unknown"` // the node cannot find them: it is pruned, or has no index
	Wrong     []Unproven `json:"wrong,omitempty"`
	Count     uint64     `json:"count"` // of those that are wrong
}

// Unproven is a confirmed anchor that the chain does not have.
type Unproven struct {
	Anchor string `json:"anchor"`
	TxID   string `json:"txid"`
	Height uint64 `json:"height"`
	Why    string `json:"why"`
}
