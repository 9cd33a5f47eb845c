package rocksfile

import (
	"context"
	"errors"
	"fmt"
)

// Checked is what RocksDB does not say about a database that it opens.
type Checked struct {
	// Problems of CURRENT, the MANIFEST, the live logs, and tables of a format
	// that is too new.
	Problems []Problem
	Version  string // as in [Salvaged]
	Format   uint32 // as in [Salvaged]
}

// Check looks for what RocksDB passes over in silence when it opens the database
// in dir: damaged ranges, gaps and torn tails in the logs, and a log that is
// missing. Of the tables it reads only the last 53 bytes. A folder that changes
// meanwhile is read again. Errors are those of reading the folder, of ctx, and
// [ErrChanging].
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
			problem(Problem{Kind: BeingMade, Why: "nothing was ever written to it; a node goes on with it when it starts"})
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
			continue // the open says so
		}
		tail := make([]byte, min(size, footerSize))
		_, err = file.ReadAt(tail, size-int64(len(tail)))
		file.Close()
		if err != nil {
			continue
		}
		format, err := Format(tail)
		c.Format = max(c.Format, format)
		if tooNew := (*TooNewError)(nil); errors.As(err, &tooNew) {
			tooNew.File = name
			problem(Problem{Kind: TooNew, File: name, Err: tooNew, Why: fmt.Sprintf("table format version %d", format), Lost: true})
		}
	}
}
