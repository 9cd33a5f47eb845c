package rocksfile

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Checked is what RocksDB does not report about a database that it opens.
type Checked struct {
	// Problems are those of CURRENT, the MANIFEST and the live logs, and tables that are too new
	// or of an unsupported type.
	Problems []Problem
	Version  string // as in [Salvaged]
	Format   uint32 // as in [Salvaged]
}

// Check looks for problems that RocksDB silently ignores when it opens the database in dir:
// damaged ranges, gaps and torn tails in the logs, and a missing log. Of each table it reads
// only the last 53 bytes. If the folder changes meanwhile, it is read again. The error is that
// of reading the folder, the error of ctx, or wraps [ErrChanging].
func Check(ctx context.Context, dir string) (*Checked, error) {
	for n := 1; ; n++ {
		f, err := openFolder(dir)
		if err != nil {
			return nil, err
		}
		c := &Checked{Version: f.version}
		problem := func(p Problem) { c.Problems = append(c.Problems, p) }
		before := f.state(problem)
		c.formats(f, before, problem)
		entries := 0
		if err := liveLogs(f, before, problem).read(ctx, func(uint64, Entry) { entries++ }); err != nil {
			return nil, err
		}
		if entries == 0 && before.untouched() && f.options == 0 {
			problem(Problem{Kind: BeingMade, Why: "nothing was ever written to it; a node completes it when it starts"})
		}
		if f.unchanged(before) {
			return c, nil
		}
		if n == attempts {
			return nil, fmt.Errorf("%s: %w", dir, ErrChanging)
		}
	}
}

func (c *Checked) formats(f *folder, s state, problem func(Problem)) {
	for _, number := range f.tables {
		if s.Manifest != nil && s.Deleted[number] {
			continue
		}
		name := tableName(number)
		file, size, err := f.open(name)
		if err != nil {
			continue // opening the database reports it
		}
		foot, err := readFooter(file, size)
		file.Close()
		c.Format = max(c.Format, foot.format)
		if tooNew := (*TooNewError)(nil); errors.As(err, &tooNew) {
			tooNew.File = name
			problem(Problem{Kind: TooNew, File: name, Err: tooNew, Why: fmt.Sprintf("table format version %d", tooNew.Format), Lost: true})
		} else if errors.Is(err, ErrUnsupported) {
			problem(Problem{Kind: Unsupported, File: name, Err: err, Why: err.Error(), Lost: true})
		}
	}
}

// Unfit returns an error for a database that RocksDB must not open: it would end the process,
// or silently ignore records. The error is [ErrUnsupported] if there is something that no node
// writes; otherwise it describes damage in a table: in one without checksums, or in the properties.
// Tables with checksums are not read, except for their properties.
func Unfit(dir string) error {
	f, err := openFolder(dir)
	if err != nil {
		return nil // opening the database reports it
	}
	return f.unfit(func(logs logSet) { _ = logs.read(context.Background(), func(uint64, Entry) {}) })
}

// Unfit is the function [Unfit], but does not read the logs: [Replay.Changes] finds what is
// unsupported in them.
func (r *Replay) Unfit() error { return r.folder.unfit(func(logSet) {}) }

func (f *folder) unfit(look func(logSet)) error {
	c := &Checked{}
	problem := func(p Problem) { c.Problems = append(c.Problems, p) }
	s := f.state(problem)
	c.formats(f, s, problem)
	look(liveLogs(f, s, problem))
	if what := FindUnsupported(c.Problems); what != "" {
		return unsupported("%s", what)
	}
	for _, number := range f.tables {
		if s.Manifest != nil && s.Deleted[number] {
			continue
		}
		if err := f.unfitTable(tableName(number)); err != nil {
			return err
		}
	}
	return nil
}

func (f *folder) unfitTable(name string) error {
	file, size, err := f.open(name)
	if err != nil {
		return nil // opening the database reports it
	}
	defer file.Close()
	foot, err := readFooter(file, size)
	if err != nil {
		return nil
	}
	if foot.checksum == checksumNone {
		return f.checkUnchecked(name)
	}
	r := fileReader(file, size, foot, smallWindow)
	at, ok := r.propertiesAt(foot)
	if !ok {
		return nil // opening the database reports it
	}
	if r.endsProcess(at) {
		return damagedIn(name, Damage{Offset: int64(at.off), Length: int64(at.size), Why: "properties: checksum mismatch"})
	}
	switch p, err := r.properties(at); {
	case err != nil:
		return nil // RocksDB reads the table without them
	case p.MergeOperands > 0:
		return unsupported("%s (%s)", KindMerge, name)
	case p.Comparator != "" && p.Comparator != bytewiseOrder:
		return unsupported("%s (%s)", unsupportedOrder(p.Comparator), name)
	}
	return nil
}

// readFooter reads the last 53 bytes of a table. The errors are those of decodeFooter, and
// those of reading.
func readFooter(file io.ReaderAt, size int64) (footer, error) {
	tail := make([]byte, min(size, footerSize))
	if _, err := file.ReadAt(tail, size-int64(len(tail))); err != nil {
		return footer{}, err
	}
	return decodeFooter(tail)
}

// checkUnchecked reads a whole table without checksums: RocksDB notices damage in it only after
// it has read beyond the block.
func (f *folder) checkUnchecked(name string) error {
	file, size, err := f.open(name)
	if err != nil {
		return nil
	}
	defer file.Close()
	var strange error
	report, err := readTable(file, size, func(e Entry) {
		if !e.Kind.plain() {
			strange = unsupported("%s (%s)", e.Kind, name)
		}
	})
	if err != nil || strange != nil {
		return strange
	}
	for _, d := range append(report.Damaged, report.Metadata...) {
		return damagedIn(name, d)
	}
	return nil
}

func damagedIn(table string, d Damage) error {
	return errors.New(Problem{Kind: DamagedTable, File: table, Offset: d.Offset, Length: d.Length, Why: d.Why}.String())
}
