package flags

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"ailee-recovery/internal/anchortx"
)

const scanBlocks = "scan-blocks"

// ScanBlocks bounds the search for a transaction that the node cannot find by its
// id.
func ScanBlocks() cli.Flag {
	return &cli.Int64Flag{
		Name:  scanBlocks,
		Usage: "look through up to `N` blocks for a transaction that the node cannot find by its id",
		Value: anchortx.DefaultScan,
	}
}

// ParseScanBlocks reads it.
func ParseScanBlocks(c *cli.Context) (int64, error) {
	n := c.Int64(scanBlocks)
	if n < 0 {
		return 0, fmt.Errorf("--%s %d is not a number of blocks", scanBlocks, n)
	}
	return n, nil
}
