// Package l2verify is the command ailee_l2_verify: the verdict of the nodes' own
// verifier on a snapshot file, byte for byte, and what only a better tool sees.
package l2verify

import (
	"context"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"ailee-recovery/internal/flags"
	"ailee-recovery/internal/tool"
)

// Name is the command's name.
const Name = "ailee_l2_verify"

// Options are the command's options.
type Options struct {
	Snapshot string // a path, or "-" for standard input
	All      bool
	Strict   bool
	flags.Checking
	AnchorTx string // transaction to prove the latest snapshot by; "" for none
	Proof    Proof
}

// Tool describes the command.
func Tool() tool.Tool {
	return tool.Tool{
		Name:    Name,
		Summary: "verify the snapshots of an AILEE node's l2_snapshots.dat",
		Description: `
   Computes the state root of the latest complete snapshot, the one a node loads,
   and checks its anchor and peg-outs. Output and exit code are those of the
   nodes' own verifier; lines of this tool's own follow them on standard error
   and start with its name. The file is only read, and may be appended to
   meanwhile.

   With --anchor-tx the latest snapshot is proven by Bitcoin: its anchor commits to
   its state root, and the transaction, in the active chain of the node at
   --bitcoin-rpc, carries just this commitment.`,
		Environment: flags.BitcoinEnvironment(),
		Files:       slices.Concat([]tool.Entry{{Name: "/var/lib/ailee/l2_snapshots.dat", Text: "where a node has its snapshots"}}, flags.BitcoinFiles()),
		Examples: `
# Is the snapshot sound that the node would load?
ailee_l2_verify --snapshot /var/lib/ailee/l2_snapshots.dat
# Which snapshots are, and which is the newest of them?
ailee_l2_verify --all --snapshot /var/lib/ailee/l2_snapshots.dat
# Is a backup any good?
zcat /mnt/backups/l2_snapshots.dat.gz | ailee_l2_verify --snapshot -
# Is the snapshot anchored in Bitcoin?
ailee_l2_verify --snapshot /var/lib/ailee/l2_snapshots.dat --anchor-tx TXID --min-confirmations 6`,
		SeeAlso:  []string{"ailee_extract_snapshots", "ailee_prune_snapshots", "ailee_reorg_verify", "ailee-monitor"},
		Required: []string{"snapshot"},
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "snapshot", Usage: "verify `FILE`, a file or pipe, or - for standard input"},
			&cli.BoolFlag{Name: "all", Usage: "verify every complete snapshot and name the newest valid one"},
			&cli.BoolFlag{Name: "strict", Usage: "fail on everything that a node passes over in silence"},
			flags.AcceptEarlierAnchors(),
			flags.MaxMemory(),
			&cli.StringFlag{Name: anchorTx, Usage: "prove the latest snapshot by the Bitcoin transaction `TXID`"},
			&cli.Int64Flag{Name: minConfirmations, Usage: "demand `N` confirmations of it", Value: 1},
			flags.ScanBlocks(),
			tool.JSONFlag,
			tool.QuietFlag,
		}, flags.BitcoinRPC()...),
		Run: func(ctx context.Context, c *cli.Context, io *tool.IO) error {
			checking, err := flags.ParseChecking(c)
			if err != nil {
				return err
			}
			o := Options{
				Snapshot: c.String("snapshot"),
				All:      c.Bool("all"),
				Strict:   c.Bool("strict"),
				Checking: checking,
				AnchorTx: strings.ToLower(c.String(anchorTx)),
			}
			if err := o.parseProof(c); err != nil {
				return tool.Fail(Name+" --help shows the usage", err)
			}
			return Run(ctx, o, io)
		},
	}
}
