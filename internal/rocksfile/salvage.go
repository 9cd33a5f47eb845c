package rocksfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"

	"ailee-recovery/internal/workers"
)

// Salvaged is everything that could be read from a folder.
type Salvaged struct {
	// Families has every known column family, in the order of the ids, including empty ones.
	Families []Records
	Problems []Problem
	// Version is the version of the RocksDB that last opened the database, "" without an
	// OPTIONS file.
	Version string
	// Format is the highest format version of a table.
	Format uint32

	store *store
}

// unknownFamily is the family of tables whose column family is not known.
const unknownFamily = 1<<32 - 1

// ingestedFamily is the column family in the properties of a table that was made for ingestion:
// RocksDB's kUnknownColumnFamily.
const ingestedFamily = 1<<31 - 1

// attempts is how often a folder that keeps changing is read.
const attempts = 100

// ErrChanging means that a folder changed every time while it was being read.
var ErrChanging = errors.New("the folder keeps changing")

// Salvage reads every record of the database in dir that can still be read: from all sound
// files and blocks, of the tables and logs that the MANIFEST lists, or of all that are there.
// It keeps a few megabytes of records in memory, and the rest in a file that newFile makes,
// which should have no name. [Salvaged.Close] closes it. If the folder changes meanwhile, it
// is read again.
//
// Damage is not an error: it is in the result. The error is that of reading the folder, of the
// temporary file, or of ctx.
func Salvage(ctx context.Context, dir string, newFile func() (*os.File, error)) (*Salvaged, error) {
	for n := 1; ; n++ {
		f, err := openFolder(dir)
		if err != nil {
			return nil, err
		}
		s := &salvage{folder: f, store: newStore(newFile), names: map[uint32]string{}}
		s.out = &Salvaged{Version: f.version, store: s.store}
		if err := s.run(ctx); err != nil {
			return nil, errors.Join(err, s.store.close())
		}
		if f.unchanged(s.state) {
			s.store.giveBack()
			return s.out, nil
		}
		if n == attempts {
			s.problem(Problem{Kind: Changing, Why: fmt.Sprintf("it changed each of the %d times that it was read", n), Lost: true, Stale: true})
			return s.out, nil
		}
		if err := s.store.close(); err != nil {
			return nil, err
		}
	}
}

// Close closes the temporary file.
func (s *Salvaged) Close() error { return s.store.close() }

// salvage is one attempt of [Salvage].
type salvage struct {
	*folder
	state state
	out   *Salvaged
	store *store
	names map[uint32]string // of column families, from the properties of tables
}

func (s *salvage) problem(p Problem) { s.out.Problems = append(s.out.Problems, p) }

func (s *salvage) run(ctx context.Context) error {
	s.state = s.folder.state(s.problem)
	if err := s.readTables(ctx); err != nil {
		return err
	}
	if err := s.readLogs(ctx); err != nil {
		return err
	}
	return s.merge(ctx)
}

// family reports whether the entries of a column family count. Those of a dropped one do not.
func (s *salvage) family(id uint32) bool {
	return !s.state.sound || s.state.Families[id] != nil || id > s.state.MaxFamily
}

// tableResult is the result of reading one table.
type tableResult struct {
	family   uint32
	name     string // of the family, "" if the table does not name it
	dropped  bool   // the family was dropped
	format   uint32
	problems []Problem
}

func (s *salvage) readTables(ctx context.Context) error {
	numbers := s.wanted()
	results := make([]tableResult, len(numbers))
	g := workers.NewGroup()
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, number := range numbers {
		g.Go(func() (err error) {
			if err = ctx.Err(); err == nil {
				results[i], err = s.readTable(ctx, number)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i := range results {
		r := &results[i]
		s.out.Problems = append(s.out.Problems, r.problems...)
		s.out.Format = max(s.out.Format, r.format)
		if !r.dropped {
			s.store.family(r.family)
			s.names[r.family] = cmp.Or(s.names[r.family], r.name)
		}
	}
	return nil
}

// wanted returns the numbers of the tables to read: those that the MANIFEST lists, and those in
// the folder that it does not list as deleted.
func (s *salvage) wanted() []uint64 {
	if s.state.Manifest == nil {
		return s.tables
	}
	numbers := slices.Collect(maps.Keys(s.state.Tables))
	for _, n := range s.tables {
		if _, listed := s.state.Tables[n]; !listed && !s.state.Deleted[n] {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers
}

func (s *salvage) readTable(ctx context.Context, number uint64) (r tableResult, err error) {
	name := tableName(number)
	problem := func(p Problem) {
		p.File = name
		r.problems = append(r.problems, p)
	}
	var listed *Table
	unfinished := false
	if s.state.Manifest != nil {
		if t, ok := s.state.Tables[number]; ok {
			listed = &t
		} else {
			// A node may be writing this table: until the MANIFEST lists it, its records are
			// in the logs or in other tables.
			unfinished = s.state.sound && number >= s.state.NextFile
			problem(Problem{Kind: UnlistedTable, Why: "left by a crash, still being written, or the MANIFEST was cut short", Stale: !unfinished})
		}
	}
	file, size, err := s.open(name)
	if err != nil {
		kind := Unreadable
		if errors.Is(err, fs.ErrNotExist) {
			kind = MissingTable
		}
		problem(Problem{Kind: kind, Why: err.Error(), Err: err, Lost: true, Stale: true})
		return r, nil
	}
	defer file.Close()
	if listed != nil && size != listed.Size {
		problem(Problem{Kind: DamagedTable, Offset: min(size, listed.Size), Length: max(listed.Size-size, 0),
			Why: fmt.Sprintf("%d bytes, but the MANIFEST says %d", size, listed.Size), Lost: size < listed.Size})
		size = min(size, listed.Size)
	}
	t := tableEntries{salvage: s, file: &readerAt{in: inContext{ctx, file}}, size: size}
	report, unsupported := t.read(&r, listed, problem)
	if err := errors.Join(t.err, ctx.Err()); err != nil {
		return r, err
	}
	r.format = report.Format
	if err := t.file.err; err != nil {
		problem(Problem{Kind: Unreadable, Why: err.Error(), Err: err, Lost: true, Stale: true})
		return r, nil
	}
	if tooNew := (*TooNewError)(nil); errors.As(unsupported, &tooNew) {
		tooNew.File = name
		problem(Problem{Kind: TooNew, Err: tooNew, Why: fmt.Sprintf("table format version %d", tooNew.Format), Lost: true})
		return r, nil
	}
	if unsupported != nil {
		problem(Problem{Kind: Unsupported, Err: unsupported, Why: unsupported.Error(), Lost: true})
		return r, nil
	}
	for _, d := range report.Damaged {
		p := Problem{Kind: DamagedTable, Offset: d.Offset, Length: d.Length, Why: d.Why, Lost: !unfinished, Stale: !unfinished}
		if len(report.Damaged) == 1 {
			p.Entries = max(report.Lost, 0)
		}
		problem(p)
	}
	if len(report.Damaged) > 1 && report.Lost > 0 {
		problem(Problem{Kind: DamagedTable, Why: "all its damaged blocks together", Entries: report.Lost, Lost: true, Stale: true})
	}
	for _, d := range report.Metadata {
		problem(Problem{Kind: DamagedIndex, Offset: d.Offset, Length: d.Length, Why: d.Why, Stale: report.RangesUnknown && !unfinished})
	}
	return r, nil
}

// tableEntries passes the entries of a table on to the store.
type tableEntries struct {
	*salvage
	file *readerAt
	size int64
	err  error // of the store
}

// readerAt keeps the first error of reading. The end of the file does not count as an error.
type readerAt struct {
	in  io.ReaderAt
	err error
}

func (r *readerAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.in.ReadAt(p, off)
	if r.err == nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// handOver is about how many bytes of entries are passed to the store at a time.
const handOver = 256 << 10

// read reads the table. The properties say to which column family it belongs, and how its
// entries are numbered. If they are not where they should be, the whole table is read first,
// to find them or to see that there are none.
func (t *tableEntries) read(r *tableResult, listed *Table, problem func(Problem)) (report TableReport, unsupported error) {
	var p *Properties
	unnumbered, entries := true, 0
	if foot, err := readFooter(t.file, t.size); err == nil {
		p = fileReader(t.file, t.size, foot, smallWindow).onlyProperties(foot)
	}
	if p == nil {
		report, unsupported = readTable(t.file, t.size, func(e Entry) {
			unnumbered = unnumbered && e.Seq == 0
			entries++
		})
		p = report.Properties
		if unsupported = cmp.Or(unsupported, report.Unsupported); unsupported != nil {
			return report, unsupported
		}
	}
	switch {
	case listed != nil:
		r.family = listed.Family
	case p != nil:
		r.family, r.name = p.Family, p.FamilyName
		if r.family == ingestedFamily {
			// Only the MANIFEST says to which family it was ingested. The records of nodes and
			// tools are in the default one.
			r.family, r.name = 0, defaultFamily
		}
	default:
		r.family = unknownFamily
		if entries > 0 {
			problem(Problem{Kind: DamagedIndex, Why: "its column family is not known", Lost: true})
		}
	}
	var run run
	if listed != nil {
		run.setBounds(listed.Smallest, listed.Largest)
	} else {
		run.setBounds(nil, nil)
	}
	var seq uint64
	ingested := false
	switch {
	case listed == nil && p != nil && p.Ingested:
		seq, ingested = p.GlobalSeq, true
	// If the properties are damaged, the MANIFEST shows that the table was ingested.
	case listed != nil && (p != nil && p.Ingested || p == nil && listed.SmallestSeq > 0 && unnumbered):
		seq, ingested = listed.LargestSeq, true
	}
	r.dropped = r.family != unknownFamily && !t.salvage.family(r.family)
	report, unsupported = readTable(t.file, t.size, func(e Entry) {
		if r.dropped || t.err != nil {
			return
		}
		if ingested {
			e.Seq = seq
		}
		if run.add(e); run.size >= handOver {
			t.err = t.store.take(r.family, &run)
		}
	})
	if unsupported = cmp.Or(unsupported, report.Unsupported); unsupported == nil {
		if c := report.comparator(); c != "" && c != bytewiseOrder {
			unsupported = unsupportedOrder(c)
		}
	}
	if t.err == nil {
		t.err = t.store.take(r.family, &run)
	}
	t.store.addRanges(r.family, &run)
	return report, unsupported
}

func (s *salvage) readLogs(ctx context.Context) error {
	logs := liveLogs(s.folder, s.state, s.problem)
	byFamily := map[uint32]*run{}
	surprise := map[uint32]bool{}
	var failed error
	err := logs.read(ctx, func(number uint64, e Entry) {
		if m := s.state.Manifest; m != nil {
			if f := m.Families[e.Family]; f != nil && number < f.LogNumber {
				return
			} else if f == nil && !s.family(e.Family) {
				return
			} else if f == nil && !surprise[e.Family] {
				surprise[e.Family] = true
				s.problem(Problem{Kind: DamagedManifest, File: s.state.name, Why: fmt.Sprintf("column family %d is in the log, but not in it", e.Family), Stale: true})
			}
		}
		r := byFamily[e.Family]
		if r == nil {
			r = &run{}
			byFamily[e.Family] = r
		}
		if r.add(e); r.size >= handOver && failed == nil {
			failed = s.store.take(e.Family, r)
		}
	})
	for id, r := range byFamily {
		failed = cmp.Or(failed, s.store.take(id, r))
		s.store.addRanges(id, r)
	}
	return cmp.Or(err, failed)
}

func (s *salvage) merge(ctx context.Context) error {
	names := map[uint32]string{0: defaultFamily}
	if m := s.state.Manifest; m != nil {
		for id, f := range m.Families {
			names[id] = f.Name
		}
	}
	for id := range s.store.families {
		if names[id] == "" {
			names[id] = s.names[id]
		}
	}
	for _, id := range slices.Sorted(maps.Keys(names)) {
		var count counted
		for _, err := range s.store.live(ctx, s.store.family(id), &count) {
			if err != nil {
				return err
			}
		}
		name := cmp.Or(names[id], fmt.Sprintf("#%d", id))
		if id == unknownFamily {
			name = "#unknown"
		}
		if n := count.doubtful; n > 0 {
			s.problem(Problem{Kind: DoubtfulRange, Stale: true, Why: fmt.Sprintf("it is not known how far it reaches; %d records of column family %q that it may have deleted are kept, from %q to %q",
				n, name, count.firstDoubt, count.lastDoubt)})
		}
		for _, kind := range slices.Sorted(maps.Keys(count.unresolved)) {
			err := unsupportedKind(kind)
			s.problem(Problem{Kind: Unsupported, Why: fmt.Sprintf("%s, in column family %q", err, name), Err: err, Lost: true, Entries: count.unresolved[kind]})
		}
		s.out.Families = append(s.out.Families, Records{ID: id, Name: name, len: count.live, store: s.store})
	}
	return ctx.Err()
}
