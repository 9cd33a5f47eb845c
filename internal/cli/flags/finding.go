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

// Wallet is the flag for the wallet that knows the transactions.
func Wallet() urfave.Flag {
	return &urfave.StringFlag{
		Name:        wallet,
		Usage:       "ask the node's wallet `NAME` for transactions, empty for the wallet without a name",
		DefaultText: "the loaded wallet",
	}
}

// ScanBlocks is the flag that bounds the search for a transaction that the node cannot find
// by its id.
func ScanBlocks() urfave.Flag {
	return &urfave.Int64Flag{
		Name:  scanBlocks,
		Usage: "search up to `N` blocks for a transaction that the node cannot find by its id",
		Value: anchortx.DefaultScan,
	}
}

// ParseFinding reads the flags of [Wallet] and [ScanBlocks].
func ParseFinding(c *urfave.Context) (anchortx.Options, error) {
	o := anchortx.Options{Wallet: c.String(wallet), Scan: c.Int64(scanBlocks)}
	if o.Scan < 0 {
		return o, fmt.Errorf("--%s %d is not a number of blocks", scanBlocks, o.Scan)
	}
	return o, nil
}
