package flags

import (
	"fmt"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/bitcoin/anchortx"
)

const scanBlocks = "scan-blocks"

// ScanBlocks bounds the search for a transaction that the node cannot find by its
// id.
func ScanBlocks() urfave.Flag {
	return &urfave.Int64Flag{
		Name:  scanBlocks,
		Usage: "look through up to `N` blocks for a transaction that the node cannot find by its id",
		Value: anchortx.DefaultScan,
	}
}

// ParseScanBlocks reads it.
func ParseScanBlocks(c *urfave.Context) (int64, error) {
	n := c.Int64(scanBlocks)
	if n < 0 {
		return 0, fmt.Errorf("--%s %d is not a number of blocks", scanBlocks, n)
	}
	return n, nil
}
