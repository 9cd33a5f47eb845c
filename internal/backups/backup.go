// Package backups manages the backup folder: its files and its catalogue, what a new backup lacks
// that an earlier one has, which backups to keep, and which one to restore.
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

// Kinds lists the kinds, in the order in which a run backs them up.
var Kinds = []Kind{Snapshots, Database}

// Source returns the name, in the data directory, of what a backup of the kind is a copy of.
func (k Kind) Source() string {
	if k == Database {
		return "reorg_db"
	}
	return "l2_snapshots.dat"
}

// Form is how a backup is stored.
type Form string

// The forms: snapshots have one of the first four, a database has one of the last four.
const (
	Plain  Form = "plain"
	Gzip   Form = "gzip"
	Zstd   Form = "zstd"
	Tar    Form = "tar"
	TarGz  Form = "tar.gz"
	TarZst Form = "tar.zst"
	Folder Form = "folder"
)

// LatestName is the name of the uncompressed copy of the most recent valid snapshot backup.
const LatestName = "l2_snapshots_latest.dat.bak"

// Name is the parsed name of a backup.
type Name struct {
	Kind Kind
	Form Form
	Time time.Time // UTC, whole seconds, by the clock of the run
}

const nameTime = "20060102_150405"

// endings are the file name extensions.
var endings = map[Kind]map[Form]string{
	Snapshots: {Plain: ".dat.bak", Gzip: ".dat.bak.gz", Zstd: ".dat.bak.zst"},
	Database:  {Tar: ".tar", TarGz: ".tar.gz", TarZst: ".tar.zst"},
}

// FormsOf returns the forms in which backups of a kind are kept.
func FormsOf(kind Kind) []Form { return slices.Sorted(maps.Keys(endings[kind])) }

var names = regexp.MustCompile(`^(l2_snapshots|reorg_db)_([0-9]{8}_[0-9]{6})(\..*)$`)

// String returns the file name.
func (n Name) String() string {
	stem := "l2_snapshots_"
	if n.Kind == Database {
		stem = "reorg_db_"
	}
	return stem + n.Time.UTC().Format(nameTime) + endings[n.Kind][n.Form]
}

// ParseName parses the name of a backup. It returns false for any other name, including
// [LatestName].
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

// State is the verdict on a backup.
type State string

// The verdicts. "" means that the backup was never read.
const (
	Sound    State = "sound"
	Wrong    State = "wrong"
	CouldNot State = "could-not"
)

// Verified says when a backup was last read to its end, and with what result.
type Verified struct {
	At      time.Time `json:"at"` // UTC
	Verdict State     `json:"verdict"`
	Why     string    `json:"why,omitempty"` // why it is not sound
}

// How a backup was made.
const (
	Copied    = "copied"    // its data was written
	Reflinked = "reflinked" // shares its blocks with the source
	Linked    = "linked"    // another name of an earlier backup
)

// Backup is an entry of the catalogue. Backups are ordered by Sequence, and then by Made.
type Backup struct {
	Name     string    `json:"name"`
	Kind     Kind      `json:"kind"`
	Sequence uint64    `json:"sequence"` // of the run that made it; for a backup that was found, of the run before its time
	Made     time.Time `json:"made"`     // by the clock of the run that made it, UTC

	Size          int64     `json:"size"` // of the file, bytes
	SHA256        string    `json:"sha256"`
	MTime         time.Time `json:"mtime"`          // of the file, when it was last read
	ContentSize   int64     `json:"content_size"`   // of the content: the plain file, or all keys and values
	ContentSHA256 string    `json:"content_sha256"` // for a database: of its records in order

	Copy   string   `json:"copy,omitempty"`    // "" for a backup that was found
	DataOf string   `json:"data_of,omitempty"` // name of the backup whose data it shares
	Source []Source `json:"source,omitempty"`  // missing if it cannot show whether the source has changed

	Verified  Verified        `json:"verified"`
	Line      uint64          `json:"line"` // its number, at least 1; 0 for a backup that never was sound
	Snapshots *SnapshotsEntry `json:"snapshots,omitempty"`
	Database  *DatabaseEntry  `json:"database,omitempty"`
}

// Sound reports whether the backup was sound when it was last read.
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
	Name   string       `json:"name,omitempty"` // in the folder of the database
	Device ijson.Number `json:"device"`
	Inode  ijson.Number `json:"inode"`
	Size   int64        `json:"size"`
	MTime  time.Time    `json:"mtime"`
	CTime  time.Time    `json:"ctime"`
}

// SnapshotsEntry is what the catalogue records about the snapshots in a backup.
type SnapshotsEntry struct {
	Complete int64          `json:"complete"`
	Valid    int64          `json:"valid"`
	First    *SnapshotEntry `json:"first,omitempty"`
	Newest   *SnapshotEntry `json:"newest,omitempty"`
}

// SnapshotEntry is one snapshot.
type SnapshotEntry struct {
	TimestampMs ijson.Number `json:"timestamp_ms"`
	Time        *time.Time   `json:"time,omitempty"` // of its anchor; missing if it is out of range
	Root        string       `json:"root"`
	Anchor      string       `json:"anchor,omitempty"`
	SHA256      string       `json:"sha256"`
}

// DatabaseEntry is what the catalogue records about the database in a backup.
type DatabaseEntry struct {
	Blocks   int64            `json:"blocks"`
	Lowest   ijson.Number     `json:"lowest"`
	Tip      ijson.Number     `json:"tip"`
	Anchors  map[string]int64 `json:"anchors"` // by status, as [reorgdb.AnchorStatus] spells it
	Events   int64            `json:"events"`
	Counter  ijson.Number     `json:"counter"`
	Families map[string]int64 `json:"families"` // all records, by column family
}

// AnchorCount returns the number of anchors.
func (e *DatabaseEntry) AnchorCount() (n int64) {
	for _, count := range e.Anchors {
		n += count
	}
	return n
}

// SetContent records the content of a backup: either snapshots or a database, the other is nil.
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
