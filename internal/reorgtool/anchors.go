package reorgtool

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"iter"
	"os"
	"path/filepath"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/spill"
	"ailee-recovery/reorgdb"
)

// AnchorRow is how many anchors are held at a time when a Bitcoin node is asked for each.
const AnchorRow = 10_000

// hashSize is the length of an anchor hash, in bytes.
const hashSize = 32

// AnchorRows yields the anchors that a node can read and for which wanted returns true, in
// rows of up to size anchors. If one row has room for all, they are in the order of their
// keys. Otherwise the rows are in the order of the broadcast times, so that the transactions
// of a row are in blocks that are close together. The iteration ends after an error. The keys
// of anchors must not change during the iteration.
func AnchorRows(ctx context.Context, db *reorgdb.DB, size int, wanted func(reorgdb.StoredAnchor) bool) iter.Seq2[[]reorgdb.StoredAnchor, error] {
	return func(yield func([]reorgdb.StoredAnchor, error) bool) {
		var row []reorgdb.StoredAnchor
		for a, err := range db.Anchors(ctx) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !wanted(a) {
				continue
			}
			if len(row) == size {
				anchorsByTime(ctx, db, size, wanted, yield)
				return
			}
			row = append(row, a)
		}
		if len(row) > 0 {
			yield(row, nil)
		}
	}
}

// anchorsByTime yields rows in the order of the broadcast times. It sorts in a temporary
// file: the time and the hash in the key, 32 bytes. Anchors with other keys, which no node
// writes, come first.
func anchorsByTime(ctx context.Context, db *reorgdb.DB, size int, wanted func(reorgdb.StoredAnchor) bool, yield func([]reorgdb.StoredAnchor, error) bool) {
	times := spill.NewSorter(8+hashSize, func() (*os.File, error) { return durable.Unnamed(filepath.Join(os.TempDir(), "anchors")) })
	defer times.Close()
	var row []reorgdb.StoredAnchor
	put := func(a reorgdb.StoredAnchor) (more bool) {
		if row = append(row, a); len(row) < size {
			return true
		}
		full := row
		row = nil
		return yield(full, nil)
	}
	for a, err := range db.Anchors(ctx) {
		if err != nil {
			yield(nil, err)
			return
		}
		if !wanted(a) {
			continue
		}
		hash, err := hex.DecodeString(a.Key)
		switch {
		case err != nil || len(hash) != hashSize || hex.EncodeToString(hash) != a.Key:
			if !put(a) {
				return
			}
		default:
			if err := times.Add(append(binary.BigEndian.AppendUint64(nil, a.BroadcastTime), hash...)); err != nil {
				yield(nil, err)
				return
			}
		}
	}
	for record, err := range times.Sorted() {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			yield(nil, err)
			return
		}
		key := hex.EncodeToString(record[8:])
		a, ok, err := db.Anchor(key)
		if err != nil {
			yield(nil, err)
			return
		}
		if ok && !put(reorgdb.StoredAnchor{Key: key, Anchor: a}) {
			return
		}
	}
	if len(row) > 0 {
		yield(row, nil)
	}
}
