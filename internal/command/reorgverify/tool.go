// Package reorgverify is the command ailee_reorg_verify. It reads and checks everything in
// the reorg database, even while a node is running.
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
	Recent   int    // how many reorgs to print, the newest first
	Snapshot string // the snapshot file to compare with; "" for none
	flags.Checking

	Bitcoin *bitcoin.Options // the Bitcoin node to compare with; nil for none
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
   Opens the database, reads every record and verifies its checksum, and prints the
   recent reorgs and the number of anchors by status. It finds records that no node
   could read, keys that disagree with their records, a wrong event counter, damage in
   tables and in the write-ahead log, and zeros that a power cut left at the end of the
   log. With FILE, a snapshot file, it also checks that the anchor of the latest
   snapshot, and the anchors that its peg-outs name, are recorded and not invalidated.
   It warns of anchors in the file without a record, which is no error: an anchor that
   was never broadcast has none. The database is only read, and a node may be running.

   With a Bitcoin node, named with --bitcoin-rpc or BITCOIN_RPC_URL, it also checks
   that every block hash is the one in the active chain, and that the transaction of
   every confirmed anchor is in that chain, at the recorded height, and carries the
   commitment.`,
		Environment: flags.BitcoinEnvironment(),
		Files:       slices.Concat([]cli.Entry{{Name: "/var/lib/ailee/reorg_db/", Text: "the reorg database of a node"}}, flags.BitcoinFiles()),
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
				return exit.Fail(Name+" --help shows the usage", fmt.Errorf("--recent %d: must be at least 0", o.Recent))
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
