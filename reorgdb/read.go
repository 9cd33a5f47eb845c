package reorgdb

import (
	"context"
	"slices"

	"github.com/linxGnu/grocksdb"
)

// Each calls visit with every record of a column family whose key is not below
// from, in the order of the keys. Checksums are verified. Key and value are valid
// during the call; an error from visit ends the walk. The error may wrap
// [ErrCorrupt]: what comes behind the damage was not visited.
func (db *DB) Each(ctx context.Context, family string, from []byte, visit func(key, value []byte) error) error {
	opts := grocksdb.NewDefaultReadOptions()
	defer opts.Destroy()
	opts.SetVerifyChecksums(true)
	opts.SetFillCache(false)
	opts.SetReadaheadSize(readAhead)
	it := db.rocks.NewIteratorCF(opts, db.families[slices.Index(db.names, family)])
	defer it.Close()
	if len(from) > 0 {
		it.Seek(from)
	} else {
		it.SeekToFirst()
	}
	for n := 0; it.Valid(); n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := visit(it.Key().Data(), it.Value().Data()); err != nil {
			return err
		}
		it.Next()
	}
	if err := it.Err(); err != nil {
		return explain(db.path, err)
	}
	return nil
}

// errStop ends a walk without an error.
type errStop struct{}

func (errStop) Error() string { return "stop" }

// eachWith is [DB.Each] on the default column family for the keys with a prefix.
func (db *DB) eachWith(ctx context.Context, prefix string, from []byte, visit func(key, value []byte) error) error {
	err := db.Each(ctx, DefaultFamily, from, func(key, value []byte) error {
		if len(key) < len(prefix) || string(key[:len(prefix)]) != prefix {
			return errStop{}
		}
		return visit(key, value)
	})
	if err == (errStop{}) {
		return nil
	}
	return err
}

// get returns the value of a key in the default column family, nil when there is
// none.
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

// BlockHash returns the block hash stored for a height, and whether there is one.
func (db *DB) BlockHash(height uint64) (hash string, ok bool, err error) {
	value, err := db.get(blockKey(height))
	return string(value), value != nil, err
}

// Block is a stored block hash.
type Block struct {
	Height uint64
	Hash   string
}

// Blocks calls visit with every stored block hash from a height on, in ascending
// order. An error from visit ends the walk.
func (db *DB) Blocks(ctx context.Context, from uint64, visit func(Block) error) error {
	return db.eachWith(ctx, blockPrefix, blockKey(from), func(key, value []byte) error {
		kind, height := KeyKind(key)
		if kind != BlockKind {
			return nil
		}
		return visit(Block{Height: height, Hash: string(value)})
	})
}

// HighestBlock returns the block with the greatest height, and whether there is
// one.
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

// Anchor returns the anchor record with the given anchor hash, and whether there
// is one. For one that no node can read the error wraps [ErrUnreadable].
func (db *DB) Anchor(hash string) (anchor Anchor, ok bool, err error) {
	value, err := db.get(AnchorKey(hash))
	if err != nil || value == nil {
		return Anchor{}, false, err
	}
	anchor, err = ParseAnchor(value)
	return anchor, err == nil, err
}

// Anchors calls visit with every anchor record that a node can read, in the order
// of their keys. An error from visit ends the walk.
func (db *DB) Anchors(ctx context.Context, visit func(key string, anchor Anchor) error) error {
	return db.eachWith(ctx, anchorPrefix, []byte(anchorPrefix), func(key, value []byte) error {
		anchor, err := ParseAnchor(value)
		if err != nil {
			return nil
		}
		return visit(string(key[len(anchorPrefix):]), anchor)
	})
}

// Events calls visit with every reorg event that a node can read, in the order of
// their ids. An error from visit ends the walk.
func (db *DB) Events(ctx context.Context, visit func(ReorgEvent) error) error {
	return db.eachWith(ctx, eventPrefix, []byte(eventPrefix), func(key, value []byte) error {
		kind, id := KeyKind(key)
		event, err := ParseEvent(id, value)
		if kind != EventKind || err != nil {
			return nil
		}
		return visit(event)
	})
}

// nextEventID returns the id for the next reorg event. That is the counter, as a
// node has it, unless the counter is behind the events: no event is overwritten.
func (db *DB) nextEventID(ctx context.Context) (uint64, error) {
	value, err := db.get([]byte(CounterKey))
	if err != nil {
		return 0, err
	}
	next, _ := ParseCounter(value)
	err = db.eachWith(ctx, eventPrefix, eventKey(next), func(key, _ []byte) error {
		if kind, id := KeyKind(key); kind == EventKind {
			next = id + 1
		}
		return nil
	})
	return next, err
}

// Check reads every record of every column family. The error may wrap
// [ErrCorrupt].
func (db *DB) Check(ctx context.Context) error {
	for _, family := range db.names {
		if err := db.Each(ctx, family, nil, func(_, _ []byte) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}
