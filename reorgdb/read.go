package reorgdb

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"runtime"
	"slices"

	"github.com/linxGnu/grocksdb"

	"ailee-recovery/internal/rocksfile"
	"ailee-recovery/internal/workers"
)

// Record is a record as it is stored. While iterating, key and value are valid until the next
// record.
type Record struct{ Key, Value []byte }

// Records yields every record of a column family, in the order of the keys. Checksums are
// verified. It reads ahead on all cores. This database must not be written to meanwhile. The
// iteration ends after an error, which may be the error of ctx or wrap [ErrNoFamily],
// [ErrCorrupt] or [ErrUnsupported]: records after the damage are not yielded.
func (db *DB) Records(ctx context.Context, family string) iter.Seq2[Record, error] {
	free := newFreeBlocks()
	return recordsOf(db.readAhead(ctx, family, onlyRecords, free), free)
}

// recordsOf yields the records of blocks, and returns the blocks to free.
func recordsOf(blocks iter.Seq2[*block, error], free freeBlocks) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for b, err := range blocks {
			if err != nil {
				yield(Record{}, err)
				return
			}
			for data := b.data; len(data) > 0; {
				var r Record
				if r, data = cutRecord(data); !yield(r, nil) {
					return
				}
			}
			free.give(b)
		}
	}
}

// Row is a record, or a range of blocks without their hashes. If Key is nil, there is a block
// at each height from First to Last, both included.
type Row struct {
	Record      // with a nil Key for a range of blocks
	First, Last uint64
}

// Rows is [DB.Records] of the default column family for callers that do not need the block
// hashes. Blocks at consecutive heights for whose hashes [IsBlockHash] holds come as ranges,
// of arbitrary length. All other records come one by one.
func (db *DB) Rows(ctx context.Context) iter.Seq2[Row, error] {
	return db.rows(ctx, DefaultFamily, rowsOfHashes)
}

func (db *DB) rows(ctx context.Context, family string, want wanted) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		free := newFreeBlocks()
		for b, err := range db.readAhead(ctx, family, want, free) {
			if err != nil {
				yield(Row{}, err)
				return
			}
			for _, r := range b.rows {
				if !yield(r, nil) {
					return
				}
			}
			free.give(b)
		}
	}
}

// Count reads every record of every column family, and returns their number. The errors are
// those of [DB.Records].
func (db *DB) Count(ctx context.Context) (n uint64, err error) {
	for _, family := range db.names {
		for r, err := range db.rows(ctx, family, rowsOfAny) {
			switch {
			case err != nil:
				return 0, err
			case r.Key == nil:
				n += r.Last - r.First
			}
			n++
		}
	}
	return n, nil
}

func newFreeBlocks() freeBlocks {
	return make(freeBlocks, rangeBlocks*(runtime.GOMAXPROCS(0)+1))
}

// readAhead yields the records of a column family in blocks, which it takes from free. It
// reads the files itself up to the first place that is not as nodes write it, and the rest
// through RocksDB.
func (db *DB) readAhead(ctx context.Context, family string, want wanted, free freeBlocks) iter.Seq2[*block, error] {
	return func(yield func(*block, error) bool) {
		if _, err := db.family(family); err != nil {
			yield(nil, err)
			return
		}
		newGatherer := func() *gatherer { return &gatherer{free: free, want: want} }
		pass := func(b *block) bool { return yield(b, nil) }
		var next []byte
		err := rocksfile.ErrAskRocksDB
		if view := db.fileView(ctx); view != nil {
			err = passOn(fileBlocks(ctx, view, family, newGatherer), &next, pass)
		}
		if errors.Is(err, rocksfile.ErrAskRocksDB) {
			err = passOn(db.rocksBlocks(ctx, family, next, newGatherer), &next, pass)
		}
		if err != nil && !errors.Is(err, errStopped) {
			yield(nil, db.unsupported(err))
		}
	}
}

// passOn calls pass with each block until that returns false. next becomes the lowest key
// above the blocks. passOn returns the error that ended the blocks, or errStopped.
func passOn(blocks iter.Seq2[*block, error], next *[]byte, pass func(*block) bool) error {
	for b, err := range blocks {
		if err != nil {
			return err
		}
		*next = b.after(*next)
		if !pass(b) {
			return errStopped
		}
	}
	return nil
}

// rocksBlocks yields the records of a column family that are not below a key, nil for all,
// through RocksDB's iterator.
func (db *DB) rocksBlocks(ctx context.Context, family string, from []byte, newGatherer func() *gatherer) iter.Seq2[*block, error] {
	return func(yield func(*block, error) bool) {
		handle, err := db.family(family)
		if err == nil {
			err = db.lookForUnsupported(ctx)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		newReader := func() workers.Worker[keyRange, *block] {
			g, buf := newGatherer(), make([]byte, blockSize)
			return func(ctx context.Context, keys keyRange) iter.Seq2[*block, error] {
				return g.blocks(func() error {
					for records, err := range db.blocks(ctx, handle, keys.from, keys.to, func() []byte { return buf }) {
						if err == nil {
							err = g.gather(records)
						}
						if err != nil {
							return err
						}
					}
					return nil
				})
			}
		}
		workers.Ordered(ctx, runtime.GOMAXPROCS(0), rangeBlocks, db.ranges(family, from), newReader)(yield)
	}
}

// family returns a column family by its name. The error wraps [ErrNoFamily].
func (db *DB) family(name string) (*grocksdb.ColumnFamilyHandle, error) {
	i := slices.Index(db.names, name)
	if i < 0 {
		return nil, fmt.Errorf("%s: %w %q", db.path, ErrNoFamily, name)
	}
	return db.families[i], nil
}

// keyRange is a range of keys, to excluded. nil means no bound.
type keyRange struct{ from, to []byte }

const (
	// rangeHeights is how many heights a range has at least: about a megabyte of records.
	rangeHeights = 10_000
	// maxRanges bounds the number of ranges if heights are far apart.
	maxRanges = 1000
	// rangeBlocks is how many blocks of records may be read ahead in each range.
	rangeBlocks = 128
)

// ranges divides the default column family into ranges, by height: nearly all records are
// blocks, and their heights have few gaps. Another column family, or the keys that are not
// below from, are a single range.
func (db *DB) ranges(family string, from []byte) iter.Seq2[keyRange, error] {
	return func(yield func(keyRange, error) bool) {
		keys := keyRange{from: from}
		if family == DefaultFamily && from == nil {
			lowest, highest, err := db.heights()
			if err != nil {
				yield(keyRange{}, err)
				return
			}
			step := max(rangeHeights, (highest-lowest)/maxRanges)
			for height := lowest; highest-height > step; height += step {
				keys.to = blockKey(height)
				if !yield(keys, nil) {
					return
				}
				keys = keyRange{from: keys.to}
			}
		}
		yield(keys, nil)
	}
}

// heights returns the lowest and the highest stored height, or 0 without any.
func (db *DB) heights() (lowest, highest uint64, err error) {
	last, _, err := db.HighestBlock()
	if err != nil {
		return 0, 0, err
	}
	for first, err := range db.Blocks(context.Background(), 0) {
		return first.Height, last.Height, err
	}
	return 0, last.Height, nil
}

// prefixed yields every record of the default column family with a key that has the prefix
// and is not below from.
func (db *DB) prefixed(ctx context.Context, prefix string, from []byte) iter.Seq2[Record, error] {
	to := []byte(prefix)
	to[len(to)-1]++
	return db.scan(ctx, db.families[0], from, to)
}

// Scan yields the records of a column family with from <= key < to, in the order of the keys. A
// nil from or to means no bound. Checksums are verified. Unlike [DB.Records], Scan does not read
// ahead: it is meant for several iterations at the same time, over this database or over several.
// The iteration ends after an error, which may be the error of ctx or wrap [ErrNoFamily],
// [ErrCorrupt] or [ErrUnsupported].
func (db *DB) Scan(ctx context.Context, family string, from, to []byte) iter.Seq2[Record, error] {
	handle, err := db.family(family)
	if err != nil {
		return func(yield func(Record, error) bool) { yield(Record{}, err) }
	}
	return db.scan(ctx, handle, from, to)
}

func (db *DB) scan(ctx context.Context, family *grocksdb.ColumnFamilyHandle, from, to []byte) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		buf := make([]byte, blockSize)
		for block, err := range db.blocks(ctx, family, from, to, func() []byte { return buf }) {
			if err != nil {
				yield(Record{}, err)
				return
			}
			for len(block) > 0 {
				var r Record
				if r, block = cutRecord(block); !yield(r, nil) {
					return
				}
			}
		}
	}
}

// get returns the value of a key in the default column family, or nil if there is none.
func (db *DB) get(key []byte) ([]byte, error) {
	opts := grocksdb.NewDefaultReadOptions()
	defer opts.Destroy()
	slice, err := db.rocks.GetCF(opts, db.families[0], key)
	if err != nil {
		return nil, explain(db.path, err)
	}
	defer slice.Free()
	if !slice.Exists() {
		return nil, nil
	}
	return append([]byte{}, slice.Data()...), nil
}

// BlockHash returns the block hash stored for a height, and whether there is one. The hash is
// not checked: it may be any text. The error may wrap [ErrCorrupt].
func (db *DB) BlockHash(height uint64) (hash string, ok bool, err error) {
	value, err := db.get(blockKey(height))
	return string(value), value != nil, err
}

// Block is a stored block hash.
type Block struct {
	Height uint64
	Hash   string // usually a hash for which [IsBlockHash] holds, but it may be any text
}

// Blocks yields every stored block hash at or above the height from, in ascending order. The
// iteration ends after an error, which may be the error of ctx or wrap [ErrCorrupt].
func (db *DB) Blocks(ctx context.Context, from uint64) iter.Seq2[Block, error] {
	return func(yield func(Block, error) bool) {
		for r, err := range db.prefixed(ctx, blockPrefix, blockKey(from)) {
			if err != nil {
				yield(Block{}, err)
				return
			}
			kind, height := KeyKind(r.Key)
			if kind == BlockKind && !yield(Block{Height: height, Hash: string(r.Value)}, nil) {
				return
			}
		}
	}
}

// HighestBlock returns the block with the greatest height, and whether there is any. The error
// may wrap [ErrCorrupt].
func (db *DB) HighestBlock() (highest Block, ok bool, err error) {
	opts := grocksdb.NewDefaultReadOptions()
	defer opts.Destroy()
	it := db.rocks.NewIteratorCF(opts, db.families[0])
	defer it.Close()
	for it.SeekForPrev([]byte(blockPrefix + "\xff")); it.ValidForPrefix([]byte(blockPrefix)); it.Prev() {
		if kind, height := KeyKind(it.Key().Data()); kind == BlockKind {
			return Block{Height: height, Hash: string(it.Value().Data())}, true, nil
		}
	}
	if err := it.Err(); err != nil {
		return Block{}, false, explain(db.path, err)
	}
	return Block{}, false, nil
}

// Anchor returns the anchor record under the given anchor hash, and whether there is one. For
// a record that no node can read, ok is false and the error wraps [ErrUnreadable]; it may also
// wrap [ErrCorrupt].
func (db *DB) Anchor(hash string) (anchor Anchor, ok bool, err error) {
	value, err := db.get(AnchorKey(hash))
	if err != nil || value == nil {
		return Anchor{}, false, err
	}
	anchor, err = ParseAnchor(value)
	return anchor, err == nil, err
}

// RecordsOf yields every record of the default column family with the key prefix of a kind,
// which must be [BlockKind], [AnchorKind] or [EventKind], in the order of the keys. This
// includes keys that no node asks for, see [KeyKind]. The iteration ends after an error, which
// may be the error of ctx or wrap [ErrCorrupt].
func (db *DB) RecordsOf(ctx context.Context, kind Kind) iter.Seq2[Record, error] {
	prefix := string(kind) + ":"
	return db.prefixed(ctx, prefix, []byte(prefix))
}

// StoredAnchor is an anchor record with the anchor hash that is in its key. It is the same as
// the one in the record, unless one of them was damaged.
type StoredAnchor struct {
	Key string // the anchor hash in the key
	Anchor
}

// Anchors yields every anchor record that a node can read, in the order of the keys. The
// iteration ends after an error, which may be the error of ctx or wrap [ErrCorrupt].
func (db *DB) Anchors(ctx context.Context) iter.Seq2[StoredAnchor, error] {
	return func(yield func(StoredAnchor, error) bool) {
		for r, err := range db.prefixed(ctx, anchorPrefix, []byte(anchorPrefix)) {
			if err != nil {
				yield(StoredAnchor{}, err)
				return
			}
			anchor, err := ParseAnchor(r.Value)
			if err == nil && !yield(StoredAnchor{string(r.Key[len(anchorPrefix):]), anchor}, nil) {
				return
			}
		}
	}
}

// Events yields every reorg event that a node can read, in the order of the keys. That is the
// order of the ids, except for keys that no node writes. The iteration ends after an error,
// which may be the error of ctx or wrap [ErrCorrupt].
func (db *DB) Events(ctx context.Context) iter.Seq2[ReorgEvent, error] {
	return func(yield func(ReorgEvent, error) bool) {
		for r, err := range db.prefixed(ctx, eventPrefix, []byte(eventPrefix)) {
			if err != nil {
				yield(ReorgEvent{}, err)
				return
			}
			kind, id := KeyKind(r.Key)
			event, err := ParseEvent(id, r.Value)
			if kind == EventKind && err == nil && !yield(event, nil) {
				return
			}
		}
	}
}

// nextEventID returns the id for the next reorg event. It is the counter, as for a node,
// unless an event has that id or a higher one: then it is the id after all events, so that no
// event is overwritten and no id is given twice. The highest possible id, which an event with
// the key "reorg:-1" has, is ignored, because there is no id after it.
func (db *DB) nextEventID(ctx context.Context) (uint64, error) {
	value, err := db.get([]byte(CounterKey))
	if err != nil {
		return 0, err
	}
	next, _ := ParseCounter(value)
	last := false
	for r, err := range db.prefixed(ctx, eventPrefix, []byte(eventPrefix)) {
		if err != nil {
			return 0, err
		}
		switch kind, id := KeyKind(r.Key); {
		case kind != EventKind:
		case id == math.MaxUint64:
			last = true
		case id >= next:
			next = id + 1
		}
	}
	if last && next == math.MaxUint64 {
		return 0, fmt.Errorf("%s: no id is left for a reorg event", db.path)
	}
	return next, nil
}

// Check reads every record of every column family and verifies the checksums. The errors are
// those of [DB.Records].
func (db *DB) Check(ctx context.Context) error {
	_, err := db.Count(ctx)
	return err
}
