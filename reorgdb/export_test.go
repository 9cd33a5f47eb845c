package reorgdb

import "github.com/linxGnu/grocksdb"

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

// SetMaxHeld sets how long logs may be for RocksDB to hold them, and returns what undoes it.
func SetMaxHeld(bytes int64) (undo func()) {
	before := maxHeld
	maxHeld = bytes
	return func() { maxHeld = before }
}
