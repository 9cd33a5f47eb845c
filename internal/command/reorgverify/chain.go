package reorgverify

import (
	"context"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/anchortx"
	"ailee-recovery/reorgdb"
)

// compareRun bounds how many stored hashes are held to be compared.
const compareRun = 50_000

// onChain is what comparing with a Bitcoin node shows.
type onChain struct {
	tip             int64
	compared        uint64 // block hashes
	different       uint64
	lowestDifferent int64 // height
	confirmed       int   // anchors
	proven          int
}

// compareChain compares everything that is stored with the active chain of a node:
// the block hashes, and the confirmed anchors with their transactions.
func (s *survey) compareChain(ctx context.Context, o Options, c *bitcoin.Client, db *reorgdb.DB) error {
	info, err := c.ChainInfo(ctx)
	if err != nil {
		return err
	}
	if info.InitialBlockDownload {
		s.add(noAnswer, false, "the Bitcoin node is still loading blocks: it is at height %d", info.Blocks)
	}
	s.chain = &onChain{tip: info.Blocks}
	if err := s.compareBlocks(ctx, c, db); err != nil {
		return err
	}
	return s.proveAnchors(ctx, o, c, db)
}

// compareBlocks asks for the hashes of heights that follow on each other together.
func (s *survey) compareBlocks(ctx context.Context, c *bitcoin.Client, db *reorgdb.DB) error {
	var run []reorgdb.Block
	compare := func() error {
		if len(run) == 0 {
			return nil
		}
		first := int64(run[0].Height)
		err := c.BlockHashes(ctx, first, first+int64(len(run))-1, func(height int64, hash string) error {
			s.chain.compared++
			if stored := run[height-first].Hash; stored != hash {
				if s.chain.different++; s.chain.different == 1 {
					s.chain.lowestDifferent = height
				}
				s.add(wrongHash, true, "the block hash at height %d is %q, in the active chain it is %s", height, stored, hash)
			}
			return nil
		})
		run = run[:0]
		return err
	}
	for b, err := range db.Blocks(ctx, 0) {
		if err != nil {
			return err
		}
		if b.Height > uint64(s.chain.tip) {
			break // counted below
		}
		if n := len(run); n == compareRun || n > 0 && b.Height != run[n-1].Height+1 {
			if err := compare(); err != nil {
				return err
			}
		}
		run = append(run, b)
	}
	if err := compare(); err != nil {
		return err
	}
	if above := s.blocks - s.chain.compared; above > 0 {
		s.add(noAnswer, false, "%d block hash(es) up to height %d are above the Bitcoin node's tip at %d", above, s.highest, s.chain.tip)
	}
	return nil
}

// proveAnchors looks for the transaction of every confirmed anchor.
func (s *survey) proveAnchors(ctx context.Context, o Options, c *bitcoin.Client, db *reorgdb.DB) error {
	var anchors []reorgdb.Anchor
	var wanted []anchortx.Wanted
	for a, err := range db.Anchors(ctx) {
		if err != nil {
			return err
		}
		if a.Status != reorgdb.Confirmed {
			continue
		}
		s.chain.confirmed++
		if !anchortx.IsTxID(a.BitcoinTxID) {
			s.add(notAnchored, true, "anchor %s is confirmed, but its record names no transaction: %q", a.Hash, a.BitcoinTxID)
			continue
		}
		anchors = append(anchors, a.Anchor)
		wanted = append(wanted, anchortx.ForRecord(a.BitcoinTxID, a.BitcoinHeight, a.BroadcastTime))
	}
	found, err := anchortx.Find(ctx, c, wanted, o.ScanBlocks)
	if err != nil {
		return err
	}
	for i, f := range found {
		switch a := anchors[i]; {
		case f.State == anchortx.Unknown:
			s.add(noAnswer, false, "transaction %s of the confirmed anchor %s %s", a.BitcoinTxID, a.Hash, f)
		case f.State != anchortx.Mined:
			s.add(notAnchored, true, "transaction %s of the confirmed anchor %s is %s", a.BitcoinTxID, a.Hash, f)
		case !anchortx.CarriesAnchor(f.Tx, a.Hash, a.L2StateRoot):
			s.add(notCommitted, true, "transaction %s does not carry the commitment of anchor %s", a.BitcoinTxID, a.Hash)
		case uint64(f.Height) != a.BitcoinHeight:
			s.add(wrongHeight, true, "anchor %s is recorded at height %d, its transaction %s is %s", a.Hash, a.BitcoinHeight, a.BitcoinTxID, f)
		default:
			s.chain.proven++
		}
	}
	return nil
}
