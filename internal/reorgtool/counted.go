package reorgtool

import (
	"context"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
)

// Since February 2026 the nodes' block listener counts the blocks that it sees, from 1
// on in each process, and stores the count as the height. Such a database has a row of
// low heights, the hashes of which stand at other, higher heights of the chain.

// Counted is a stored block whose height is such a count.
type Counted struct {
	reorgdb.Block
	// ChainHeight is where the block is in the active chain, 0 where it no longer is.
	ChainHeight uint64
}

// lookUp is how many blocks are asked for at a time, and how many in a row at most that
// no count explains.
const lookUp = 1000

// FindCounted returns those of the blocks whose heights are counts. The hashes must not
// be those of their heights; the heights must ascend. One block alone is only one of them
// at height 1, where counts begin, and one that is no longer in the chain where at least
// as many beside it are. It stops asking where it finds none: on another network no block
// is known.
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

// CountedRange is a range of counted heights whose blocks follow on each other in the
// chain as well.
type CountedRange struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"` // included
	// Where the blocks are in the chain. Both are missing where they no longer are.
	ChainFrom uint64 `json:"chain_from,omitempty"`
	ChainTo   uint64 `json:"chain_to,omitempty"`
}

func (r CountedRange) String() string {
	if r.ChainFrom == 0 {
		return "what is stored at " + Heights(r.From, r.To) + " is no longer in the chain"
	}
	return "what is stored at " + Heights(r.From, r.To) + " is at " + Heights(r.ChainFrom, r.ChainTo) + " of the chain"
}

// CountedRanges puts together what follows on each other.
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

// CountedWhy says what such heights are.
const CountedWhy = "the node took the number of blocks that it had seen for the height"

// RepairHint names the command that puts such heights right.
func RepairHint(path string) string {
	return "stop the node and move the hashes to their heights: " + exit.Command("ailee_resync_blocks", "--repair-heights", "--db-path", path)
}

// Different is a stored block, and the hash that its height has in the active chain.
type Different struct {
	reorgdb.Block
	Chain string
}

// compareRun bounds how many stored hashes are held to be compared.
const compareRun = 50_000

// CompareBlocks compares the stored hashes up to the tip with the active chain's, those
// of consecutive heights together, in ascending order. compared is called with the
// number of each row, the blocks in it that differ, and apart from those the blocks
// whose heights are counts.
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

// WithoutCounted leaves out the blocks whose heights are counts. Both ascend.
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
