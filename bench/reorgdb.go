package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/linxGnu/grocksdb"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/reorgdb"
)

const (
	dbBlocks  = 1_000_000
	dbAnchors = 10_000
	dbBatch   = 10_000 // records

	// A deep reorg replaces the upper deepBlocks of twice as many blocks, and invalidates all
	// anchors.
	deepBlocks  = 10_000
	deepAnchors = 100_000
)

// makeDatabase makes a reorg database with that many blocks and anchors, the anchors at evenly
// spread heights starting at lowest. An existing one is kept.
func makeDatabase(path string, blocks, lowest, anchors uint64, hash func(uint64) string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.RemoveAll(path + ".tmp"); err != nil {
		return err
	}
	if err := writeBlocks(path+".tmp", blocks, hash, func(u *reorgdb.Update) error {
		for i := range anchors {
			a := reorgdb.Anchor{Hash: digest("anchor", i), BitcoinTxID: digest("transaction", i), BitcoinHeight: lowest + i*(blocks-lowest)/anchors, Confirmations: 6,
				BroadcastTime: 1739577600000 + i, Status: reorgdb.Confirmed, L2StateRoot: digest("root", i)}
			if err := u.Anchor(a); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// makeDeep makes the databases for a deep reorg, with and without anchors.
func makeDeep(dir string) error {
	chain := bitcointest.NewChain(2*deepBlocks - 1)
	hash := func(height uint64) string { return chain.Hash(int64(height)) }
	if err := makeDatabase(filepath.Join(dir, "deep."+sides[0]), 2*deepBlocks, deepBlocks, deepAnchors, hash); err != nil {
		return err
	}
	return makeDatabase(filepath.Join(dir, "deep."+sides[1]), 2*deepBlocks, 0, 0, hash)
}

func digest(kind string, i uint64) string {
	sum := sha256.Sum256(fmt.Append(nil, kind, i))
	return hex.EncodeToString(sum[:])
}

// blockHash returns a hash that looks like today's: its first 19 digits are zeros.
func blockHash(height uint64) string { return "0000000000000000000" + digest("block", height)[19:] }

// writeBlocks writes the blocks as a resync does, in synced batches.
func writeBlocks(path string, blocks uint64, hash func(uint64) string, then func(*reorgdb.Update) error) (err error) {
	db, err := reorgdb.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for first := uint64(0); first < blocks; first += dbBatch {
		if err := db.Update(func(u *reorgdb.Update) error {
			for height := first; height < first+dbBatch; height++ {
				if _, _, err := u.Block(context.Background(), reorgdb.Block{Height: height, Hash: hash(height)}, 0); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	if err := db.Update(then); err != nil {
		return err
	}
	return db.Sync()
}

// writeBare writes the same batches with only the library.
func writeBare(path string) error {
	opts := grocksdb.NewDefaultOptions()
	defer opts.Destroy()
	opts.SetCreateIfMissing(true)
	db, err := grocksdb.OpenDb(opts, path)
	if err != nil {
		return err
	}
	defer db.Close()
	write := grocksdb.NewDefaultWriteOptions()
	defer write.Destroy()
	write.SetSync(true)
	batch := grocksdb.NewWriteBatch()
	defer batch.Destroy()
	for height := range uint64(dbBlocks) {
		batch.Put(fmt.Appendf(nil, "block:%020d", height), []byte(blockHash(height)))
		if batch.Count() == dbBatch {
			if err := db.Write(write, batch); err != nil {
				return err
			}
			batch.Clear()
		}
	}
	flush := grocksdb.NewDefaultFlushOptions()
	defer flush.Destroy()
	return db.Flush(flush)
}
