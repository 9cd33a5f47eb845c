// Package l2verify is the command ailee_l2_verify: the verdict of the nodes' own verifier
// on a snapshot file, byte for byte, and findings that the nodes' verifier does not report.
package l2verify

import (
	"context"
	"slices"
	"strings"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
	"ailee-recovery/internal/exit"
)

// Name is the command's name.
const Name = "ailee_l2_verify"

const junitFlag = "junit"

// Options are the command's options.
type Options struct {
	Snapshot string // a path, or "-" for standard input
	All      bool
	Failed   bool // with All, show only snapshots that did not pass
	Strict   bool
	JUnit    string // path of a report; "" if none
	flags.Checking
	AnchorTx string // transaction to prove the latest snapshot with; "" if none
	Proof    Proof
}

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:      Name,
		Summary:   "verify the snapshots of an AILEE node's l2_snapshots.dat",
		Arguments: "[FILE]",
		Optional:  1,
		Stdin:     []string{"snapshot", "FILE"},
		Description: `
   Computes the state root of the latest complete snapshot, the one a node loads,
   and checks its anchor and peg-outs. Output and exit code are those of the
   nodes' own verifier; this tool's own lines follow on standard error and start
   with its name. The file is only read, and a node may append to it meanwhile.
   Without FILE, the node's own file is verified, and the first line names it.

   With --anchor-tx the latest snapshot is proven by Bitcoin: its anchor commits to
   its state root, and the transaction, which is in the active chain of the node at
   --bitcoin-rpc, carries exactly this commitment.`,
		Environment: append([]cli.Entry{flags.SnapshotFileEnvironment()}, flags.BitcoinEnvironment()...),
		Files:       slices.Concat([]cli.Entry{{Name: "/var/lib/ailee/l2_snapshots.dat", Text: "where a node has its snapshots"}}, flags.BitcoinFiles()),
		Examples: `
# Is the snapshot that the node would load sound?
ailee_l2_verify --snapshot /var/lib/ailee/l2_snapshots.dat
# Which snapshots are sound, and which of them is the newest?
ailee_l2_verify --all --snapshot /var/lib/ailee/l2_snapshots.dat
# Is a backup any good?
zcat /mnt/backups/l2_snapshots.dat.gz | ailee_l2_verify -
# Is the snapshot anchored in Bitcoin?
ailee_l2_verify --snapshot /var/lib/ailee/l2_snapshots.dat --anchor-tx TXID --min-confirmations 6`,
		SeeAlso: []string{"ailee_extract_snapshots", "ailee_recover_snapshots", "ailee_prune_snapshots", "ailee_reorg_verify", "ailee-monitor"},
		Flags: append([]urfave.Flag{
			&urfave.StringFlag{Name: "snapshot", Usage: "verify `FILE`, a file or pipe, or - for standard input; --snapshot may be left out"},
			&urfave.BoolFlag{Name: "all", Usage: "verify every complete snapshot and name the newest valid one"},
			&urfave.BoolFlag{Name: "failed", Usage: "with --all, show only the snapshots that fail"},
			&urfave.BoolFlag{Name: "strict", Usage: "fail on anything that a node silently ignores, except a section out of order"},
			flags.AcceptEarlierAnchors(),
			flags.MaxMemory(),
			&urfave.StringFlag{Name: anchorTx, Usage: "prove the latest snapshot by the Bitcoin transaction `TXID`"},
			&urfave.Int64Flag{Name: minConfirmations, Usage: "require `N` confirmations of it", Value: 1},
			flags.Wallet(),
			flags.ScanBlocks(),
			&urfave.StringFlag{Name: junitFlag, Usage: "write a JUnit XML report to `FILE`, with one test per snapshot; an earlier report is replaced"},
			cli.JSONFlag,
			cli.QuietFlag,
		}, flags.BitcoinRPC()...),
		Run: func(ctx context.Context, c *urfave.Context, out *cli.IO) error {
			checking, err := flags.ParseChecking(c)
			if err != nil {
				return err
			}
			file, err := flags.ParseSnapshotFile(c, "snapshot")
			if err != nil {
				return exit.Fail(Name+" --help shows the usage", err) // wrong flags or arguments
			}
			o := Options{
				Snapshot: file.Path,
				All:      c.Bool("all"),
				Failed:   c.Bool("failed"),
				Strict:   c.Bool("strict"),
				JUnit:    c.String(junitFlag),
				Checking: checking,
				AnchorTx: strings.ToLower(c.String(anchorTx)),
			}
			if c.IsSet(junitFlag) && o.JUnit == "" {
				return exit.Failf(Name+" --help shows the usage", "--%s is empty", junitFlag)
			}
			if o.Failed && !o.All {
				return exit.Failf(Name+" --help shows the usage", "--failed needs --all")
			}
			if err := o.parseProof(c); err != nil {
				return exit.Fail(Name+" --help shows the usage", err) // wrong flags or arguments
			}
			file.Say(out)
			return Run(ctx, o, out)
		},
	}
}
