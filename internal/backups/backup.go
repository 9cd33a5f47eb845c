// Package backups is the folder of backups: what lies there, what is known of it, what a
// new backup lacks that an earlier one has, which are kept, and which one to restore.
package backups

import (
	"maps"
	"regexp"
	"slices"
	"time"

	"ailee-recovery/internal/content"
	"ailee-recovery/internal/ijson"
)

// Kind is what a backup is of.
type Kind string

// The kinds.
const (
	Snapshots Kind = "snapshots"
	Database  Kind = "database"
)

// Kinds lists them in the order of a run.
var Kinds = []Kind{Snapshots, Database}

// Source is what a backup of the kind is a copy of, in the data directory.
func (k Kind) Source() string {
	if k == Database {
		return "reorg_db"
	}
	return "l2_snapshots.dat"
}

// Form is how a backup is stored.
type Form string

// The forms: of snapshots the first four, of a database the others and Tar.
const (
	Plain  Form = "plain"
	Gzip   Form = "gzip"
	Zstd   Form = "zstd"
	Tar    Form = "tar"
	TarGz  Form = "tar.gz"
	TarZst Form = "tar.zst"
	Folder Form = "folder"
)

// LatestName is the newest backup of the snapshot file, never compressed.
const LatestName = "l2_snapshots_latest.dat.bak"

// Name is what the name of a backup says.
type Name struct {
	Kind Kind
	Form Form
	Time time.Time // UTC, whole seconds: of the run's clock
}

const nameTime = "20060102_150405"

// endings are the ends of the names.
var endings = map[Kind]map[Form]string{
	Snapshots: {Plain: ".dat.bak", Gzip: ".dat.bak.gz", Zstd: ".dat.bak.zst"},
	Database:  {Tar: ".tar", TarGz: ".tar.gz", TarZst: ".tar.zst"},
}

// FormsOf are the forms in which backups of a kind are kept.
func FormsOf(kind Kind) []Form { return slices.Sorted(maps.Keys(endings[kind])) }

var names = regexp.MustCompile(`^(l2_snapshots|reorg_db)_([0-9]{8}_[0-9]{6})(\..*)$`)

// String is the name of the file.
func (n Name) String() string {
	stem := "l2_snapshots_"
	if n.Kind == Database {
		stem = "reorg_db_"
	}
	return stem + n.Time.UTC().Format(nameTime) + endings[n.Kind][n.Form]
}

// ParseName reads the name of a backup; false for any other, [LatestName] included.
func ParseName(name string) (Name, bool) {
	parts := names.FindStringSubmatch(name)
	if parts == nil {
		return Name{}, false
	}
	n := Name{Kind: Snapshots}
	if parts[1] == "reorg_db" {
		n.Kind = Database
	}
	at, err := time.Parse(nameTime, parts[2])
	if err != nil {
		return Name{}, false
	}
	n.Time = at
	for form, ending := range endings[n.Kind] {
		if ending == parts[3] {
			n.Form = form
			return n, true
		}
	}
	return Name{}, false
}

// State is a verdict on a backup.
type State string

// The verdicts. The empty one: nobody has looked at it.
const (
	Sound    State = "sound"
	Wrong    State = "wrong"
	CouldNot State = "could-not"
)

// Verified is when a backup was last read whole, and what that showed.
type Verified struct {
	At      time.Time `json:"at"` // UTC
	Verdict State     `json:"verdict"`
	Why     string    `json:"why,omitempty"` // of one that is not sound, printable
}

// How the data of a backup came to be.
const (
	Copied    = "copied"    // from the source, or written anew
	Reflinked = "reflinked" // shares its blocks with the source
	Linked    = "linked"    // another name of an earlier backup
)

// Backup is an entry of the catalogue. The order of backups is by Sequence, and by Made
// where that is the same.
type Backup struct {
	Name     string    `json:"name"`
	Kind     Kind      `json:"kind"`
	Sequence uint64    `json:"sequence"` // of the run that made it; of one that was found, of the run before its time
	Made     time.Time `json:"made"`     // by the clock of the run that made it, UTC

	Size          int64     `json:"size"` // of the file, bytes
	SHA256        string    `json:"sha256"`
	MTime         time.Time `json:"mtime"`          // of the file, when it was last read
	ContentSize   int64     `json:"content_size"`   // of what is in it: the plain file, or all keys and values
	ContentSHA256 string    `json:"content_sha256"` // of a database of its records in order

	Copy   string   `json:"copy,omitempty"`    // "" for one that was found
	DataOf string   `json:"data_of,omitempty"` // the name whose data it shares
	Source []Source `json:"source,omitempty"`  // missing where it cannot tell whether the source changed

	Verified  Verified        `json:"verified"`
	Line      uint64          `json:"line"` // its number, from 1 on; 0 for one that never was sound
	Snapshots *SnapshotsEntry `json:"snapshots,omitempty"`
	Database  *DatabaseEntry  `json:"database,omitempty"`
}

// Sound reports whether the last look at the backup found it sound.
func (b *Backup) Sound() bool { return b.Verified.Verdict == Sound }

// before reports whether the backup was made before another.
func (b *Backup) before(other *Backup) bool {
	if b.Sequence != other.Sequence {
		return b.Sequence < other.Sequence
	}
	return b.Made.Before(other.Made)
}

// Source is a file as it was when it was backed up.
type Source struct {
	Name   string       `json:"name,omitempty"` // in the database's folder
	Device ijson.Number `json:"device"`
	Inode  ijson.Number `json:"inode"`
	Size   int64        `json:"size"`
	MTime  time.Time    `json:"mtime"`
	CTime  time.Time    `json:"ctime"`
}

// SnapshotsEntry is what the catalogue has of the snapshots in a backup.
type SnapshotsEntry struct {
	Complete int64          `json:"complete"`
	Valid    int64          `json:"valid"`
	First    *SnapshotEntry `json:"first,omitempty"`
	Newest   *SnapshotEntry `json:"newest,omitempty"`
}

// SnapshotEntry is one snapshot.
type SnapshotEntry struct {
	TimestampMs ijson.Number `json:"timestamp_ms"`
	Time        *time.Time   `json:"time,omitempty"` // of its anchor; missing for one that no calendar has
	Root        string       `json:"root"`
	Anchor      string       `json:"anchor,omitempty"`
	SHA256      string       `json:"sha256"`
}

// DatabaseEntry is what the catalogue has of the records in a backup.
type DatabaseEntry struct {
	Blocks   int64            `json:"blocks"`
	Lowest   ijson.Number     `json:"lowest"`
	Tip      ijson.Number     `json:"tip"`
	Anchors  map[string]int64 `json:"anchors"` // by status, as [reorgdb.AnchorStatus] spells it
	Events   int64            `json:"events"`
	Counter  ijson.Number     `json:"counter"`
	Families map[string]int64 `json:"families"` // all records, by column family
}

// AnchorCount is how many anchors there are.
func (e *DatabaseEntry) AnchorCount() (n int64) {
	for _, count := range e.Anchors {
		n += count
	}
	return n
}

// SetContent takes what a backup holds: one of the two, of its kind.
func (b *Backup) SetContent(s *content.Snapshots, d *content.Database) {
	switch {
	case s != nil:
		b.ContentSize, b.ContentSHA256 = s.ContentSize, s.SHA256
		b.Snapshots = &SnapshotsEntry{Complete: s.Complete, Valid: s.Valid, First: snapshotEntry(s.First), Newest: snapshotEntry(s.Newest)}
	case d != nil:
		b.ContentSize, b.ContentSHA256 = d.Size, d.SHA256
		b.Database = &DatabaseEntry{Blocks: d.Blocks, Lowest: ijson.Number(d.Lowest), Tip: ijson.Number(d.Tip), Anchors: map[string]int64{},
			Events: d.Events, Counter: ijson.Number(d.Counter), Families: d.Families}
		for status, n := range d.Anchors {
			b.Database.Anchors[status.String()] = n
		}
	}
}

func snapshotEntry(s *content.Snapshot) *SnapshotEntry {
	if s == nil {
		return nil
	}
	e := &SnapshotEntry{TimestampMs: ijson.Number(s.TimestampMs), Root: s.Root, Anchor: s.Anchor, SHA256: s.SHA256}
	if !s.Time.IsZero() {
		e.Time = &s.Time
	}
	return e
}
