package reorgtool

import (
	"context"
	"fmt"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
)

const (
	latestCompared = 7  // how many of the latest: one more than the reorg depth at which a node halts
	spreadCompared = 16 // how many more, spread over all stored heights
)

// SameChain returns an error unless at least one of a few stored hashes is in the chain of
// the Bitcoin node. It compares the latest ones, and some spread over all heights. The error
// has the exit code [exit.Wrong] if none is in the chain, and [exit.Failed] if all stored
// heights are above the tip. A database without hashes belongs to any chain. The genesis
// block proves nothing: all chains of a test network have the same.
func SameChain(ctx context.Context, c *bitcoin.Client, db *reorgdb.DB, path string) error {
	highest, any, err := db.HighestBlock()
	if err != nil || !any {
		return err
	}
	info, err := c.ChainInfo(ctx)
	if err != nil {
		return err
	}
	lowest, err := lowestBlock(ctx, db)
	if err != nil {
		return err
	}
	if lowest.Height > uint64(info.Blocks) {
		return exit.Failf("check that the Bitcoin node is in sync and on the network of the AILEE node",
			"%s: all stored block hashes are above the tip of the Bitcoin node's chain %s, at height %d", path, info.Chain, info.Blocks)
	}
	top := min(highest.Height, uint64(info.Blocks))
	var heights []uint64
	for i := range min(latestCompared, top-lowest.Height+1) {
		heights = append(heights, top-i)
	}
	for i := range uint64(spreadCompared) {
		heights = append(heights, lowest.Height+i*((top-lowest.Height)/spreadCompared))
	}
	var others []string
	for _, height := range heights {
		stored, ok, err := db.BlockHash(height)
		if err != nil {
			return err
		}
		if !ok || height == 0 {
			continue
		}
		hash, err := c.BlockHash(ctx, int64(height))
		if err != nil && !bitcoin.AboveTip(err) {
			return err
		}
		if hash == stored {
			return nil
		}
		if bitcoin.IsHash(stored) {
			others = append(others, stored)
		}
	}
	// They may be blocks that a reorg replaced, or that are stored at counted heights.
	headers, err := c.FindBlocks(ctx, others)
	if err != nil {
		return err
	}
	for _, h := range headers {
		if h != nil {
			return nil
		}
	}
	if len(others) == 0 {
		return nil
	}
	return OtherChain(path, info.Chain)
}

func lowestBlock(ctx context.Context, db *reorgdb.DB) (reorgdb.Block, error) {
	for b, err := range db.Blocks(ctx, 0) {
		return b, err
	}
	return reorgdb.Block{}, nil
}

// OtherChain returns the error for a database without any hash of the chain.
func OtherChain(path, chain string) error {
	return exit.WrongData("check that --bitcoin-rpc is a node on the network of the AILEE node, and --db-path the right database",
		fmt.Errorf("%s: none of the stored hashes that were compared is in the chain %s: another network or another database", path, chain))
}
