package reorgtool

import (
	"context"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
)

// Since February 2026 the block listener of the nodes counts the blocks that it sees,
// starting at 1 in each process, and stores the count as the height. Such a database has a
// range of low heights with hashes that belong to higher heights of the chain.

// Counted is a stored block whose height is such a count.
type Counted struct {
	reorgdb.Block
	// ChainHeight is the block's height in the active chain, 0 if it is no longer there.
	ChainHeight uint64
}

// lookUp is how many blocks are looked up at a time. After that many blocks without one at
// a counted height, the search ends.
const lookUp = 1000

// FindCounted returns those of the blocks whose heights are counts. The caller passes blocks
// with hashes that differ from the chain's, in the order of their heights. A single block
// counts only at height 1, where counts begin. Blocks that are no longer in the chain count
// only where at least as many in the same range are. FindCounted stops after a look-up that
// finds none: on another network no block is known.
func FindCounted(ctx context.Context, c *bitcoin.Client, blocks []reorgdb.Block) ([]Counted, error) {
	var found []Counted
	for len(blocks) > 0 {
		n := min(len(blocks), lookUp)
		counted, err := findCounted(ctx, c, blocks[:n])
		if err != nil || len(counted) == 0 {
			return found, err
		}
		found = append(found, counted...)
		blocks = blocks[n:]
	}
	return found, nil
}

func findCounted(ctx context.Context, c *bitcoin.Client, blocks []reorgdb.Block) ([]Counted, error) {
	var hashes []string
	for _, b := range blocks {
		if bitcoin.IsHash(b.Hash) {
			hashes = append(hashes, b.Hash)
		}
	}
	headers, err := c.FindBlocks(ctx, hashes)
	if err != nil {
		return nil, err
	}
	var found, row []Counted
	inChain := 0
	end := func() {
		if (inChain > 1 || inChain == 1 && row[0].Height == 1) && 2*inChain >= len(row) {
			found = append(found, row...)
		}
		row, inChain = nil, 0
	}
	for _, b := range blocks {
		if len(row) > 0 && row[len(row)-1].Height+1 != b.Height {
			end()
		}
		if !bitcoin.IsHash(b.Hash) {
			end()
			continue
		}
		h := headers[0]
		headers = headers[1:]
		switch {
		case h == nil || h.Confirmations < 1:
			row = append(row, Counted{Block: b})
		case uint64(h.Height) > b.Height:
			row = append(row, Counted{Block: b, ChainHeight: uint64(h.Height)})
			inChain++
		default:
			end()
		}
	}
	end()
	return found, nil
}

// CountedRange is a range of counted heights with blocks that are consecutive in the chain,
// too.
type CountedRange struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"` // included
	// The heights of the blocks in the chain, both included. They are missing if the blocks
	// are no longer in the chain.
	ChainFrom uint64 `json:"chain_from,omitempty"`
	ChainTo   uint64 `json:"chain_to,omitempty"`
}

func (r CountedRange) String() string {
	if r.ChainFrom == 0 {
		return "what is stored at " + Heights(r.From, r.To) + " is no longer in the chain"
	}
	return "what is stored at " + Heights(r.From, r.To) + " is at " + Heights(r.ChainFrom, r.ChainTo) + " of the chain"
}

// CountedRanges puts consecutive blocks together to ranges.
func CountedRanges(counted []Counted) []CountedRange {
	ranges := []CountedRange{}
	for _, b := range counted {
		if n := len(ranges); n > 0 && ranges[n-1].extend(b) {
			continue
		}
		ranges = append(ranges, CountedRange{b.Height, b.Height, b.ChainHeight, b.ChainHeight})
	}
	return ranges
}

func (r *CountedRange) extend(b Counted) bool {
	switch {
	case b.Height != r.To+1:
		return false
	case b.ChainHeight == 0 && r.ChainTo == 0:
	case b.ChainHeight == 0 || r.ChainTo == 0 || b.ChainHeight != r.ChainTo+1:
		return false
	default:
		r.ChainTo++
	}
	r.To++
	return true
}

// CountedWhy explains counted heights in messages.
const CountedWhy = "the node stored the number of blocks that it had seen in place of the height"

// RepairHint names the command that corrects counted heights.
func RepairHint(path string) string {
	return "stop the node and move the hashes to their heights: " + exit.Command("ailee_resync_blocks", "--repair-heights", "--db-path", path)
}

// Different is a stored block whose hash is not the one in the active chain.
type Different struct {
	reorgdb.Block
	Chain string // the hash at this height in the active chain
}

// compareRun bounds how many stored hashes are held for a comparison.
const compareRun = 50_000

// CompareBlocks compares the stored hashes up to the height tip with those of the active
// chain, in ascending order, a row of consecutive heights at a time. compared is called
// for each row with the number of blocks compared, the blocks that differ, and separately
// the blocks whose heights are counts.
func CompareBlocks(ctx context.Context, c *bitcoin.Client, db *reorgdb.DB, tip int64, compared func(n int, different []Different, counted []Counted) error) error {
	var row []reorgdb.Block
	compare := func() error {
		if len(row) == 0 {
			return nil
		}
		different, counted, err := compareRow(ctx, c, row)
		if err == nil {
			err = compared(len(row), different, counted)
		}
		row = row[:0]
		return err
	}
	for b, err := range db.Blocks(ctx, 0) {
		if err != nil {
			return err
		}
		if b.Height > uint64(tip) {
			break
		}
		if n := len(row); n == compareRun || n > 0 && b.Height != row[n-1].Height+1 {
			if err := compare(); err != nil {
				return err
			}
		}
		row = append(row, b)
	}
	return compare()
}

func compareRow(ctx context.Context, c *bitcoin.Client, row []reorgdb.Block) (different []Different, counted []Counted, err error) {
	first := int64(row[0].Height)
	var blocks []reorgdb.Block
	err = c.BlockHashes(ctx, first, first+int64(len(row))-1, func(height int64, hash string) error {
		if b := row[height-first]; b.Hash != hash {
			blocks = append(blocks, b)
			different = append(different, Different{b, hash})
		}
		return nil
	})
	if err != nil || len(blocks) == 0 {
		return nil, nil, err
	}
	if counted, err = FindCounted(ctx, c, blocks); err != nil {
		return nil, nil, err
	}
	return WithoutCounted(different, counted), counted, nil
}

// WithoutCounted removes the blocks whose heights are counts. Both slices must be in
// ascending order; different is changed.
func WithoutCounted(different []Different, counted []Counted) []Different {
	kept := different[:0]
	for _, d := range different {
		if len(counted) > 0 && counted[0].Height == d.Height {
			counted = counted[1:]
			continue
		}
		kept = append(kept, d)
	}
	return kept
}
