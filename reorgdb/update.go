package reorgdb

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/linxGnu/grocksdb"
)

// Update gathers changes, see [DB.Update]. Not safe for concurrent use, and not to be
// used after the function that it was passed to.
type Update struct {
	db    *DB
	batch *grocksdb.WriteBatch
	// highest is the greatest height stored; above it nothing needs to be read.
	highest   uint64
	anyBlock  bool
	above     uint64            // the next block's height is at least this
	anchors   map[string]Anchor // by key; nil until a reorg needs them
	nextEvent uint64            // known once anchors is
}

// Update calls change with an empty update. When it returns nil, what it gathered is
// written in one atomic batch and synced: after a crash the database has all of it or
// none. When it returns an error, Update returns that and nothing is written. One
// update is made at a time, others wait; no other process may write meanwhile. The
// error wraps [ErrReadOnly] for a database that was opened with [OpenReadOnly].
func (db *DB) Update(change func(*Update) error) error {
	end, err := db.beginWriting()
	if err != nil {
		return err
	}
	defer end()
	highest, any, err := db.HighestBlock()
	if err != nil {
		return err
	}
	u := &Update{db: db, batch: grocksdb.NewWriteBatch(), highest: highest.Height, anyBlock: any}
	defer u.batch.Destroy()
	if err := change(u); err != nil {
		return err
	}
	return db.write(u.batch, true)
}

// beginWriting waits until nothing else writes. The caller must call end.
func (db *DB) beginWriting() (end func(), err error) {
	if db.mode != readWrite {
		return nil, fmt.Errorf("%s: %w", db.path, ErrReadOnly)
	}
	db.writing.Lock()
	if err := db.removeLeftover(); err != nil {
		db.writing.Unlock()
		return nil, err
	}
	return db.writing.Unlock, nil
}

// write writes a batch, synced, or without the write-ahead log, and empties it.
func (db *DB) write(batch *grocksdb.WriteBatch, sync bool) error {
	if batch.Count() == 0 {
		return nil
	}
	opts := grocksdb.NewDefaultWriteOptions()
	defer opts.Destroy()
	opts.SetSync(sync)
	opts.DisableWAL(!sync)
	if err := db.rocks.Write(opts, batch); err != nil {
		return explain(db.path, err)
	}
	batch.Clear()
	return nil
}

// bulkBatch is how many records [DB.BulkLoad] writes at a time.
const bulkBatch = 4096

// BulkLoad writes records as they are to a column family, batch by batch and without
// the write-ahead log: for a database that nobody sees before [DB.Sync], which makes
// them durable. It ends with the first error that records yields, or with one that
// wraps [ErrNoFamily] or [ErrReadOnly].
func (db *DB) BulkLoad(family string, records iter.Seq2[Record, error]) error {
	handle, err := db.family(family)
	if err != nil {
		return err
	}
	end, err := db.beginWriting()
	if err != nil {
		return err
	}
	defer end()
	batch := grocksdb.NewWriteBatch()
	defer batch.Destroy()
	for r, err := range records {
		if err != nil {
			return err
		}
		batch.PutCF(handle, r.Key, r.Value)
		if batch.Count() < bulkBatch {
			continue
		}
		if err := db.write(batch, false); err != nil {
			return err
		}
	}
	return db.write(batch, false)
}

// Put writes a record as it is. The error wraps [ErrNoFamily].
func (u *Update) Put(family string, key, value []byte) error {
	handle, err := u.db.family(family)
	if err == nil {
		u.batch.PutCF(handle, key, value)
	}
	return err
}

func (u *Update) put(key, value []byte) { u.batch.PutCF(u.db.families[0], key, value) }

func (u *Update) delete(key []byte) { u.batch.DeleteCF(u.db.families[0], key) }

// Seen is what a block turned out to be.
type Seen int

// The outcomes of [Update.Block].
const (
	Written  Seen = iota // the height was not stored
	Equal                // it was, with the same hash
	Replaced             // it was, with another hash: a reorg
)

// Block takes a block as a node's listener does. A height that is not stored is
// written, and one with the same hash left alone. Another hash is a reorg: the
// anchors at or above the height are invalidated, the event is recorded with the
// given time in Unix seconds, and the hash is overwritten. The heights of an update must
// ascend.
func (u *Update) Block(ctx context.Context, b Block, detectedAt uint64) (Seen, *ReorgEvent, error) {
	if b.Height < u.above {
		return 0, nil, fmt.Errorf("block %d comes after block %d", b.Height, u.above-1)
	}
	u.above = b.Height + 1
	before, ok, err := u.stored(b.Height)
	switch {
	case err != nil:
		return 0, nil, err
	case ok && before == b.Hash:
		return Equal, nil, nil
	}
	seen := Written
	var event *ReorgEvent
	if ok {
		seen = Replaced
		event = &ReorgEvent{Height: b.Height, OldBlockHash: before, NewBlockHash: b.Hash, DetectedAt: detectedAt}
		if err := u.reorg(ctx, event); err != nil {
			return 0, nil, err
		}
	}
	u.putBlock(b)
	return seen, event, nil
}

// SetBlock writes the hash of a height, whatever is stored there: it is no reorg.
func (u *Update) SetBlock(b Block) { u.putBlock(b) }

// DeleteBlock removes the hash of a height.
func (u *Update) DeleteBlock(height uint64) { u.delete(blockKey(height)) }

// stored is [DB.BlockHash] without a look where there can be nothing.
func (u *Update) stored(height uint64) (string, bool, error) {
	if !u.anyBlock || height > u.highest {
		return "", false, nil
	}
	return u.db.BlockHash(height)
}

func (u *Update) putBlock(b Block) {
	u.put(blockKey(b.Height), []byte(b.Hash))
	if !u.anyBlock || b.Height > u.highest {
		u.anyBlock, u.highest = true, b.Height
	}
}

// reorg records the event and invalidates the anchors that it concerns.
func (u *Update) reorg(ctx context.Context, e *ReorgEvent) error {
	if err := u.load(ctx); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(u.anchors)) {
		a := u.anchors[key]
		if a.BitcoinHeight < e.Height || a.Status == InvalidatedReorg {
			continue
		}
		a.Status, a.Confirmations = InvalidatedReorg, 0
		u.putAnchor(key, a)
		e.InvalidatedAnchors = append(e.InvalidatedAnchors, a.Hash)
	}
	e.ID = u.nextEvent
	u.nextEvent++
	u.put(EventKey(e.ID), e.value())
	u.put([]byte(CounterKey), fmt.Append(nil, u.nextEvent))
	return nil
}

// load reads what a reorg or a change of an anchor needs, once.
func (u *Update) load(ctx context.Context) (err error) {
	if u.anchors != nil {
		return nil
	}
	if u.nextEvent, err = u.db.nextEventID(ctx); err != nil {
		return err
	}
	anchors := map[string]Anchor{}
	for a, err := range u.db.Anchors(ctx) {
		if err != nil {
			return err
		}
		anchors[a.Key] = a.Anchor
	}
	u.anchors = anchors
	return nil
}

// putAnchor writes a record under its key, which is its hash but in records that
// something else damaged.
func (u *Update) putAnchor(key string, a Anchor) {
	u.put(AnchorKey(key), a.value())
	if u.anchors != nil {
		u.anchors[key] = a
	}
}

// Anchor writes an anchor record. The error says why no node could read it back
// equal.
func (u *Update) Anchor(a Anchor) error {
	if err := a.Validate(); err != nil {
		return err
	}
	u.putAnchor(a.Hash, a)
	return nil
}

// DeleteAnchor takes an anchor record back.
func (u *Update) DeleteAnchor(hash string) {
	u.delete(AnchorKey(hash))
	delete(u.anchors, hash)
}

// ConfirmedAt is how many confirmations make a pending anchor a confirmed one.
const ConfirmedAt = 6
