package getsnapshotblock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/input"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// fromMetadata reads the anchor's metadata. It trusts only what the anchor vouches for:
// if the snapshot is damaged anywhere, there is no telling which of its parts are right.
func (f *finder) fromMetadata(context.Context) (block, error) {
	anchor := f.snapshot.Anchor
	switch f.snapshot.AnchorVerdict {
	case snapshot.AnchorMissing:
		return block{}, notKnown("the latest snapshot has no anchor")
	case snapshot.AnchorRootMismatch:
		return block{}, errors.New("not used, the anchor does not hold: " + string(snapshot.RootMismatch))
	case snapshot.AnchorHashMismatch:
		return block{}, errors.New("not used, the anchor does not hold: " + string(snapshot.HashMismatch))
	}
	heights := values(anchor.RecoveryMetadata, "btc_height")
	switch {
	case len(heights) == 0:
		return block{}, notKnown("no btc_height")
	case !anchor.Bound():
		return block{}, errors.New("not used, the anchor's hash does not cover it")
	case len(heights) > 1:
		return block{}, fmt.Errorf("btc_height is given %d times", len(heights))
	}
	height, err := strconv.ParseInt(heights[0], 10, 64)
	if err != nil || height < 0 || strconv.FormatInt(height, 10) != heights[0] {
		return block{}, fmt.Errorf("btc_height=%s is not a height", heights[0])
	}
	found := block{Height: height}
	if hashes := values(anchor.RecoveryMetadata, "btc_hash"); len(hashes) == 1 {
		found.Hash = hashes[0]
	}
	return found, nil
}

// values returns the values of a key in comma-separated key=value.
func values(metadata, key string) (all []string) {
	for field := range strings.SplitSeq(metadata, ",") {
		if value, ok := strings.CutPrefix(field, key+"="); ok {
			all = append(all, value)
		}
	}
	return all
}

// fromDatabase looks up the anchor's record. The hash of an anchor that does not hold is
// good enough for that: there is no record under a damaged hash.
func (f *finder) fromDatabase(context.Context) (block, error) {
	if f.snapshot.Anchor == nil {
		return block{}, notKnown("the latest snapshot has no anchor")
	}
	if err := f.openDatabase(); err != nil {
		return block{}, err
	}
	hash, path := f.snapshot.Anchor.Hash, f.db.Path()
	record, ok, err := f.db.Anchor(hash)
	switch {
	case err != nil:
		return block{}, fmt.Errorf("%s: the record of anchor %s: %w", path, hash, err)
	case !ok:
		return block{}, notKnown(fmt.Sprintf("%s: no record of anchor %s", path, hash))
	case record.Hash != hash:
		return block{}, fmt.Errorf("%s: the record of anchor %s names anchor %s", path, hash, record.Hash)
	case record.BitcoinHeight == 0:
		return block{}, notKnown(fmt.Sprintf("%s: the record of anchor %s has no height", path, hash))
	case record.BitcoinHeight > math.MaxInt64:
		return block{}, fmt.Errorf("%s: anchor %s has the impossible height %d", path, hash, record.BitcoinHeight)
	case record.Status == reorgdb.InvalidatedReorg, record.Status == reorgdb.FailedOrphaned:
		f.out.Warn("%s: anchor %s is %s: the height is that of the last block it was in", path, hash, record.Status)
	}
	return block{Height: int64(record.BitcoinHeight)}, nil
}

// openDatabase opens the database, once. A missing one is an error only if it was named.
func (f *finder) openDatabase() error {
	if f.db != nil || f.dbErr != nil {
		return f.dbErr
	}
	path := f.DBPath
	if path == "" {
		if f.File == input.Stdin {
			f.dbErr = notKnown("standard input has no database next to it: name one with --db-path")
			return f.dbErr
		}
		path = filepath.Join(filepath.Dir(f.File), "reorg_db")
	}
	f.db, f.dbErr = reorgdb.OpenReadOnly(path)
	if errors.Is(f.dbErr, fs.ErrNotExist) && f.DBPath == "" {
		f.dbErr = notKnown(f.dbErr.Error())
	}
	return f.dbErr
}

// storedHash returns the hash that the database has for a height, "" if it has none or
// there is no database.
func (f *finder) storedHash(height int64) string {
	asked := f.dbErr != nil // then it has been reported already
	if err := f.openDatabase(); err != nil {
		if !asked && !errors.As(err, new(notKnown)) {
			f.out.Warn("%s: %v", reorgDatabase, err)
		}
		return ""
	}
	hash, _, err := f.db.BlockHash(uint64(height))
	if err != nil {
		f.out.Warn("%s: %s: the hash at height %d: %v", reorgDatabase, f.db.Path(), height, err)
	}
	return hash
}

const (
	// aheadOfClock is how far in the future the time of a Bitcoin block may be.
	aheadOfClock = 2 * time.Hour
	// behindSnapshot is how much older than a snapshot the tip of a growing chain can
	// be.
	behindSnapshot = 24 * time.Hour
)

// fromTime asks the node for the last block that existed at the snapshot's time.
func (f *finder) fromTime(ctx context.Context) (block, error) {
	if f.node == nil {
		return block{}, notKnown("not asked")
	}
	info, err := f.chainInfo(ctx)
	if err != nil {
		return block{}, err
	}
	seconds := int64(f.snapshot.TimestampMs / 1000)
	if seconds >= info.MedianTime {
		return f.atTip(info, seconds)
	}
	height, err := lastNotAfter(seconds, info.Blocks, func(height int64) (int64, error) { return f.node.MedianTime(ctx, height) })
	if err != nil {
		return block{}, err
	}
	if height < 0 {
		return block{}, fmt.Errorf("the snapshot's time, %s, is before the first block", f.time())
	}
	return block{Height: height}, nil
}

// atTip returns the tip as the block of a snapshot that is not older than it, if that is
// plausible.
func (f *finder) atTip(info *bitcoin.ChainInfo, seconds int64) (block, error) {
	switch {
	case seconds > time.Now().Add(aheadOfClock).Unix():
		return block{}, fmt.Errorf("the snapshot's time, %s, is in the future", f.time())
	case info.InitialBlockDownload:
		return block{}, fmt.Errorf("the node is still syncing, and its tip %d is older than the snapshot", info.Blocks)
	case seconds-info.MedianTime > int64(behindSnapshot/time.Second):
		f.out.Warn("%s: the tip %d is more than %v older than the snapshot: is the node up to date?", bitcoinNode, info.Blocks, behindSnapshot)
	}
	return block{Height: info.Blocks}, nil
}

// lastNotAfter returns the greatest height below tip whose median time is not after the
// given time, -1 if there is none. The tip's median time must be after it. Median times
// never decrease from one block to the next.
func lastNotAfter(seconds, tip int64, medianTime func(height int64) (int64, error)) (int64, error) {
	low, high := int64(-1), tip // not after; after
	for high-low > 1 {
		middle := low + (high-low)/2
		median, err := medianTime(middle)
		switch {
		case err != nil:
			return 0, err
		case median <= seconds:
			low = middle
		default:
			high = middle
		}
	}
	return low, nil
}

func (f *finder) chainInfo(ctx context.Context) (*bitcoin.ChainInfo, error) {
	if f.info == nil {
		ask := f.node.ChainInfo
		if f.MaxDivergence >= 0 {
			ask = f.node.Tip // a block that is just arriving may make the difference
		}
		info, err := ask(ctx)
		if err != nil {
			return nil, err
		}
		f.info = &info
	}
	return f.info, nil
}

// time returns the snapshot's time as text.
func (f *finder) time() string {
	if text, ok := snapshottool.UTC(f.snapshot.TimestampMs); ok {
		return text
	}
	return fmt.Sprintf("%d ms", f.snapshot.TimestampMs)
}
