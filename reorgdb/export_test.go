package reorgdb

import (
	"context"
	"iter"

	"github.com/linxGnu/grocksdb"
)

// PartSize sets how many bytes of the files are read at a time, and how many bytes of the files
// or of records make a table. It returns a function that undoes it.
func PartSize(n uint64) (restore func()) {
	read, copied, loaded := partSize, leastCopied, loadTable
	partSize, leastCopied, loadTable = n, n, int(n)
	return func() { partSize, leastCopied, loadTable = read, copied, loaded }
}

// ReadsFiles reports whether records are read without RocksDB's iterator.
func (db *DB) ReadsFiles(ctx context.Context) bool { return db.fileView(ctx) != nil }

// RocksRecords is [DB.Records], but always through RocksDB's iterator.
func (db *DB) RocksRecords(ctx context.Context, family string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		files := &db.files
		files.mutex.Lock()
		view, opened := files.view, files.opened
		files.view, files.opened = nil, true
		files.mutex.Unlock()
		db.Records(ctx, family)(yield)
		files.view, files.opened = view, opened
	}
}

// Compact rewrites every table.
func (db *DB) Compact() {
	opts := grocksdb.NewCompactRangeOptions()
	defer opts.Destroy()
	opts.SetBottommostLevelCompaction(grocksdb.KForce)
	for _, family := range db.families {
		db.rocks.CompactRangeCFOpt(family, grocksdb.Range{}, opts)
	}
}

func AnchorValue(a Anchor) []byte    { return a.value() }
func EventValue(e ReorgEvent) []byte { return e.value() }

func BlockKey(height uint64) []byte { return blockKey(height) }

// SetMaxHeld sets how long logs may be for RocksDB to hold them in memory, and returns a function
// that undoes it.
func SetMaxHeld(bytes int64) (undo func()) {
	before := maxHeld
	maxHeld = bytes
	return func() { maxHeld = before }
}
