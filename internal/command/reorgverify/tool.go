// Package reorgverify is the command ailee_reorg_verify: everything in the reorg
// database read and checked, also beside a running node.
package reorgverify

import (
	"context"
	"fmt"
	"slices"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/anchortx"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
	"ailee-recovery/internal/exit"
)

// Name is the command's name.
const Name = "ailee_reorg_verify"

// Options are the command's options.
type Options struct {
	DBPath   string
	Recent   int    // how many reorgs to print
	Snapshot string // cross-check with this snapshot file; "" for none
	flags.Checking

	Bitcoin *bitcoin.Options // the node to compare with; nil for none
	Find    anchortx.Options
}

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:      Name,
		Summary:   "check an AILEE node's reorg database",
		Arguments: "[FILE]",
		Optional:  1,
		Description: `
   Opens the database, reads every record with its checksum, prints the recent
   reorgs and the anchors by status, and checks that the records agree: what no
   node could read, keys that disagree with their records, the event counter,
   damage in tables and in the write-ahead log, and zeros that a power cut left
   at its end. With FILE, a snapshot file, also that the
   latest snapshot's anchor and those that its peg-outs name are recorded and not
   invalidated; how many of all anchors of the file have no record is a warning, since
   what was never broadcast has none. The database is only read, and a node may be
   running.

   Where a Bitcoin node is named, with --bitcoin-rpc or BITCOIN_RPC_URL, also that
   every block hash is that of the active chain, and that the transaction of every
   confirmed anchor is in it, at the height recorded, and carries the commitment.`,
		Environment: flags.BitcoinEnvironment(),
		Files:       slices.Concat([]cli.Entry{{Name: "/var/lib/ailee/reorg_db/", Text: "where a node has its reorg database"}}, flags.BitcoinFiles()),
		Examples: `
# Is the database sound?
ailee_reorg_verify --db-path /var/lib/ailee/reorg_db
# Does it agree with the snapshot file?
ailee_reorg_verify --db-path /var/lib/ailee/reorg_db --recent 0 --snapshot /var/lib/ailee/l2_snapshots.dat
# Does it agree with Bitcoin?
ailee_reorg_verify --db-path /var/lib/ailee/reorg_db --recent 0 --bitcoin-rpc http://localhost:8332`,
		SeeAlso:  []string{"ailee_resync_blocks", "ailee_init_reorg_db", "ailee_l2_verify"},
		Required: []string{"db-path"},
		Flags: append([]urfave.Flag{
			flags.DBPath("check the database in `DIR`"),
			&urfave.IntFlag{Name: "recent", Usage: "print the last `N` reorgs", Value: 10},
			&urfave.StringFlag{Name: "snapshot", Usage: "check that `FILE` agrees with the database; --snapshot may be left out"},
			flags.MaxMemory(),
			flags.Wallet(),
			flags.ScanBlocks(),
			cli.JSONFlag,
			cli.QuietFlag,
		}, flags.BitcoinRPC()...),
		Run: func(ctx context.Context, c *urfave.Context, out *cli.IO) error {
			checking, err := flags.ParseChecking(c)
			if err != nil {
				return err
			}
			o := Options{DBPath: flags.ParseDBPath(c), Recent: c.Int("recent"), Checking: checking}
			if c.IsSet("snapshot") || c.Args().Present() {
				file, err := flags.ParseSnapshotFile(c, "snapshot")
				if err != nil {
					return exit.Fail(Name+" --help shows the usage", err) // wrong flags or arguments
				}
				o.Snapshot = file.Path
			}
			if o.Recent < 0 {
				return exit.Fail(Name+" --help shows the usage", fmt.Errorf("--recent %d is not a number of reorgs", o.Recent))
			}
			node, given, err := flags.ParseBitcoinRPC(c)
			if err != nil {
				return err
			}
			if given {
				o.Bitcoin = &node
			}
			if o.Find, err = flags.ParseFinding(c); err != nil {
				return err
			}
			return Run(ctx, o, out)
		},
	}
}
