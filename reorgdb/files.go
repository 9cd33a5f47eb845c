package reorgdb

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync"

	"ailee-recovery/internal/rocksfile"
	"ailee-recovery/internal/workers"
)

// files reads a database from its files. If nothing in them is damaged or unusual, they are
// read without RocksDB's iterator, which takes several times as long.
type files struct {
	mark   string // of the MANIFEST before RocksDB opened the database; "" to always use RocksDB
	mutex  sync.Mutex
	opened bool            // opening the view was tried
	view   *rocksfile.View // nil to use RocksDB
	looked bool            // tables were searched for unsupported entries
}

// fileView returns the view of the files, or nil if RocksDB has to read the database. The view
// shows the same as RocksDB: the MANIFEST did not change since RocksDB opened the database.
func (db *DB) fileView(ctx context.Context) *rocksfile.View {
	f := &db.files
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.opened || f.mark == "" {
		return f.view
	}
	view, err := rocksfile.OpenView(ctx, db.path)
	if ctx.Err() != nil {
		return nil
	}
	f.opened = true
	switch {
	case err != nil:
	case manifestMark(db.path) != f.mark:
		view.Close()
	default:
		f.view = view
	}
	return f.view
}

func (f *files) close() {
	if f.view != nil {
		f.view.Close()
	}
}

// lookForUnsupported returns an error that wraps [ErrUnsupported] if tables have entries that
// RocksDB does not show as they were written, or that make it end the process.
func (db *DB) lookForUnsupported(ctx context.Context) error {
	f := &db.files
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.looked || db.mode == readWrite {
		return nil
	}
	if err := unsupportedInTables(ctx, db.path); err != nil {
		return err
	}
	f.looked = true
	return nil
}

func unsupportedInTables(ctx context.Context, path string) error {
	problems, err := rocksfile.CheckTables(ctx, path)
	if err != nil {
		return err
	}
	if what := rocksfile.FindUnsupported(problems); what != "" {
		return fmt.Errorf("%s: %w: %s", path, ErrUnsupported, what)
	}
	return nil
}

// unsupported turns an error of reading files into one of this package.
func (db *DB) unsupported(err error) error {
	if errors.Is(err, rocksfile.ErrUnsupported) {
		return fmt.Errorf("%s: %w: %s", db.path, ErrUnsupported, err)
	}
	return err
}

// partSize is about how many bytes of tables and logs are read at a time. Tests set it.
var partSize = uint64(1 << 20)

// fileBlocks yields the records of a column family, read from the files.
func fileBlocks(ctx context.Context, view *rocksfile.View, family string, newGatherer func() *gatherer) iter.Seq2[*block, error] {
	newReader := func() workers.Worker[rocksfile.Part, *block] {
		var reader rocksfile.PartReader
		g := newGatherer()
		return func(ctx context.Context, p rocksfile.Part) iter.Seq2[*block, error] {
			return g.blocks(func() error { return reader.Read(ctx, p, g.add) })
		}
	}
	return workers.Ordered(ctx, runtime.GOMAXPROCS(0), rangeBlocks, parts(view, family, partSize), newReader)
}

func parts(view *rocksfile.View, family string, size uint64) iter.Seq2[rocksfile.Part, error] {
	return func(yield func(rocksfile.Part, error) bool) {
		for p := range view.Parts(family, size) {
			if !yield(p, nil) {
				return
			}
		}
	}
}
