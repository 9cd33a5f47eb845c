package rocksfile

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Replay reads the logs of a database without RocksDB, which keeps everything in them in memory
// when it opens a database for reading. It is the database at the moment of [OpenReplay].
type Replay struct {
	*folder
	state state
	logs  logSet
}

// OpenReplay reads the MANIFEST of the database in dir. It returns nil, without an error, if
// the MANIFEST is not sound: then it is not known which logs count.
func OpenReplay(dir string) (*Replay, error) {
	f, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	s := f.state(func(Problem) {})
	if s.Manifest == nil || !s.sound || s.name == "" {
		return nil, nil
	}
	return &Replay{folder: f, state: s, logs: liveLogs(f, s, func(Problem) {})}, nil
}

// LogBytes returns the total length of the logs, in bytes.
func (r *Replay) LogBytes() int64 { return r.logs.size() }

// Tables returns the number of tables.
func (r *Replay) Tables() int { return len(r.state.Tables) }

// Unchanged reports whether the database did not change since [OpenReplay].
func (r *Replay) Unchanged() bool { return r.folder.unchanged(r.state) }

// Link makes a copy of the database without its logs in the empty folder at path, with links to
// the tables and a copy of the MANIFEST. RocksDB may write to the copy: it makes new files, and
// never writes to an existing table.
func (r *Replay) Link(path string) error {
	dir, err := filepath.Abs(r.dir)
	if err != nil {
		return err
	}
	for number := range r.state.Tables {
		name := tableName(number)
		if err := os.Symlink(filepath.Join(dir, name), filepath.Join(path, name)); err != nil {
			return err
		}
	}
	file, _, err := r.open(r.state.name)
	if err != nil {
		return err
	}
	defer file.Close()
	to, err := os.Create(filepath.Join(path, r.state.name))
	if err != nil {
		return err
	}
	_, err = io.CopyN(to, file, r.state.size)
	if err = errors.Join(err, to.Close()); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(path, "CURRENT"), []byte(r.state.name+"\n"), 0o600)
}

// ErrLogsEndEarly means that one column family has later records in tables than the place at
// which the logs end for the others. RocksDB does not open such a database.
var ErrLogsEndEarly = errors.New("the logs are damaged before records that are already in tables of another column family")

// Changes are the changes in the logs that are not in the tables yet, sorted.
type Changes struct {
	Families []FamilyChanges
	store    *store
}

// FamilyChanges are the changes of one column family: delete the ranges first, and then apply
// the entries of [FamilyChanges.All].
type FamilyChanges struct {
	Name   string
	Ranges []Range

	id    uint32
	store *store
}

// Range is a range of keys. To is excluded.
type Range struct{ From, To []byte }

// Close closes the temporary file.
func (c *Changes) Close() error { return c.store.close() }

// All yields the newest entry of each changed key, a put or a deletion, in ascending order of
// the keys. Key and value are valid until the next entry. The iteration ends after an error:
// the error of ctx, or of reading the temporary file.
func (f *FamilyChanges) All(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for i, err := range f.store.changes(ctx, f.store.family(f.id)) {
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if !yield(i.entry(f.id), nil) {
				return
			}
		}
	}
}

// Changes reads the logs. It keeps a few megabytes of entries in memory, and the rest in a file
// that newFile makes, which should have no name. It stops where RocksDB stops: at the first
// damage, unless a later log continues with exactly the next sequence number. The error is that
// of reading, of the temporary file, or of ctx, or it is [ErrUnsupported] or [ErrLogsEndEarly].
func (r *Replay) Changes(ctx context.Context, newFile func() (*os.File, error)) (*Changes, error) {
	c := &changesReader{Replay: r, store: newStore(newFile), runs: map[uint32]*run{}}
	changes, err := c.read(ctx)
	if err != nil {
		return nil, errors.Join(err, c.store.close())
	}
	c.store.giveBack()
	return changes, nil
}

// changesReader reads the logs of a database.
type changesReader struct {
	*Replay
	store   *store
	runs    map[uint32]*run // by column family
	entries []Entry

	next    uint64 // the sequence number after the last record
	ended   bool   // stopped at damage
	endedIn uint64 // number of the log with the damage
	err     error  // why to stop reading
}

func (c *changesReader) read(ctx context.Context) (*Changes, error) {
	for _, number := range c.logs.numbers {
		if err := c.readLog(ctx, number); err != nil {
			return nil, err
		}
	}
	if c.endsEarly() {
		return nil, ErrLogsEndEarly
	}
	out := &Changes{store: c.store}
	for _, id := range slices.Sorted(maps.Keys(c.runs)) {
		r := c.runs[id]
		if err := c.store.take(id, r); err != nil {
			return nil, err
		}
		c.store.addRanges(id, r)
		f := FamilyChanges{Name: c.state.Families[id].Name, id: id, store: c.store}
		for _, d := range r.ranges {
			f.Ranges = append(f.Ranges, Range{d.key(), d.value()})
		}
		out.Families = append(out.Families, f)
	}
	return out, nil
}

func (c *changesReader) readLog(ctx context.Context, number uint64) error {
	file, size, err := c.open(logName(number))
	if err != nil {
		return err
	}
	defer file.Close()
	first := true
	err = LogReader{
		Record: func(_ int64, record []byte) {
			seq, entries, err := decodeBatch(record, c.entries[:0])
			if errors.Is(err, ErrUnsupported) {
				c.fail(err)
				return
			}
			if first && err == nil && seq == c.next {
				c.ended = false
			}
			if first = false; err != nil {
				c.end(number)
			}
			if c.ended {
				return
			}
			c.next, c.entries = seq+uint64(len(entries)), entries
			for _, e := range entries {
				c.add(number, e)
			}
		},
		Damage: func(d Damage) {
			switch {
			case errors.Is(d.Err, ErrUnsupported):
				c.fail(d.Err)
			case !d.Zeros: // RocksDB ignores zeros
				c.end(number)
			}
		},
	}.Read(inContext{ctx, wantedReader{file, &c.err}}, size, number)
	return cmp.Or(c.err, err)
}

func (c *changesReader) fail(err error) { c.err = cmp.Or(c.err, err) }

func (c *changesReader) end(number uint64) {
	if !c.ended {
		c.ended, c.endedIn = true, number
	}
}

func (c *changesReader) endsEarly() bool {
	if !c.ended {
		return false
	}
	for _, t := range c.state.Tables {
		if f := c.state.Families[t.Family]; f != nil && f.LogNumber > c.endedIn {
			return true
		}
	}
	return false
}

// add adds an entry of a log, unless the tables of its column family already have it.
func (c *changesReader) add(number uint64, e Entry) {
	if !e.Kind.plain() {
		c.fail(unsupportedKind(e.Kind))
	}
	family := c.state.Families[e.Family]
	if c.err != nil || family == nil || number < family.LogNumber {
		return
	}
	r := c.runs[e.Family]
	if r == nil {
		r = &run{}
		c.runs[e.Family] = r
	}
	if r.add(e); r.size >= handOver {
		c.err = c.store.take(e.Family, r)
	}
}

// wantedReader is a file that can be read until *err is set.
type wantedReader struct {
	io.ReaderAt
	err *error
}

func (w wantedReader) ReadAt(p []byte, off int64) (int, error) {
	if *w.err != nil {
		return 0, *w.err
	}
	return w.ReaderAt.ReadAt(p, off)
}
