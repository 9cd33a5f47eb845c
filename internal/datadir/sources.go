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
	Unknown   int    `json:"unknown"` // names of no backup
	// Rebuilt is set where the catalogue is missing or wrong: what it had is not known.
	Rebuilt bool     `json:"catalogue_rebuilt,omitempty"`
	Gone    []string `json:"gone,omitempty"` // files that no rule deleted
	// Changed are files that are not what the catalogue says.
	Changed []string `json:"changed,omitempty"`
	// NotMounted is set where the folder is on another file system than the catalogue
	// says, or the folder of a mount that is not there.
	NotMounted bool `json:"not_mounted,omitempty"`
	// Dir is the folder as it was read, nil where it could not be.
	Dir *backups.Dir `json:"-"`
}

// NewestBackups are the newest of each kind, by content, and read now.
type NewestBackups struct {
	Snapshots *Source `json:"snapshots,omitempty"` // nil for none that is sound
	Database  *Source `json:"database,omitempty"`
	// Wrong are newer ones that do not verify.
	Wrong []Source `json:"wrong,omitempty"`
}

// OlderBackups are the verdicts of the others, when they were last read.
type OlderBackups struct {
	Sound  int      `json:"sound"`
	Wrong  int      `json:"wrong"`
	Unread int      `json:"unread"`
	Held   int      `json:"held"`
	Listed []Source `json:"listed,omitempty"` // those that are wrong
	// LineWithout are the kinds of which an open line has no sound one.
	LineWithout []Kind `json:"line_without,omitempty"`
}

// BackupNames are names that mislead.
type BackupNames struct {
	Future []Misdated `json:"future,omitempty"`
	// Shared are names of one inode that are the only sound data of their kind.
	Shared []string `json:"shared,omitempty"`
}

// Misdated is a backup that is dated in the future.
type Misdated struct {
	Path string `json:"path"`
	True string `json:"true_name"` // a path that is free
}

// Verdict says what reading a source gave.
type Verdict = backups.State

// The verdicts.
const (
	SourceSound  = backups.Sound
	SourceWrong  = backups.Wrong
	SourceUnread = backups.CouldNot
)

// Role is what a source is to the data.
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
	Made    time.Time `json:"made"` // by the catalogue, else by its name
	// ReadNow is set where this run read it; else the verdict is the catalogue's.
	ReadNow bool `json:"read_now"`
	// Changed is set where it verifies, and yet its bytes are not those that were backed up.
	Changed bool `json:"changed,omitempty"`
	// What is valid, or can be read, of it.
	Snapshots int64 `json:"snapshots,omitempty"`
	Hidden    int64 `json:"hidden,omitempty"` // sound snapshots that no node sees
	// PegOutsOpen is how many of the snapshots have peg-outs that do not name their own
	// anchor.
	PegOutsOpen int64 `json:"pegouts_open,omitempty"`
	// Packed is set on a live file that is an archive, or compressed.
	Packed bool   `json:"packed,omitempty"`
	Newest *Time  `json:"newest,omitempty"` // snapshot
	Blocks uint64 `json:"blocks,omitempty"`
	Tip    uint64 `json:"tip,omitempty"`
	// Heights are the ranges of heights that have a block, nil where they are too many to be
	// listed.
	Heights []Range `json:"heights,omitempty"`
	Anchors uint64  `json:"anchors,omitempty"`
	Events  uint64  `json:"events,omitempty"`
}

// Cover says which source has what: it is what plans count losses by. Each thing (a valid
// snapshot by its bytes, an anchor by its key, an event by its content) belongs to the
// group of those that the same sources have.
type Cover struct {
	Snapshots []Source `json:"snapshots"` // the live one first, then as they would be merged
	Databases []Source `json:"databases"`
	Groups    []Group  `json:"groups"`
	// Explained is how many valid snapshots a backup has that the file lacks, and prune
	// notes explain.
	Explained int64 `json:"explained"`
	// Disagree is set where the live database and the newest backup have not one block hash
	// in common: they are of different networks.
	Disagree bool `json:"networks_differ,omitempty"`
	// FamiliesLacking are column families of a backup that the live database has not.
	FamiliesLacking []string `json:"families_lacking,omitempty"`
}

// Thing is what is counted.
type Thing string

// The things.
const (
	SnapshotThing Thing = "snapshot"
	AnchorThing   Thing = "anchor"
	EventThing    Thing = "event"
)

// Group is how many things exactly these sources have.
type Group struct {
	Thing Thing `json:"thing"`
	// Sources are the indices, in the list of their kind, of those that have them.
	Sources []int  `json:"sources"`
	Count   uint64 `json:"count"`
	// First and Last are the earliest and latest time, of snapshots and of anchors, in Unix
	// milliseconds; 0 where none is known.
	First uint64 `json:"first,omitempty"`
	Last  uint64 `json:"last,omitempty"`
	// Explained is set on snapshots that the live file lacks, and a prune note explains.
	Explained bool `json:"explained,omitempty"`
}
