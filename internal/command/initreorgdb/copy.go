package initreorgdb

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"strings"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/internal/rocksfile"
	"ailee-recovery/reorgdb"
)

// maxGap is how many consecutive heights, or ids, may count as lost. In a longer gap, the
// record at one end is taken for a stray one.
const maxGap = 1_000_000

// copying is a database that is being filled, and what is known about the old one.
type copying struct {
	kinds    map[reorgdb.Kind]uint64
	families map[string]uint64 // records by column family, except for the default one
	problems []rocksfile.Problem
	salvaged bool // copied record by record from the files, not through RocksDB
	dryRun   bool // nothing is written

	anyBlock    bool
	highest     uint64 // block height
	gaps        uint64 // heights without a block hash between the lowest and the highest block
	events      reorgtool.EventIDs
	counter     uint64
	counterSet  bool // to a new value: it was lost, or not above the id of every event
	counterLost bool
}

func newCopying(dryRun bool) *copying {
	return &copying{kinds: map[reorgdb.Kind]uint64{}, families: map[string]uint64{}, dryRun: dryRun}
}

// copyFrom fills a new database with what can be read from the old one.
func (c *copying) copyFrom(ctx context.Context, old *source, to *durable.PendingDir, out *cli.IO) error {
	defer func() { c.problems = append(old.damage, c.problems...) }()
	var err error
	if c.problems, err = reorgtool.DamageWithTables(ctx, old.folder); err != nil {
		return old.explain(err)
	}
	if !c.lossy() {
		err := c.copyOpen(ctx, old.folder, to.Path)
		switch {
		case errors.Is(err, reorgdb.ErrUnsupported):
			return old.explain(err)
		case !errors.Is(err, reorgdb.ErrCorrupt):
			return old.named(err)
		}
		out.Warn("%s", old.named(err))
		if err := to.Empty(); err != nil {
			return err
		}
	}
	*c = *newCopying(c.dryRun)
	return c.salvage(ctx, old, to.Path, c.keepCounterAhead)
}

// lossy reports whether records are lost or could be, or may have come back.
func (c *copying) lossy() bool { return reorgtool.Lossy(c.problems) }

// copyOpen copies through RocksDB. The error wraps [reorgdb.ErrCorrupt] when RocksDB finds
// damage.
func (c *copying) copyOpen(ctx context.Context, old, path string) (err error) {
	from, err := reorgdb.OpenReadOnly(old)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	return c.fill(path, from.Families(), func(to target) error {
		for _, family := range from.Families() {
			if err := to.copy(ctx, from, family, func(r reorgdb.Row) { c.countRow(family, r) }); err != nil {
				return err
			}
		}
		return c.keepCounterAhead(to)
	})
}

// salvage copies record by record from the files, and then calls last to write more.
func (c *copying) salvage(ctx context.Context, old *source, path string, last func(to target) error) error {
	s, err := rocksfile.Salvage(ctx, old.folder, func() (*os.File, error) { return durable.Unnamed(path) })
	if err != nil {
		return old.named(err)
	}
	defer s.Close()
	if c.problems, err = reorgtool.Problems(old.folder, s.Problems, s.Version); err != nil {
		return old.explain(err)
	}
	c.salvaged = true
	var names []string
	for _, family := range s.Families {
		if strings.HasPrefix(family.Name, "#") {
			if n := family.Len(); n > 0 {
				c.problems = append(c.problems, rocksfile.Problem{Kind: rocksfile.DamagedManifest, Lost: true, Entries: int64(n),
					Why: fmt.Sprintf("the name of column family %s is not known", family.Name)})
			}
			continue
		}
		names = append(names, family.Name)
	}
	return c.fill(path, names, func(to target) error {
		for _, family := range s.Families {
			if strings.HasPrefix(family.Name, "#") {
				continue
			}
			if err := to.load(family.Name, c.counted(family.Name, salvaged(ctx, family))); err != nil {
				return err
			}
		}
		return last(to)
	})
}

// keepCounterAhead sets the counter where it was lost, or is not above the id of every
// event: with such a counter, the node's next reorg would overwrite an event.
func (c *copying) keepCounterAhead(to target) error {
	if c.counter >= c.events.Next() {
		return nil
	}
	c.counterSet = true
	if c.kinds[reorgdb.CounterKind] == 0 {
		c.counterLost = true
		c.kinds[reorgdb.CounterKind] = 1
	}
	return to.put([]byte(reorgdb.CounterKey), fmt.Append(nil, c.events.Next()))
}

// fill makes the database with its column families and calls source to write to it.
func (c *copying) fill(path string, families []string, source func(to target) error) (err error) {
	for _, family := range families {
		if family != reorgdb.DefaultFamily {
			c.families[family] = 0
		}
	}
	if c.dryRun {
		return source(target{})
	}
	db, err := reorgdb.Create(path, families...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := source(target{db}); err != nil {
		return err
	}
	return db.Sync()
}

// salvaged returns the records of a column family.
func salvaged(ctx context.Context, family rocksfile.Records) iter.Seq2[reorgdb.Record, error] {
	return func(yield func(reorgdb.Record, error) bool) {
		for e, err := range family.All(ctx) {
			if !yield(reorgdb.Record{Key: e.Key, Value: e.Value}, err) {
				return
			}
		}
	}
}

// counted counts the records as they are yielded.
func (c *copying) counted(family string, records iter.Seq2[reorgdb.Record, error]) iter.Seq2[reorgdb.Record, error] {
	return func(yield func(reorgdb.Record, error) bool) {
		for r, err := range records {
			if err == nil {
				c.count(family, r.Key, r.Value)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// countRow is count for a row: a record, or a range of blocks of the default column family.
func (c *copying) countRow(family string, r reorgdb.Row) {
	if r.Key != nil {
		c.count(family, r.Key, r.Value)
		return
	}
	c.kinds[reorgdb.BlockKind] += r.Last - r.First + 1
	c.blocks(r.First, r.Last)
}

// blocks counts the blocks from first to last. They must come in ascending order.
func (c *copying) blocks(first, last uint64) {
	if gap := first - c.highest - 1; c.anyBlock && gap < maxGap {
		c.gaps += gap
	}
	c.anyBlock, c.highest = true, last
}

func (c *copying) count(family string, key, value []byte) {
	if family != reorgdb.DefaultFamily {
		c.families[family]++
		return
	}
	kind, number := reorgdb.KeyKind(key)
	c.kinds[kind]++
	switch kind {
	case reorgdb.BlockKind:
		c.blocks(number, number)
	case reorgdb.EventKind:
		c.events.Add(number)
	case reorgdb.CounterKind:
		c.counter, _ = reorgdb.ParseCounter(value)
	}
}

// check opens the new database and counts its records. In a dry run there is no database.
func (c *copying) check(ctx context.Context, path string) (err error) {
	if c.dryRun {
		return nil
	}
	db, err := reorgdb.OpenReadOnly(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	got, err := db.Count(ctx)
	if err != nil {
		return err
	}
	if want := c.records(); got != want {
		return fmt.Errorf("the new database has %d records instead of %d: do not trust this disk", got, want)
	}
	return nil
}
