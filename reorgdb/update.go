package reorgdb

import (
	"context"
	"fmt"
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
	highest  uint64
	anyBlock bool
	above    uint64 // the next block's height is at least this
	reorgs   reorgs
	// anchors are those that were written since the last reorg, by key, nil for one
	// that was deleted. Heights ascend: what a reorg leaves, none of this update takes.
	anchors map[string]*Anchor
	raw     bool  // something was written as it is, perhaps an anchor or an event
	failed  error // of a reorg, of which the batch has only a part
}

// reorgs is what all reorgs of a database taken so far leave known for the next one, so
// that not each has to look at all anchors and all events.
type reorgs struct {
	known bool
	// from is a height: no stored anchor at or above it is left to invalidate.
	from      uint64
	nextEvent uint64
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
	u := &Update{db: db, batch: grocksdb.NewWriteBatch(), highest: highest.Height, anyBlock: any, reorgs: db.reorgs, anchors: map[string]*Anchor{}}
	defer u.batch.Destroy()
	if err := change(u); err != nil {
		return err
	}
	if u.failed != nil {
		return u.failed
	}
	if err := db.write(u.batch, true); err != nil {
		db.reorgs = reorgs{}
		return err
	}
	if u.raw || len(u.anchors) > 0 {
		u.reorgs = reorgs{}
	}
	db.reorgs = u.reorgs
	return nil
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

// Put writes a record as it is. The reorgs of the same update do not see it. The error
// wraps [ErrNoFamily].
func (u *Update) Put(family string, key, value []byte) error {
	handle, err := u.db.family(family)
	if err == nil {
		u.batch.PutCF(handle, key, value)
		u.raw = true
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
// ascend. Stored anchors are looked at for the lowest height of all reorgs alone. It ends
// with the context's error.
func (u *Update) Block(ctx context.Context, b Block, detectedAt uint64) (Seen, *ReorgEvent, error) {
	if err := ctx.Err(); err != nil {
		return 0, nil, err
	}
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
			u.failed = err
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

// reorg records the event and invalidates the anchors that it concerns, in the order of
// their keys.
func (u *Update) reorg(ctx context.Context, e *ReorgEvent) (err error) {
	if !u.reorgs.known {
		if u.reorgs.nextEvent, err = u.db.nextEventID(ctx); err != nil {
			return err
		}
	}
	changed := slices.Sorted(maps.Keys(u.anchors))
	scan := !u.reorgs.known || e.Height < u.reorgs.from
	if scan || len(changed) > 0 {
		u.reorgs.known, u.reorgs.from = true, e.Height
	}
	if scan {
		for a, err := range u.db.Anchors(ctx) {
			if err != nil {
				return err
			}
			for len(changed) > 0 && changed[0] < a.Key {
				u.invalidate(e, changed[0], u.anchors[changed[0]])
				changed = changed[1:]
			}
			if len(changed) == 0 || changed[0] != a.Key {
				u.invalidate(e, a.Key, &a.Anchor)
			}
		}
	}
	for _, key := range changed {
		u.invalidate(e, key, u.anchors[key])
	}
	clear(u.anchors)
	e.ID = u.reorgs.nextEvent
	u.reorgs.nextEvent++
	u.reorgs.known = u.reorgs.nextEvent > 0 // or the ids have run out
	u.put(EventKey(e.ID), e.value())
	u.put([]byte(CounterKey), fmt.Append(nil, u.reorgs.nextEvent))
	return nil
}

// invalidate invalidates the anchor that is stored under a key, nil for none, if the
// reorg concerns it. The key is the anchor's hash but in records that something else
// damaged.
func (u *Update) invalidate(e *ReorgEvent, key string, a *Anchor) {
	if a == nil || a.BitcoinHeight < e.Height || a.Status == InvalidatedReorg {
		return
	}
	a.Status, a.Confirmations = InvalidatedReorg, 0
	u.put(AnchorKey(key), a.value())
	e.InvalidatedAnchors = append(e.InvalidatedAnchors, a.Hash)
}

// Anchor writes an anchor record. The error says why no node could read it back
// equal.
func (u *Update) Anchor(a Anchor) error {
	if err := a.Validate(); err != nil {
		return err
	}
	u.put(AnchorKey(a.Hash), a.value())
	u.anchors[a.Hash] = &a
	return nil
}

// DeleteAnchor takes an anchor record back.
func (u *Update) DeleteAnchor(hash string) {
	u.delete(AnchorKey(hash))
	u.anchors[hash] = nil
}

// ConfirmedAt is how many confirmations make a pending anchor a confirmed one.
const ConfirmedAt = 6
