package reorgdb_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/reorgdb"
)

// slowNode is the records of a database that takes blocks one by one, like the loop of a node:
// with each reorg it goes through every anchor.
type slowNode map[string]string

func (n slowNode) sees(t *testing.T, b reorgdb.Block, at uint64) {
	t.Helper()
	key := blockKey(int(b.Height))
	before, known := n[key]
	if known && before != b.Hash {
		event := reorgdb.ReorgEvent{Height: b.Height, OldBlockHash: before, NewBlockHash: b.Hash, DetectedAt: at}
		for _, key := range slices.Sorted(maps.Keys(n)) {
			if !strings.HasPrefix(key, "anchor:") {
				continue
			}
			a, err := reorgdb.ParseAnchor([]byte(n[key]))
			if err != nil || a.BitcoinHeight < b.Height || a.Status == reorgdb.InvalidatedReorg {
				continue
			}
			a.Status, a.Confirmations = reorgdb.InvalidatedReorg, 0
			n[key] = string(reorgdb.AnchorValue(a))
			event.InvalidatedAnchors = append(event.InvalidatedAnchors, a.Hash)
		}
		counter, _ := reorgdb.ParseCounter([]byte(n["reorg_counter"]))
		n[fmt.Sprintf("reorg:%020d", counter)] = string(reorgdb.EventValue(event))
		n["reorg_counter"] = fmt.Sprint(counter + 1)
	}
	n[key] = b.Hash
}

// randomAnchor returns the key and value of an anchor record as nodes write it, or in a form
// that nodes read but never write.
func randomAnchor(rng *rand.Rand) (key, value string) {
	key = fmt.Sprintf("%02x", rng.Intn(256))
	height := fmt.Sprint(rng.Intn(40))
	value = fmt.Sprintf("%s|tx|%s|%d|5|1|%d|root", key, height, rng.Intn(9), rng.Intn(4))
	switch rng.Intn(12) {
	case 0:
		value = strings.Replace(value, key, "other", 1)
	case 1:
		value = strings.TrimSuffix(value, "root") // no node reads it
	case 2:
		value += "\nafter"
	case 3:
		value = strings.Replace(value, "|tx|", "|tx| -", 1) // a height of nearly 2^64
	case 4:
		value = strings.Replace(value, "|5|1|", "|5x 1y", 1)
	case 5:
		value = strings.Replace(value, "root", "ro|ot", 1)
	}
	return key, value
}

// TestReorgsAreWhatASlowNodeWrites compares every byte, however the blocks are divided into
// updates.
func TestReorgsAreWhatASlowNodeWrites(t *testing.T) {
	rounds := 80
	if testing.Short() {
		rounds = 40
	}
	for seed := range int64(rounds) {
		rng := rand.New(rand.NewSource(seed))
		path := filepath.Join(t.TempDir(), "reorg_db")
		db, err := reorgdb.Create(path)
		require.NoError(t, err)
		want := slowNode{}
		reorgs := 0
		for range 12 {
			switch rng.Intn(5) {
			case 0: // another program writes
				update(t, db, func(u *reorgdb.Update) {
					for range rng.Intn(20) {
						key, value := randomAnchor(rng)
						require.NoError(t, u.Put(reorgdb.DefaultFamily, reorgdb.AnchorKey(key), []byte(value)))
						want["anchor:"+key] = value
					}
				})
			case 1:
				require.NoError(t, db.Close())
				db, err = reorgdb.Open(path)
				require.NoError(t, err)
			default:
				update(t, db, func(u *reorgdb.Update) {
					for height := rng.Intn(30); height < 35; height += 1 + rng.Intn(3) {
						switch rng.Intn(6) {
						case 0:
							key := fmt.Sprintf("%02x", rng.Intn(256))
							a := reorgdb.Anchor{Hash: key, BitcoinHeight: uint64(rng.Intn(40)), Confirmations: 3, Status: reorgdb.AnchorStatus(rng.Intn(3)), L2StateRoot: "r"}
							require.NoError(t, u.Anchor(a))
							want["anchor:"+key] = string(reorgdb.AnchorValue(a))
						case 1:
							key := fmt.Sprintf("%02x", rng.Intn(256))
							u.DeleteAnchor(key)
							delete(want, "anchor:"+key)
						}
						b := reorgdb.Block{Height: uint64(height), Hash: hash(rng.Intn(2))}
						seen, _, err := u.Block(ctx, b, uint64(seed))
						require.NoError(t, err)
						want.sees(t, b, uint64(seed))
						if seen == reorgdb.Replaced {
							reorgs++
						}
					}
				})
			}
			require.Equal(t, map[string]string(want), all(t, db), "seed %d", seed)
		}
		require.NoError(t, db.Close())
		if seed == 0 {
			require.NotZero(t, reorgs)
		}
	}
}

// TestFailedUpdateLeavesNothingKnown: after a failed update, the next one handles reorgs as if
// the failed one had never been.
func TestFailedUpdateLeavesNothingKnown(t *testing.T) {
	db := create(t)
	update(t, db, func(u *reorgdb.Update) {
		see(t, u, 5, hash(5), reorgdb.Written)
		require.NoError(t, u.Anchor(reorgdb.Anchor{Hash: "a", BitcoinHeight: 5, L2StateRoot: "r"}))
	})
	require.ErrorIs(t, db.Update(func(u *reorgdb.Update) error {
		require.Equal(t, []string{"a"}, see(t, u, 5, hash(6), reorgdb.Replaced).InvalidatedAnchors)
		return context.Canceled
	}), context.Canceled)
	update(t, db, func(u *reorgdb.Update) {
		e := see(t, u, 5, hash(6), reorgdb.Replaced)
		require.Equal(t, []string{"a"}, e.InvalidatedAnchors)
		require.Zero(t, e.ID)
	})
}

// endsAfter is a context that is canceled after it was asked a number of times.
type endsAfter struct {
	context.Context
	left *atomic.Int64
}

func (c endsAfter) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// TestDeepReorgObeysItsContext: the context is checked with each block and while the anchors are
// read. Wherever the reorg ends, nothing of it is written, even if the error is ignored.
func TestDeepReorgObeysItsContext(t *testing.T) {
	db := create(t)
	const anchors, depth = 20_000, 500
	update(t, db, func(u *reorgdb.Update) {
		for height := range depth {
			see(t, u, uint64(height), hash(height), reorgdb.Written)
		}
		for i := range anchors {
			require.NoError(t, u.Anchor(reorgdb.Anchor{Hash: hash(i), BitcoinTxID: hash(i), BitcoinHeight: uint64(i % depth), L2StateRoot: hash(i)}))
		}
	})
	before := all(t, db)
	reorg := func(left int64) (asked int64, err error) {
		ended := endsAfter{ctx, &atomic.Int64{}}
		ended.left.Store(left)
		err = db.Update(func(u *reorgdb.Update) error {
			for height := range depth {
				_, _, err := u.Block(ended, reorgdb.Block{Height: uint64(height), Hash: hash(height + depth)}, 7)
				if err != nil && height == 0 {
					return nil // ignore the error
				} else if err != nil {
					return err
				}
			}
			return nil
		})
		return left - ended.left.Load(), err
	}
	for _, left := range []int64{1, 2, 20, 150, 400} {
		asked, err := reorg(left)
		require.ErrorIs(t, err, context.Canceled)
		require.LessOrEqual(t, asked, left+3)
		require.Equal(t, before, all(t, db))
	}
	// Once for each block, and once for each 16 KiB of anchors, which are read once.
	asked, err := reorg(1 << 40)
	require.NoError(t, err)
	require.Less(t, asked, int64(depth+anchors*300/(16<<10)+100))
}

// TestKnownEventsAreThoseStored: an event that was written with Put or BulkLoad after a reorg
// keeps its id.
func TestKnownEventsAreThoseStored(t *testing.T) {
	db := create(t)
	update(t, db, func(u *reorgdb.Update) { see(t, u, 5, hash(5), reorgdb.Written) })
	update(t, db, func(u *reorgdb.Update) { require.Zero(t, see(t, u, 5, hash(6), reorgdb.Replaced).ID) })
	update(t, db, func(u *reorgdb.Update) {
		require.NoError(t, u.Put(reorgdb.DefaultFamily, reorgdb.EventKey(7), []byte("1|o|n|5|0")))
	})
	update(t, db, func(u *reorgdb.Update) { require.EqualValues(t, 8, see(t, u, 5, hash(7), reorgdb.Replaced).ID) })
	require.NoError(t, db.BulkLoad(reorgdb.DefaultFamily, func(yield func(reorgdb.Record, error) bool) {
		yield(reorgdb.Record{Key: reorgdb.EventKey(20), Value: []byte("1|o|n|5|0")}, nil)
	}))
	update(t, db, func(u *reorgdb.Update) { require.EqualValues(t, 21, see(t, u, 5, hash(8), reorgdb.Replaced).ID) })
}
