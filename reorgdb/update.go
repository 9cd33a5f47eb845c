package reorgdb

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/linxGnu/grocksdb"
)

// Update gathers changes, see [DB.Update]. It is not safe for concurrent use, and must not be
// used after the function that it was passed to has returned.
type Update struct {
	db    *DB
	batch *grocksdb.WriteBatch
	// highest is the greatest height that is stored or in the batch; above it nothing needs to
	// be read.
	highest  uint64
	anyBlock bool
	above    uint64 // the least height that the next block may have
	reorgs   reorgs
	// anchors are the anchors written since the last reorg, by key, with nil for a deleted
	// one. Heights ascend: an anchor that one reorg leaves alone, no later one of this update
	// invalidates.
	anchors map[string]*Anchor
	raw     bool  // a record was written with Put; it may be an anchor or an event
	failed  error // of a reorg that is only partly in the batch
}

// reorgs is what is known after the reorgs of a database so far, so that the next one need
// not read all anchors and all events.
type reorgs struct {
	known bool
	// from is a height: no stored anchor at or above it is left to be invalidated.
	from      uint64
	nextEvent uint64 // id
}

// Update calls change with an empty update. If change returns nil, the gathered changes are
// written in one atomic batch and synced: after a crash the database has all of them or none.
// If it returns an error, Update returns that error and nothing is written. Only one update is
// made at a time; others wait. change must not call a method of db that writes. The error
// wraps [ErrReadOnly] for a database that was opened with [OpenReadOnly].
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

// beginWriting waits until no other method writes. The caller must call end.
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

// write writes a batch and empties it. It is either synced, or written without the
// write-ahead log.
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

// Put writes a record as it is to a column family. The reorgs of the same update do not see
// it. The error wraps [ErrNoFamily].
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

// Seen is the outcome of [Update.Block].
type Seen int

// The outcomes of [Update.Block].
const (
	Written  Seen = iota // the height had no hash
	Equal                // the height had the same hash
	Replaced             // the height had another hash: a reorg
)

// Block handles a block as the listener of a node does. A height without a hash gets the
// hash, and a height with the same hash is left alone. Another hash is a reorg: the anchors at
// or above the height are invalidated, the event is recorded with detectedAt, in Unix seconds,
// and the hash is overwritten. Block returns the event of a reorg, otherwise nil. The heights
// of an update must ascend. Only the lowest reorg of an update reads the stored anchors. The
// error may be the error of ctx. After an error of a reorg, [DB.Update] writes nothing, even if change
// returns nil.
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

// SetBlock writes the hash of a height, whatever is stored there. It does not count as a reorg.
func (u *Update) SetBlock(b Block) { u.putBlock(b) }

// DeleteBlock removes the hash of a height, if there is one.
func (u *Update) DeleteBlock(height uint64) { u.delete(blockKey(height)) }

// stored is [DB.BlockHash], but does not read at heights where nothing can be stored.
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

// reorg invalidates the anchors that a reorg concerns, in the order of their keys, and records
// the event.
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
	u.reorgs.known = u.reorgs.nextEvent > 0 // it is 0 when the ids have run out
	u.put(EventKey(e.ID), e.value())
	u.put([]byte(CounterKey), fmt.Append(nil, u.reorgs.nextEvent))
	return nil
}

// invalidate invalidates the anchor that is stored under a key, nil for none, if the reorg
// concerns it. The key is the anchor's hash, except in damaged records.
func (u *Update) invalidate(e *ReorgEvent, key string, a *Anchor) {
	if a == nil || a.BitcoinHeight < e.Height || a.Status == InvalidatedReorg {
		return
	}
	a.Status, a.Confirmations = InvalidatedReorg, 0
	u.put(AnchorKey(key), a.value())
	e.InvalidatedAnchors = append(e.InvalidatedAnchors, a.Hash)
}

// Anchor writes an anchor record. The error is that of [Anchor.Validate].
func (u *Update) Anchor(a Anchor) error {
	if err := a.Validate(); err != nil {
		return err
	}
	u.put(AnchorKey(a.Hash), a.value())
	u.anchors[a.Hash] = &a
	return nil
}

// DeleteAnchor removes the anchor record under an anchor hash, if there is one.
func (u *Update) DeleteAnchor(hash string) {
	u.delete(AnchorKey(hash))
	u.anchors[hash] = nil
}

// ConfirmedAt is the number of confirmations at which a pending anchor counts as confirmed.
const ConfirmedAt = 6
