package datadir

import (
	"time"

	"ailee-recovery/internal/backups"
)

// BackupFolder is the folder of the backups.
type BackupFolder struct {
	Path      string `json:"path"`
	Exists    bool   `json:"exists"`
	Snapshots int    `json:"snapshots"` // backups of the file
	Databases int    `json:"databases"`
	Unknown   int    `json:"unknown"` // files whose names are not those of backups
	// Rebuilt is set if the catalogue is missing or wrong: what was in it is not known.
	Rebuilt bool     `json:"catalogue_rebuilt,omitempty"`
	Gone    []string `json:"gone,omitempty"` // files that are missing although no rule deleted them
	// Changed are files that differ from what the catalogue says.
	Changed []string `json:"changed,omitempty"`
	// NotMounted is set if /etc/fstab has a mount point at or above the folder where nothing is
	// mounted, or if the folder is a link to something that does not exist.
	NotMounted bool `json:"not_mounted,omitempty"`
	// Dir is the folder as it was read, nil if it could not be read.
	Dir *backups.Dir `json:"-"`
}

// NewestBackups are the newest backups of each kind by content, read in this run.
type NewestBackups struct {
	Snapshots *Source `json:"snapshots,omitempty"` // nil if none is sound
	Database  *Source `json:"database,omitempty"`
	// Wrong are newer backups that do not verify.
	Wrong []Source `json:"wrong,omitempty"`
}

// OlderBackups counts the verdicts of the backups when they were last read.
type OlderBackups struct {
	Sound  int      `json:"sound"`
	Wrong  int      `json:"wrong"`
	Unread int      `json:"unread"`
	Held   int      `json:"held"`
	Listed []Source `json:"listed,omitempty"` // backups that are wrong
	// LineWithout are the kinds that have an open line without a sound backup.
	LineWithout []Kind `json:"line_without,omitempty"`
}

// BackupNames are backups whose names are misleading.
type BackupNames struct {
	Future []Misdated `json:"future,omitempty"`
	// Shared are the names of all backups of a kind, if all of them are the same file.
	Shared []string `json:"shared,omitempty"`
}

// Misdated is a backup that is dated in the future.
type Misdated struct {
	Path string `json:"path"`
	True string `json:"true_name"` // the path by its true time, which is free
}

// Verdict is the result of reading a source.
type Verdict = backups.State

// The verdicts.
const (
	SourceSound  = backups.Sound
	SourceWrong  = backups.Wrong
	SourceUnread = backups.CouldNot
)

// Role says what a source is.
type Role string

// The roles.
const (
	Live         Role = "live"
	Backup       Role = "backup"
	KeptCopy     Role = "copy"     // see [Copies]
	LeftoverRole Role = "leftover" // see [Leftovers]
)

// Source is something that snapshots, or records of the database, can be taken from.
type Source struct {
	Path    string    `json:"path"`
	Kind    Kind      `json:"kind"`
	Role    Role      `json:"role"`
	Verdict Verdict   `json:"verdict"`
	Why     string    `json:"why,omitempty"`
	Made    time.Time `json:"made"` // by the catalogue, else by its mtime
	// ReadNow is set if this run read it. Else the verdict is that of the catalogue.
	ReadNow bool `json:"read_now"`
	// Changed is set if it verifies although its bytes are not those that were backed up.
	Changed bool `json:"changed,omitempty"`
	// Snapshots counts the valid ones. The counts below are of what can be read.
	Snapshots int64 `json:"snapshots,omitempty"`
	Hidden    int64 `json:"hidden,omitempty"` // sound snapshots that no node sees
	// PegOutsOpen is how many snapshots have peg-outs that name another anchor than their own.
	PegOutsOpen int64 `json:"pegouts_open,omitempty"`
	// Packed is set on a live file that is an archive or compressed.
	Packed bool   `json:"packed,omitempty"`
	Newest *Time  `json:"newest,omitempty"` // snapshot
	Blocks uint64 `json:"blocks,omitempty"`
	Tip    uint64 `json:"tip,omitempty"`
	// Heights are the ranges of heights that have a block, nil if they are too many to list.
	Heights []Range `json:"heights,omitempty"`
	Anchors uint64  `json:"anchors,omitempty"`
	Events  uint64  `json:"events,omitempty"`
}

// Cover says which source has what. Plans count losses by it. Things are identified by their
// bytes (valid snapshots), key (anchors) or content (events). Each belongs to the group of
// things that exactly the same sources have.
type Cover struct {
	Snapshots []Source `json:"snapshots"` // the live one first, then in the order in which they would be merged
	Databases []Source `json:"databases"`
	Groups    []Group  `json:"groups"`
	// Explained is how many valid snapshots the file lacks because they were pruned.
	Explained int64 `json:"explained"`
	// Disagree is set if the live database and the newest backup do not have a single block hash
	// in common: they are from different networks.
	Disagree bool `json:"networks_differ,omitempty"`
	// FamiliesLacking are column families of a backup that the live database lacks.
	FamiliesLacking []string `json:"families_lacking,omitempty"`
}

// Thing is a type of thing that is counted.
type Thing string

// The things.
const (
	SnapshotThing Thing = "snapshot"
	AnchorThing   Thing = "anchor"
	EventThing    Thing = "event"
)

// Group counts the things that exactly these sources have.
type Group struct {
	Thing Thing `json:"thing"`
	// Sources are the indices of these sources in the list of their kind.
	Sources []int  `json:"sources"`
	Count   uint64 `json:"count"`
	// First and Last are the earliest and the latest time of the things in Unix milliseconds,
	// 0 if none is known.
	First uint64 `json:"first,omitempty"`
	Last  uint64 `json:"last,omitempty"`
	// Explained is set on snapshots that the live file lacks because they were pruned.
	Explained bool `json:"explained,omitempty"`
}
