package reorgdb

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/linxGnu/grocksdb"
)

// Update gathers changes and writes them in one atomic batch: after a crash the
// database has all of them or none. It does what a node does. Not safe for
// concurrent use; nothing else may write meanwhile.
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

// NewUpdate starts an empty update. Close it.
func (db *DB) NewUpdate() (*Update, error) {
	if err := db.removeLeftover(); err != nil {
		return nil, err
	}
	highest, any, err := db.HighestBlock()
	if err != nil {
		return nil, err
	}
	return &Update{db: db, batch: grocksdb.NewWriteBatch(), highest: highest.Height, anyBlock: any}, nil
}

// Close frees the update and drops what was not committed.
func (u *Update) Close() { u.batch.Destroy() }

// Commit writes the changes and syncs them. The update is then empty again.
func (u *Update) Commit() error { return u.commit(true, false) }

// CommitUnlogged writes the changes without the write-ahead log: for a database
// that nobody sees before [DB.Sync].
func (u *Update) CommitUnlogged() error { return u.commit(false, true) }

func (u *Update) commit(sync, unlogged bool) error {
	if u.batch.Count() == 0 {
		return nil
	}
	opts := grocksdb.NewDefaultWriteOptions()
	defer opts.Destroy()
	opts.SetSync(sync)
	opts.DisableWAL(unlogged)
	if err := u.db.rocks.Write(opts, u.batch); err != nil {
		return explain(u.db.path, err)
	}
	u.batch.Clear()
	u.above = 0
	return nil
}

// Size returns the number of records in the update.
func (u *Update) Size() int { return u.batch.Count() }

// Put writes a record as it is.
func (u *Update) Put(family string, key, value []byte) {
	u.batch.PutCF(u.db.families[slices.Index(u.db.names, family)], key, value)
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
// given time in Unix seconds, and the hash is overwritten. Between two commits the
// heights must ascend.
func (u *Update) Block(ctx context.Context, b Block, detectedAt uint64) (Seen, *ReorgEvent, error) {
	if b.Height < u.above {
		return 0, nil, fmt.Errorf("block %d comes behind block %d", b.Height, u.above-1)
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
	u.put(eventKey(e.ID), e.value())
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
	err = u.db.Anchors(ctx, func(key string, a Anchor) error {
		anchors[key] = a
		return nil
	})
	if err == nil {
		u.anchors = anchors
	}
	return err
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
	if err := a.check(); err != nil {
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

// Confirm sets an anchor's confirmations, as a node does: a pending one that
// reaches the threshold becomes confirmed.
func (u *Update) Confirm(a Anchor, confirmations, threshold uint64) error {
	a.Confirmations = confirmations
	if a.Status == Pending && confirmations >= threshold {
		a.Status = Confirmed
	}
	return u.Anchor(a)
}

// PruneBlocks deletes all but the newest keep block hashes, and returns how many
// it deleted.
func (u *Update) PruneBlocks(ctx context.Context, keep int) (deleted int, err error) {
	total := 0
	count := func(Block) error { total++; return nil }
	if err := u.db.Blocks(ctx, 0, count); err != nil {
		return 0, err
	}
	err = u.db.Blocks(ctx, 0, func(b Block) error {
		if total-deleted <= keep {
			return errStop{}
		}
		u.delete(blockKey(b.Height))
		deleted++
		return nil
	})
	if err == (errStop{}) {
		err = nil
	}
	return deleted, err
}
