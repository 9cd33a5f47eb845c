package backups

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"ailee-recovery/internal/content"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/prunenote"
	"ailee-recovery/reorgdb"
)

// A line is a series of backups, each of which has all that the one before had. A new backup is
// compared with the newest sound one of each open line. A loss begins a new line.

const recordsPrefix = "ailee-records-"

// recordsName returns the name of the file with the anchors and events of the newest backup of a
// line.
func recordsName(line uint64) string { return fmt.Sprintf("%s%d.gz", recordsPrefix, line) }

// Holding has the options for comparing a backup with earlier ones.
type Holding struct {
	ExamineOptions
	// Notes are the notes on prunes of the snapshot file, the oldest first.
	Notes  []prunenote.Note
	DryRun bool // write nothing
	// Warn is called when an earlier backup turns out to be wrong.
	Warn func(format string, args ...any)
}

// DigestsAt returns the lengths at which to note the digest of a snapshot file while it is read,
// so that [Dir.Place] need not read it again.
func (c *Catalogue) DigestsAt() (lengths []int64) {
	for _, line := range c.OpenLines(Snapshots) {
		if b := c.NewestSound(Snapshots, line); b != nil {
			lengths = append(lengths, b.ContentSize)
		}
	}
	return lengths
}

// Place puts a sound backup, whose content was read, into a line, and records what is lost with
// it or has come back. The caller adds the entry to the catalogue afterwards. If the newest
// backup of a line has the same content, nothing of that line is read. A line that could not be
// compared is held as if there were a loss. The error is the context's, or one of writing to the
// folder.
func (d *Dir) Place(ctx context.Context, b *Backup, s *content.Snapshots, db *content.Database, h Holding) error {
	c := d.Catalogue
	newest := c.NewestLine(b.Kind)
	for _, line := range c.OpenLines(b.Kind) {
		missing, err := d.missing(ctx, line, b, s, db, h)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		contained := err == nil && missing == nil
		switch {
		case contained && line == newest:
			b.Line = line
		case line == newest:
			loss := Loss{Seen: h.Now.UTC().Truncate(time.Second), Kind: b.Kind, Line: line, State: Open}
			loss.set(missing, err)
			c.Lines++
			b.Line = c.Lines
			loss.Since = b.Line
			c.Losses = append(c.Losses, loss)
		}
		if line == newest {
			continue
		}
		for _, loss := range c.OpenLosses(b.Kind) {
			switch {
			case loss.Line != line:
			case contained:
				loss.State = Returned
			default:
				loss.set(missing, err)
			}
		}
	}
	if b.Line == 0 {
		c.Lines++
		b.Line = c.Lines
	}
	if db != nil && !h.DryRun {
		return d.saveRecords(b.Line, db)
	}
	return nil
}

func (l *Loss) set(missing *Missing, err error) {
	l.CouldNot = ""
	if err != nil {
		l.CouldNot = err.Error()
	}
	if missing != nil {
		l.Missing = *missing
	}
}

// errNothingSound says that a line has no sound backup left.
var errNothingSound = errors.New("none of its backups is sound")

// missing returns what the newest sound backup of a line has that the new one lacks, nil for
// nothing. A backup that turns out to be wrong is marked, and the one before it is used.
func (d *Dir) missing(ctx context.Context, line uint64, b *Backup, s *content.Snapshots, db *content.Database, h Holding) (*Missing, error) {
	for {
		old := d.Catalogue.NewestSound(b.Kind, line)
		if old == nil {
			return nil, errNothingSound
		}
		if old.ContentSHA256 == b.ContentSHA256 && old.ContentSize == b.ContentSize {
			return nil, nil
		}
		var missing *Missing
		var err error
		if b.Kind == Snapshots {
			missing, err = d.missingSnapshots(ctx, old, s, h)
		} else {
			missing, err = d.missingRecords(ctx, old, db, h)
		}
		var wrong *wrongError
		if !errors.As(err, &wrong) {
			return missing, err
		}
		old.Verified = Verified{At: h.Now.UTC(), Verdict: Wrong, Why: wrong.Error()}
		if h.Warn != nil {
			h.Warn("%s is wrong: %s", d.PathOf(old.Name), wrong)
		}
	}
}

// missingSnapshots compares an earlier backup with a snapshot file. The error is a *wrongError
// if the backup is not what it was.
func (d *Dir) missingSnapshots(ctx context.Context, old *Backup, s *content.Snapshots, h Holding) (*Missing, error) {
	if sum, ok := s.PrefixSHA256(old.ContentSize); ok && sum == old.ContentSHA256 {
		return nil, nil
	}
	e, err := d.examineOld(ctx, old, h)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	return d.lackedSnapshots(ctx, e.Snapshots, s, h)
}

// lackedSnapshots returns what an earlier file has and the later one lacks, nil if that is
// nothing or a note on a prune explains it.
func (d *Dir) lackedSnapshots(ctx context.Context, old, s *content.Snapshots, h Holding) (*Missing, error) {
	diff, err := content.CompareSnapshots(ctx, old, s)
	if err != nil || diff.Contains() {
		return nil, err
	}
	if diff.AtFront && s.Oldest != nil {
		if note, ok := prunenote.Explaining(h.Notes, s.Oldest.SHA256); ok {
			d.Catalogue.addPrune(note)
			return nil, nil
		}
	}
	m := &Missing{Snapshots: diff.OnlyA.Count, Where: "middle", First: timeText(diff.OnlyA.First), Last: timeText(diff.OnlyA.Last)}
	switch {
	case diff.AtFront:
		m.Where = "front"
	case diff.AtEnd:
		m.Where = "end"
	}
	return m, nil
}

// examineOld reads an earlier backup.
func (d *Dir) examineOld(ctx context.Context, old *Backup, h Holding) (*Examined, error) {
	o := h.ExamineOptions
	o.DigestsAt, o.UnpackTo, o.Progress = nil, "", nil
	e, err := Examine(ctx, d.PathOf(old.Name), old.Kind, o)
	if err != nil {
		return nil, err
	}
	switch {
	case e.Verdict == Sound && e.contentSHA256() == old.ContentSHA256:
		return e, nil
	case e.Verdict == Sound:
		err = &wrongError{why: "its content is not what was backed up"}
	case e.Verdict == Wrong:
		err = &wrongError{e.Err.Error(), e.Err}
	default:
		err = fmt.Errorf("%s: %w", d.PathOf(old.Name), e.Err)
	}
	return nil, errors.Join(err, e.Close())
}

// contentSHA256 returns the digest as in [Backup.ContentSHA256].
func (e *Examined) contentSHA256() string {
	switch {
	case e.Snapshots != nil:
		return e.Snapshots.SHA256
	case e.Database != nil:
		return e.Database.SHA256
	}
	return ""
}

func timeText(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}

func (c *Catalogue) addPrune(note prunenote.Note) {
	if !slices.ContainsFunc(c.Prunes, func(known prunenote.Note) bool {
		return known.Time == note.Time && known.FirstKept == note.FirstKept
	}) {
		c.Prunes = append(c.Prunes, note)
	}
}

// missingRecords compares an earlier backup with a database.
func (d *Dir) missingRecords(ctx context.Context, old *Backup, db *content.Database, h Holding) (*Missing, error) {
	known, err := d.loadRecords(ctx, old, h)
	if err != nil {
		return nil, err
	}
	defer known.Close()
	return lackedRecords(ctx, known, db)
}

// lackedRecords returns what an earlier database has and the later one lacks, nil for nothing.
func lackedRecords(ctx context.Context, old, db *content.Database) (*Missing, error) {
	diff, err := content.CompareDatabases(ctx, old, db)
	if err != nil || diff.Contains() {
		return nil, err
	}
	m := &Missing{Events: diff.EventsA.Count, Families: diff.FamiliesA, Counter: diff.CounterB < diff.CounterA,
		First: diff.AnchorsA.First, Last: diff.AnchorsA.Last}
	if diff.AnchorsA.Count > 0 {
		m.Anchors = map[string]int64{}
	}
	for status, n := range diff.AnchorsA.ByStatus {
		m.Anchors[status.String()] = n
	}
	if diff.AnchorsA.Count == 0 {
		m.First, m.Last = timeText(diff.EventsA.First), timeText(diff.EventsA.Last)
	}
	return m, nil
}

// loadRecords returns the anchors and events of an earlier backup, from the list of its line or
// from the backup itself.
func (d *Dir) loadRecords(ctx context.Context, old *Backup, h Holding) (*content.Database, error) {
	if known, err := readRecords(ctx, d.PathOf(recordsName(old.Line)), h.Scratch); err == nil {
		if known.SHA256 == old.ContentSHA256 {
			known.Counter = uint64(old.Database.Counter)
			known.Families = maps.Clone(old.Database.Families)
			return known, nil
		}
		if err := known.Close(); err != nil {
			return nil, err
		}
	}
	e, err := d.examineOld(ctx, old, h)
	if err != nil {
		return nil, err
	}
	// The database outlives the unpacked files.
	return e.Database, e.release()
}

// release closes everything except the database.
func (e *Examined) release() error {
	last := len(e.closers) - 1
	e.closers = e.closers[:last] // added last
	return e.Close()
}

func readRecords(ctx context.Context, path, tempDir string) (*content.Database, error) {
	f, err := durable.OpenNoFollow(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return content.LoadRecords(ctx, in, tempDir)
}

// saveRecords writes the list of the anchors and events of a line.
func (d *Dir) saveRecords(line uint64, db *content.Database) error {
	return writeOwn(d.PathOf(recordsName(line)), func(w io.Writer) error {
		out := gzip.NewWriter(w)
		return errors.Join(db.SaveRecords(out), out.Close())
	})
}

// RemoveRecords removes the lists of lines that have no backup left.
func (d *Dir) RemoveRecords() error {
	used := map[string]bool{}
	for _, b := range d.Catalogue.Backups {
		used[recordsName(b.Line)] = true
	}
	entries, err := os.ReadDir(d.Path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if name := entry.Name(); strings.HasPrefix(name, recordsPrefix) && !used[name] {
			if err := os.Remove(d.PathOf(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// Count returns how many snapshots, anchors and events are missing.
func (m *Missing) Count() int64 {
	n := m.Snapshots + m.Events
	for _, anchors := range m.Anchors {
		n += anchors
	}
	return n
}

// String says what is missing, such as "14 anchors (11 confirmed) and 3 reorg events".
func (m *Missing) String() string {
	var parts []string
	count := func(n int64, one, many string) string {
		if n == 1 {
			return "1 " + one
		}
		return fmt.Sprintf("%d %s", n, many)
	}
	if m.Snapshots > 0 {
		text := count(m.Snapshots, "snapshot", "snapshots")
		switch m.Where {
		case "front":
			text += " at the front, and no prune is recorded"
		case "end":
			text += " at the end"
		default:
			text += " in the middle"
		}
		parts = append(parts, text)
	}
	anchors := int64(0)
	for _, n := range m.Anchors {
		anchors += n
	}
	if anchors > 0 {
		text := count(anchors, "anchor", "anchors")
		if n := m.Anchors[reorgdb.Confirmed.String()]; n > 0 {
			text += fmt.Sprintf(" (%d confirmed)", n)
		}
		parts = append(parts, text)
	}
	if m.Events > 0 {
		parts = append(parts, count(m.Events, "reorg event", "reorg events"))
	}
	if n := len(m.Families); n > 0 {
		parts = append(parts, count(int64(n), "column family", "column families"))
	}
	if m.Counter {
		parts = append(parts, "the reorg event counter")
	}
	switch n := len(parts); n {
	case 0:
		return "nothing"
	case 1:
		return parts[0]
	default:
		return strings.Join(parts[:n-1], ", ") + " and " + parts[n-1]
	}
}
