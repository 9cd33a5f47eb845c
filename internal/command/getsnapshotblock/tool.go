// Package getsnapshotblock is the command ailee_get_snapshot_block: which Bitcoin
// block the latest snapshot of a file belongs to, and how far the chain has
// advanced since.
package getsnapshotblock

import (
	"context"
	"errors"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
)

// Name is the command's name.
const Name = "ailee_get_snapshot_block"

// Options are the command's options.
type Options struct {
	File    string           // a path, or "-" for standard input
	DBPath  string           // "" for reorg_db next to File
	Bitcoin *bitcoin.Options // nil: no node is asked
	// MaxDivergence is how many blocks the tip may be ahead, -1 for any number.
	MaxDivergence int64
	flags.Checking

	source flags.SnapshotFile // where File comes from
}

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:      Name,
		Summary:   "print the Bitcoin block height of the latest snapshot",
		Arguments: "[FILE]",
		Optional:  1,
		Stdin:     []string{"FILE"},
		Description: `
   Prints one integer, from the first source that knows:
     1. btc_height= in the metadata of the snapshot's anchor, if the anchor
        holds and its hash covers the metadata
     2. the anchor's record in the reorg database
     3. with --bitcoin-rpc, or BITCOIN_RPC_URL, an estimate: the last block whose
        median time is not after the snapshot's time
   FILE may be a pipe, or - for standard input. Without it, the node's file is read,
   and a line on standard error says which one. File and database are only read, and
   the node may be running. With a Bitcoin node, there is a warning if the stored block
   hash is not the one in the chain.`,
		Environment: append([]cli.Entry{flags.SnapshotFileEnvironment()}, flags.BitcoinEnvironment()...),
		Files:       flags.BitcoinFiles(),
		Examples: `
# Which block does the latest snapshot belong to?
ailee_get_snapshot_block /var/lib/ailee/l2_snapshots.dat
# Has the chain advanced too far since?
ailee_get_snapshot_block --bitcoin-rpc http://localhost:8332 --max-divergence 100 /var/lib/ailee/l2_snapshots.dat`,
		SeeAlso: []string{"ailee_resync_blocks", "ailee_l2_verify"},
		Flags: append([]urfave.Flag{
			flags.DBPath("look the anchor up in the reorg database `DIR`, not in reorg_db next to FILE"),
			&urfave.Int64Flag{Name: "max-divergence", Usage: "exit with status 2 when the Bitcoin node's tip is more than `N` blocks ahead", DefaultText: "any number"},
			flags.MaxMemory(),
			cli.JSONFlag,
			&urfave.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print the height and errors only"},
		}, flags.OptionalBitcoinRPC()...),
		Run: cli.Parsed(parse, func(ctx context.Context, o Options, out *cli.IO) error {
			o.source.Say(out)
			return Run(ctx, o, out)
		}),
	}
}

func parse(c *urfave.Context) (Options, error) {
	checking, err := flags.ParseChecking(c)
	if err != nil {
		return Options{}, err
	}
	node, given, err := flags.ParseBitcoinRPC(c)
	if err != nil {
		return Options{}, err
	}
	file, err := flags.ParseSnapshotFile(c, "")
	if err != nil {
		return Options{}, err
	}
	o := Options{File: file.Path, source: file, DBPath: flags.ParseDBPath(c), MaxDivergence: -1, Checking: checking}
	if given {
		o.Bitcoin = &node
	}
	if c.IsSet("max-divergence") {
		o.MaxDivergence = c.Int64("max-divergence")
		if o.MaxDivergence < 0 {
			return Options{}, errors.New("--max-divergence must not be negative")
		}
		if !given {
			return Options{}, errors.New("--max-divergence needs a Bitcoin node: --bitcoin-rpc URL")
		}
	}
	return o, nil
}
