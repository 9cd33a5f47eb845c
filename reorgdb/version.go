package reorgdb

import (
	"context"
	"errors"
	"path/filepath"
	"sync"

	"github.com/linxGnu/grocksdb"

	"ailee-recovery/internal/rocksfile"
)

// NewestFormat returns the newest table format version that the RocksDB linked here can
// read. Its C interface does not tell, so the first call tries which versions it can write:
// RocksDB reads what it writes, and refuses to open a database with any other version set.
// NewestFormat is safe for concurrent use.
func NewestFormat() int { return newestFormat() }

var newestFormat = sync.OnceValue(func() int {
	newest := tableFormat
	for writesFormat(newest + 1) {
		newest++
	}
	return newest
})

// writesFormat reports whether the RocksDB linked here can write tables with a format version.
func writesFormat(version int) bool {
	opts, err := newOptions()
	if err != nil {
		return false
	}
	opts.table.SetFormatVersion(version)
	opts.rocks.SetBlockBasedTableFactory(opts.table)
	opts.rocks.SetCreateIfMissing(true)
	db, err := grocksdb.OpenDb(opts.rocks, filepath.Join(opts.scratch.Path, "probe"))
	if err == nil {
		db.Close()
	}
	return errors.Join(err, opts.close()) == nil
}

// newerTables returns a *[TooNewError] if a table of the database has a newer format than
// this build can read, and nil otherwise.
func newerTables(path string) error {
	checked, err := rocksfile.Check(context.Background(), path)
	if err != nil {
		return nil
	}
	if tooNew := rocksfile.FindTooNew(checked.Problems); tooNew != nil && int(tooNew.Format) > NewestFormat() {
		return &TooNewError{File: filepath.Join(path, tooNew.File), Format: int(tooNew.Format), Version: checked.Version, Newest: NewestFormat()}
	}
	return nil
}
