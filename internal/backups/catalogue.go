package backups

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/prunenote"
)

// CatalogueName is the name of the catalogue in the backup folder.
const CatalogueName = "ailee-catalogue.json"

// version is the version of the catalogue's format.
const version = 1

// Catalogue is what is known about the backups in a folder.
type Catalogue struct {
	Version  int              `json:"version"`  // 1
	Sequence uint64           `json:"sequence"` // of the last run
	Lines    uint64           `json:"lines"`    // the number of the last line
	Backups  []Backup         `json:"backups"`  // ordered as in [Backup]
	Runs     map[Kind]*Runs   `json:"runs"`
	Losses   []Loss           `json:"losses"`
	Prunes   []prunenote.Note `json:"prunes"`  // prunes that explained missing snapshots
	Leaving  []string         `json:"leaving"` // names of backups that are about to be deleted
}

// Runs is what is known about the runs that backed up one kind: the result of the last run that
// had one, and totals.
type Runs struct {
	Start       time.Time        `json:"start"` // by the clock of the run, UTC
	End         time.Time        `json:"end"`
	Status      int              `json:"status"` // exit code
	Message     string           `json:"message,omitempty"`
	LastSuccess *time.Time       `json:"last_success,omitempty"` // the end of the last run with status 0
	Total       map[string]int64 `json:"total"`                  // number of runs by status
}

// Record records the result of a run for a kind.
func (c *Catalogue) Record(kind Kind, start, end time.Time, status int, message string) {
	r := c.Runs[kind]
	if r == nil {
		r = &Runs{Total: map[string]int64{}}
		c.Runs[kind] = r
	}
	r.Start, r.End, r.Status, r.Message = start.UTC(), end.UTC(), status, message
	if status == 0 {
		at := r.End
		r.LastSuccess = &at
	}
	r.Total[fmt.Sprint(status)]++
}

// LossState says whether a loss is settled.
type LossState string

// The states of a loss. It is open until the live part has all of it again, or it is given up.
const (
	Open     LossState = "open"
	Accepted LossState = "accepted"
	Returned LossState = "returned"
)

// Loss is what the live part lacked and an earlier backup has.
type Loss struct {
	Seen  time.Time `json:"seen"` // UTC
	Kind  Kind      `json:"kind"`
	Line  uint64    `json:"line"`  // the line whose backups have it; they are held while it is open
	Since uint64    `json:"since"` // the line that began with it
	State LossState `json:"state"`
	// CouldNot says why the two could not be compared: whether anything is lost is then not known.
	CouldNot string `json:"could_not,omitempty"`
	Missing
}

// Missing is what one backup has and another lacks.
type Missing struct {
	Snapshots int64            `json:"snapshots,omitempty"`
	Where     string           `json:"where,omitempty"`   // where snapshots are missing: front, middle or end
	Anchors   map[string]int64 `json:"anchors,omitempty"` // by status
	Events    int64            `json:"events,omitempty"`
	Families  []string         `json:"families,omitempty"`
	Counter   bool             `json:"counter,omitempty"` // it is lower
	// First and Last are the first and last missing: times of snapshots or events, or hashes of
	// anchors.
	First string `json:"first,omitempty"`
	Last  string `json:"last,omitempty"`
}

// maxCatalogue bounds the file, in bytes.
const maxCatalogue = 64 << 20

// ErrCatalogue says that a catalogue is missing or unusable: it must be rebuilt.
var ErrCatalogue = errors.New("no usable catalogue")

func newCatalogue() *Catalogue {
	return &Catalogue{Version: version, Runs: map[Kind]*Runs{}}
}

// readCatalogue reads the catalogue of a folder. The error wraps [ErrCatalogue] if it is missing
// or unusable, and is a system error otherwise.
func readCatalogue(dir string) (*Catalogue, error) {
	f, err := durable.OpenNoFollow(filepath.Join(dir, CatalogueName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: it is missing", ErrCatalogue)
	case errors.Is(err, durable.ErrNotRegular):
		return nil, fmt.Errorf("%w: %w", ErrCatalogue, err)
	case err != nil:
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCatalogue+1))
	if err != nil {
		return nil, err
	}
	c := newCatalogue()
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCatalogue, err)
	}
	if c.Version != version {
		return nil, fmt.Errorf("%w: it has version %d", ErrCatalogue, c.Version)
	}
	if c.Runs == nil {
		c.Runs = map[Kind]*Runs{}
	}
	if why := c.contradiction(); why != "" {
		return nil, fmt.Errorf("%w: %s", ErrCatalogue, why)
	}
	c.sort()
	return c, nil
}

// contradiction returns what is inconsistent in the catalogue, "" for nothing. It also fills in
// missing totals.
func (c *Catalogue) contradiction() string {
	seen := map[string]bool{}
	for i := range c.Backups {
		b := &c.Backups[i]
		name, ok := ParseName(b.Name)
		switch {
		case !ok || name.Kind != b.Kind:
			return fmt.Sprintf("%q is not a name for a backup of its kind", b.Name)
		case seen[b.Name]:
			return fmt.Sprintf("%q is listed twice", b.Name)
		case b.Sequence > c.Sequence:
			return fmt.Sprintf("%q is from run %d, but the last run was %d", b.Name, b.Sequence, c.Sequence)
		case b.Sound() && (b.Kind == Snapshots && b.Snapshots == nil || b.Kind == Database && b.Database == nil):
			return fmt.Sprintf("the content of %q is not recorded", b.Name)
		}
		seen[b.Name] = true
	}
	for kind, runs := range c.Runs {
		if runs == nil || !slices.Contains(Kinds, kind) {
			return "runs of an unknown kind"
		}
		if runs.Total == nil {
			runs.Total = map[string]int64{}
		}
	}
	return ""
}

func (c *Catalogue) sort() {
	slices.SortStableFunc(c.Backups, func(a, b Backup) int {
		return cmp.Or(cmp.Compare(a.Sequence, b.Sequence), a.Made.Compare(b.Made), -cmp.Compare(a.Kind, b.Kind))
	})
}

// insert adds an entry at its place.
func (c *Catalogue) insert(b Backup) {
	c.Backups = append(c.Backups, b)
	c.sort()
}

// Save writes the catalogue of a folder atomically, and syncs it.
func (c *Catalogue) Save(dir string) error {
	c.sort()
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return writeOwn(filepath.Join(dir, CatalogueName), func(w io.Writer) error {
		_, err := w.Write(append(data, '\n'))
		return err
	})
}

// writeOwn writes a file that belongs to the backup folder, and replaces an earlier one.
func writeOwn(path string, write func(io.Writer) error) error {
	f, err := durable.Create(path, 0o640)
	if err != nil {
		return err
	}
	defer f.Abort()
	if err := write(f); err != nil {
		return err
	}
	return f.Commit(true)
}

// Find returns the entry with a name, nil for none.
func (c *Catalogue) Find(name string) *Backup {
	for i := range c.Backups {
		if c.Backups[i].Name == name {
			return &c.Backups[i]
		}
	}
	return nil
}

// OfKind returns the entries of a kind, the newest first.
func (c *Catalogue) OfKind(kind Kind) (found []*Backup) {
	for i := range slices.Backward(c.Backups) {
		if c.Backups[i].Kind == kind {
			found = append(found, &c.Backups[i])
		}
	}
	return found
}

// NewestLine returns the line of the newest sound backup of a kind, 0 for none.
func (c *Catalogue) NewestLine(kind Kind) uint64 {
	if b := c.NewestSound(kind, 0); b != nil {
		return b.Line
	}
	return 0
}

// OpenLines returns the lines of a kind that a new backup is compared with: the newest, and those
// with an open loss.
func (c *Catalogue) OpenLines(kind Kind) (lines []uint64) {
	if newest := c.NewestLine(kind); newest > 0 {
		lines = append(lines, newest)
	}
	for _, l := range c.Losses {
		if l.Kind == kind && l.State == Open && !slices.Contains(lines, l.Line) {
			lines = append(lines, l.Line)
		}
	}
	return lines
}

// OpenLosses returns the open losses of a kind.
func (c *Catalogue) OpenLosses(kind Kind) (open []*Loss) {
	for i := range c.Losses {
		if l := &c.Losses[i]; l.Kind == kind && l.State == Open {
			open = append(open, l)
		}
	}
	return open
}

// NewestSound returns the newest backup of a line that was sound when it was last read, nil for
// none. Line 0 stands for any line.
func (c *Catalogue) NewestSound(kind Kind, line uint64) *Backup {
	for _, b := range c.OfKind(kind) {
		if b.Sound() && (line == 0 || b.Line == line) {
			return b
		}
	}
	return nil
}

// Held returns the lines of a kind whose backups are kept regardless of the rules.
func (c *Catalogue) Held(kind Kind) map[uint64]bool {
	held := map[uint64]bool{}
	for _, l := range c.OpenLosses(kind) {
		held[l.Line] = true
	}
	return held
}

// Settle gives the open losses of a kind another state.
func (c *Catalogue) Settle(kind Kind, state LossState) {
	for _, l := range c.OpenLosses(kind) {
		l.State = state
	}
}
