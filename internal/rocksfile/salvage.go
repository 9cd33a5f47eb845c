package rocksfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"runtime"
	"slices"

	"ailee-recovery/internal/workers"
)

// Salvaged is all that could be read from a folder.
type Salvaged struct {
	// Families has every column family that is known of, by id, also empty ones.
	Families []Records
	Problems []Problem
	// Version is that of the RocksDB which opened the database last, empty where
	// there is no OPTIONS file.
	Version string
	// Format is the highest format version of a table.
	Format uint32
}

// unknownFamily is for tables that nothing says the column family of.
const unknownFamily = 1<<32 - 1

// ingestedFamily is what a table says of its column family that was made to be ingested,
// RocksDB's kUnknownColumnFamily.
const ingestedFamily = 1<<31 - 1

// attempts is how often a folder is read that changes while it is read.
const attempts = 100

// ErrChanging says that a folder changed each time while it was read.
var ErrChanging = errors.New("the folder keeps changing")

// Salvage reads every record of the database in dir that can still be read, as
// far as files and blocks are sound: those of the tables and logs that the
// MANIFEST lists, or of all there are. It keeps all records in memory, about 40
// bytes more than key and value each, twice at its peak. A folder that a node
// writes to is read again when it has changed meanwhile.
//
// Damage is no error, it is in the result. Errors are those of reading the
// folder, and of ctx.
func Salvage(ctx context.Context, dir string) (*Salvaged, error) {
	for n := 1; ; n++ {
		f, err := openFolder(dir)
		if err != nil {
			return nil, err
		}
		s := &salvage{folder: f, out: &Salvaged{Version: f.version}}
		if err := s.run(ctx); err != nil {
			return nil, err
		}
		if f.unchanged(s.state) {
			return s.out, nil
		}
		if n == attempts {
			s.problem(Problem{Kind: Changing, Why: fmt.Sprintf("it changed while it was read, %d times", n), Lost: true, Stale: true})
			return s.out, nil
		}
	}
}

// salvage is one attempt.
type salvage struct {
	*folder
	state state
	out   *Salvaged
	runs  map[uint32][]*run
	names map[uint32]string // of families, as tables say
}

func (s *salvage) problem(p Problem) { s.out.Problems = append(s.out.Problems, p) }

func (s *salvage) run(ctx context.Context) error {
	s.state = s.folder.state(s.problem)
	s.runs, s.names = map[uint32][]*run{}, map[uint32]string{}
	if err := s.readTables(ctx); err != nil {
		return err
	}
	if err := s.readLogs(ctx); err != nil {
		return err
	}
	s.merge()
	return ctx.Err()
}

// family tells whether entries of a family count. Those of one that was dropped
// do not.
func (s *salvage) family(id uint32) bool {
	return !s.state.sound || s.state.Families[id] != nil || id > s.state.MaxFamily
}

// tableResult is one table that was read.
type tableResult struct {
	run      run
	family   uint32
	name     string // of the family, as far as the table says
	format   uint32
	dropped  bool
	problems []Problem
}

func (s *salvage) readTables(ctx context.Context) error {
	numbers := s.wanted()
	results := make([]tableResult, len(numbers))
	g := workers.NewGroup()
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, number := range numbers {
		g.Go(func() error {
			if ctx.Err() == nil {
				results[i] = s.readTable(number)
			}
			return ctx.Err()
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
			s.runs[r.family] = append(s.runs[r.family], &r.run)
			s.names[r.family] = cmp.Or(s.names[r.family], r.name)
		}
	}
	return nil
}

// wanted returns the numbers of the tables to read: those of the MANIFEST, and
// those in the folder that it does not say were replaced.
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

func (s *salvage) readTable(number uint64) (r tableResult) {
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
			// A table that a node is writing: until the MANIFEST lists it, its
			// records are in the logs or other tables.
			unfinished = s.state.sound && number >= s.state.NextFile
			problem(Problem{Kind: UnlistedTable, Why: "left behind by a crash, being written, or the MANIFEST was cut", Stale: !unfinished})
		}
	}
	data, err := s.read(name)
	if err != nil {
		kind := Unreadable
		if errors.Is(err, fs.ErrNotExist) {
			kind = MissingTable
		}
		problem(Problem{Kind: kind, Why: err.Error(), Err: err, Lost: true, Stale: true})
		return r
	}
	if listed != nil && int64(len(data)) != listed.Size {
		problem(Problem{Kind: DamagedTable, Offset: min(int64(len(data)), listed.Size), Length: max(listed.Size-int64(len(data)), 0),
			Why: fmt.Sprintf("%d bytes, but the MANIFEST says %d", len(data), listed.Size), Lost: int64(len(data)) < listed.Size})
		data = data[:min(int64(len(data)), listed.Size)]
	}
	report, err := ReadTable(data, r.run.add)
	r.format = report.Format
	if tooNew := (*TooNewError)(nil); errors.As(err, &tooNew) {
		tooNew.File = name
		problem(Problem{Kind: TooNew, Err: tooNew, Why: fmt.Sprintf("table format version %d", tooNew.Format), Lost: true})
		return r
	}
	if err == nil {
		err = report.Unsupported
	}
	if c := report.comparator(); err == nil && c != "" && c != bytewiseOrder {
		err = unsupportedOrder(c)
	}
	if err != nil {
		problem(Problem{Kind: Unsupported, Err: err, Why: err.Error(), Lost: true})
		return r
	}
	s.place(&r, report, listed, problem)
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
	return r
}

// place finds the column family and the bounds of a table, and gives the entries of an
// ingested one their sequence number.
func (s *salvage) place(r *tableResult, report TableReport, listed *Table, problem func(Problem)) {
	p := report.Properties
	switch {
	case listed != nil:
		r.family = listed.Family
	case p != nil:
		r.family, r.name = p.Family, p.FamilyName
		if r.family == ingestedFamily {
			// Only the MANIFEST says where it was ingested: nodes and tools have their
			// records in the default one.
			r.family, r.name = 0, defaultFamily
		}
	default:
		r.family = unknownFamily
		if len(r.run.items) > 0 {
			problem(Problem{Kind: DamagedIndex, Why: "its column family is not known", Lost: true})
		}
	}
	if listed != nil {
		r.run.setBounds(listed.Smallest, listed.Largest)
	} else {
		r.run.setBounds(nil, nil)
	}
	switch {
	case listed == nil && p != nil && p.Ingested:
		r.run.number(p.GlobalSeq)
	// Where the properties are damaged, the MANIFEST shows it.
	case listed != nil && (p != nil && p.Ingested || p == nil && listed.SmallestSeq > 0 && r.run.unnumbered()):
		r.run.number(listed.LargestSeq)
	}
	r.dropped = r.family != unknownFamily && !s.family(r.family)
}

func (s *salvage) readLogs(ctx context.Context) error {
	logs := liveLogs(s.folder, s.state, s.problem)
	byFamily := map[uint32]*run{}
	surprise := map[uint32]bool{}
	err := logs.read(ctx, func(number uint64, e Entry) {
		if m := s.state.Manifest; m != nil {
			if f := m.Families[e.Family]; f != nil && number < f.LogNumber {
				return
			} else if f == nil && !s.family(e.Family) {
				return
			} else if f == nil && !surprise[e.Family] {
				surprise[e.Family] = true
				s.problem(Problem{Kind: DamagedManifest, File: s.state.name, Why: fmt.Sprintf("column family %d of the log is not in it", e.Family), Stale: true})
			}
		}
		r := byFamily[e.Family]
		if r == nil {
			r = &run{}
			byFamily[e.Family] = r
		}
		r.add(e)
	})
	for id, r := range byFamily {
		r.sort()
		s.runs[id] = append(s.runs[id], r)
	}
	return err
}

func (s *salvage) merge() {
	names := map[uint32]string{0: defaultFamily}
	if m := s.state.Manifest; m != nil {
		for id, f := range m.Families {
			names[id] = f.Name
		}
	}
	for id := range s.runs {
		if names[id] == "" {
			names[id] = s.names[id]
		}
	}
	for _, id := range slices.Sorted(maps.Keys(names)) {
		m := merge(s.runs[id])
		delete(s.runs, id)
		name := cmp.Or(names[id], fmt.Sprintf("#%d", id))
		if id == unknownFamily {
			name = "#unknown"
		}
		if n := len(m.doubtful); n > 0 {
			s.problem(Problem{Kind: DoubtfulRange, Stale: true, Why: fmt.Sprintf("nothing says how far it counts; %d records of column family %q are kept that it may have deleted, from %q to %q",
				n, name, m.doubtful[0].key(), m.doubtful[n-1].key())})
		}
		for _, kind := range slices.Sorted(maps.Keys(m.unresolved)) {
			err := unsupportedKind(kind)
			s.problem(Problem{Kind: Unsupported, Why: fmt.Sprintf("%s, in column family %q", err, name), Err: err, Lost: true, Entries: m.unresolved[kind]})
		}
		s.out.Families = append(s.out.Families, Records{ID: id, Name: name, items: m.live})
	}
}
