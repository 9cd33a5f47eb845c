package reorgdb

import (
	"context"
	"errors"
	"runtime"

	"github.com/linxGnu/grocksdb"

	"ailee-recovery/internal/workers"
)

// Each calls visit with every record of a column family, in the order of the keys.
// Checksums are verified. It reads ahead on all cores; nothing may write meanwhile.
// Key and value are valid during the call; an error from visit ends the walk. The
// error may wrap [ErrCorrupt]: what comes behind the damage was not visited.
func (db *DB) Each(ctx context.Context, family string, visit func(key, value []byte) error) error {
	bounds, err := db.bounds(family)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	free := make(chan []byte, rangeBlocks*(runtime.GOMAXPROCS(0)+1))
	// A range is in the queue before a worker takes it, so that they are visited in
	// order.
	queue := make(chan *keyRange, runtime.GOMAXPROCS(0))
	work := make(chan *keyRange)
	group := workers.NewGroup()
	// Also when visit panics: the database may be closed behind this.
	defer func() {
		cancel(nil)
		_ = group.Wait()
	}()
	group.Go(func() error {
		defer close(queue)
		defer close(work)
		for i := range len(bounds) + 1 {
			r := &keyRange{read: make(chan []byte, rangeBlocks)}
			if i > 0 {
				r.from = bounds[i-1]
			}
			if i < len(bounds) {
				r.to = bounds[i]
			}
			for _, to := range []chan *keyRange{queue, work} {
				select {
				case to <- r:
				case <-ctx.Done():
					return nil
				}
			}
		}
		return nil
	})
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			for r := range work {
				r.err = db.readRange(ctx, family, r, free)
				close(r.read)
			}
			return nil
		})
	}
	err = visitAll(ctx, queue, free, visit)
	cancel(err)
	return errors.Join(err, group.Wait())
}

// keyRange is a part of a column family on its way to be visited.
type keyRange struct {
	from, to []byte // keys, to excluded; nil: no bound
	read     chan []byte
	err      error // valid when read is closed
}

// rangeBlocks is how many blocks a worker may be ahead within a range.
const rangeBlocks = 128

func visitAll(ctx context.Context, queue <-chan *keyRange, free chan<- []byte, visit func(key, value []byte) error) error {
	for r := range queue {
		for {
			var block []byte
			var more bool
			select {
			case block, more = <-r.read:
			case <-ctx.Done():
				return ctx.Err()
			}
			if !more {
				break
			}
			if err := eachIn(block, visit); err != nil {
				return err
			}
			select {
			case free <- block:
			default:
			}
		}
		if r.err != nil {
			return r.err
		}
	}
	return ctx.Err()
}

// readRange takes used blocks from free.
func (db *DB) readRange(ctx context.Context, family string, r *keyRange, free <-chan []byte) (err error) {
	// Here and not in the group: whoever visits waits for the range to be read.
	defer workers.Recover(&err)
	fresh := func() []byte {
		select {
		case block := <-free:
			return block[:cap(block)]
		default:
			return make([]byte, blockSize)
		}
	}
	return db.blocks(ctx, family, r.from, r.to, fresh, func(block []byte) error {
		select {
		case r.read <- block:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// rangeHeights is how many blocks a range has, about a megabyte.
const rangeHeights = 10_000

// bounds cuts a column family into ranges. Nearly all records are blocks, and their
// heights have few gaps.
func (db *DB) bounds(family string) ([][]byte, error) {
	if family != DefaultFamily {
		return nil, nil
	}
	highest, any, err := db.HighestBlock()
	if err != nil || !any {
		return nil, err
	}
	var lowest uint64
	err = db.Blocks(context.Background(), 0, func(b Block) error {
		lowest = b.Height
		return errStop{}
	})
	if err != nil && err != (errStop{}) {
		return nil, err
	}
	step := max(rangeHeights, (highest.Height-lowest)/maxRanges)
	var bounds [][]byte
	for height := lowest; highest.Height-height > step; height += step {
		bounds = append(bounds, blockKey(height))
	}
	return bounds, nil
}

// maxRanges bounds the number of ranges where heights are far apart.
const maxRanges = 1000

// errStop ends a walk without an error.
type errStop struct{}

func (errStop) Error() string { return "stop" }

// eachWith calls visit with every record of the default column family whose key
// has the prefix and is not below from.
func (db *DB) eachWith(ctx context.Context, prefix string, from []byte, visit func(key, value []byte) error) error {
	to := []byte(prefix)
	to[len(to)-1]++
	block := make([]byte, blockSize)
	recycle := func() []byte { return block }
	return db.blocks(ctx, DefaultFamily, from, to, recycle, func(block []byte) error { return eachIn(block, visit) })
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
		if err := db.Each(ctx, family, func(_, _ []byte) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}
