package flags

import (
	"fmt"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/bitcoin/anchortx"
)

const (
	scanBlocks = "scan-blocks"
	wallet     = "wallet"
)

// Wallet names the wallet that knows the transactions.
func Wallet() urfave.Flag {
	return &urfave.StringFlag{
		Name:        wallet,
		Usage:       "ask the wallet `NAME` of the node for transactions, empty for the one without a name",
		DefaultText: "the one that is loaded",
	}
}

// ScanBlocks bounds the search for a transaction that the node cannot find by its
// id.
func ScanBlocks() urfave.Flag {
	return &urfave.Int64Flag{
		Name:  scanBlocks,
		Usage: "look through up to `N` blocks for a transaction that the node cannot find by its id",
		Value: anchortx.DefaultScan,
	}
}

// ParseFinding reads both.
func ParseFinding(c *urfave.Context) (anchortx.Options, error) {
	o := anchortx.Options{Wallet: c.String(wallet), Scan: c.Int64(scanBlocks)}
	if o.Scan < 0 {
		return o, fmt.Errorf("--%s %d is not a number of blocks", scanBlocks, o.Scan)
	}
	return o, nil
}
