package reorgdb

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"sync"

	"ailee-recovery/internal/rocksfile"
	"ailee-recovery/internal/workers"
)

// CopyFamily copies all records of a column family of another database to the column family
// of the same name, as [DB.BulkLoad] does. It calls seen for each row, in the order of the
// keys; blocks may come as ranges, whatever their hashes are. The errors are those of
// [DB.BulkLoad], and those of [DB.Records] for reading.
func (db *DB) CopyFamily(ctx context.Context, from *DB, family string, seen func(Row)) error {
	handle, end, err := db.beginLoading(family)
	if err != nil {
		return err
	}
	defer end()
	records := from.Records(ctx, family)
	if view := from.fileView(ctx); view != nil && family == DefaultFamily {
		var next []byte
		err := db.copyFiles(ctx, view, &next, seen)
		if !errors.Is(err, rocksfile.ErrAskRocksDB) {
			return from.unsupported(err)
		}
		free := newFreeBlocks()
		newGatherer := func() *gatherer { return &gatherer{free: free} }
		records = recordsOf(from.rocksBlocks(ctx, family, next, newGatherer), free)
	}
	return db.bulkLoad(handle, func(yield func(Record, error) bool) {
		for r, err := range records {
			if err == nil {
				seen(Row{Record: r})
			}
			if !yield(r, err) {
				return
			}
		}
	})
}

const (
	// copiesAhead is how many blocks of rows each part may be ahead. Rows of anchors and events
	// have whole records, and the number of parts at a time is that of the goroutines plus one.
	copiesAhead = 128
	// copiedParts is how many tables are made, enough to keep all cores busy until the end.
	// There are more if a table would be made from more than mostCopied bytes of the files.
	copiedParts, mostCopied = 12, 64 << 20
)

// leastCopied is the least number of bytes of the files to make a table from. Tests set it.
var leastCopied = uint64(4 << 20)

// copyFiles copies the default family of a view. next becomes the lowest key above the copied
// ones. Each goroutine reads one part after the other and makes a table from each, so that
// records stay on one core. There is one goroutine more than cores, for when one waits for
// the disk.
func (db *DB) copyFiles(ctx context.Context, view *rocksfile.View, next *[]byte, seen func(Row)) (err error) {
	made := &madeTables{db: db}
	defer func() { err = errors.Join(err, made.close()) }()
	free := newFreeBlocks()
	newCopier := func() workers.Worker[rocksfile.Part, *block] {
		c := &copier{made: made, rows: &gatherer{free: free, want: rowsOfAny}}
		c.records = &gatherer{free: make(freeBlocks, 1), yield: c.put}
		return c.copy
	}
	size := min(max(view.Size(DefaultFamily)/copiedParts, leastCopied), mostCopied)
	var paths []string
	blocks := workers.Ordered(ctx, runtime.GOMAXPROCS(0)+1, copiesAhead, parts(view, DefaultFamily, size), newCopier)
	copied := passOn(blocks, next, func(b *block) bool {
		for _, r := range b.rows {
			seen(r)
		}
		if b.table != nil {
			paths = append(paths, b.table.path)
		}
		free.give(b)
		return true
	})
	if copied != nil && !errors.Is(copied, rocksfile.ErrAskRocksDB) {
		return copied
	}
	if err := db.ingest(paths...); err != nil {
		return err
	}
	return copied
}

// madeTables are tables that are made at the same time.
type madeTables struct {
	db     *DB
	mutex  sync.Mutex
	tables []*newTable
}

func (m *madeTables) begin() (*newTable, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	t, err := m.db.newTable(len(m.tables))
	if err == nil {
		m.tables = append(m.tables, t)
	}
	return t, err
}

// close closes all tables, and removes those that are not part of the database.
func (m *madeTables) close() (err error) {
	for _, t := range m.tables {
		err = errors.Join(err, t.close())
	}
	return err
}

// copier makes a table from each part.
type copier struct {
	made    *madeTables
	reader  rocksfile.PartReader
	rows    *gatherer
	records *gatherer // for the table
	table   *newTable
	any     bool  // the table has records
	failed  error // of the table
}

// copy yields the rows of a part, and with the last of them the table with its records. If
// the part becomes one that only RocksDB can read, the table has the records before that.
func (c *copier) copy(ctx context.Context, p rocksfile.Part) iter.Seq2[*block, error] {
	return c.rows.blocks(func() (err error) {
		if c.table, err = c.made.begin(); err != nil {
			return err
		}
		c.any, c.failed, c.records.block = false, nil, nil
		read := c.reader.Read(ctx, p, func(key, value []byte) error {
			if err := c.records.add(key, value); err != nil {
				return err
			}
			return c.rows.add(key, value)
		})
		if read == nil || errors.Is(read, rocksfile.ErrAskRocksDB) {
			c.end()
		}
		if c.failed != nil {
			return c.failed
		}
		return read
	})
}

// end puts the remaining records into the table and finishes it.
func (c *copier) end() {
	if c.records.block != nil && !c.records.flush() || !c.any {
		return
	}
	if c.failed = c.table.finish(); c.failed == nil {
		c.rows.begun().table = c.table
	}
}

// put puts the records of a block into the table, and reports whether to go on.
func (c *copier) put(b *block, _ error) bool {
	c.any = true
	c.failed = c.table.putRecords(b.data)
	c.records.free.give(b)
	return c.failed == nil
}
