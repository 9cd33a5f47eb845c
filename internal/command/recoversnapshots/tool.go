// Package recoversnapshots is the command ailee_recover_snapshots: every valid snapshot
// that several damaged files have between them, in one clean file.
package recoversnapshots

import (
	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
)

// Name is the command's name.
const Name = "ailee_recover_snapshots"

// Options are the command's options.
type Options struct {
	Sources     []string // oldest first
	Output      string
	DryRun      bool
	MaxUnpacked int64 // bytes that a compressed source may unpack to
	// AcceptPrunedAnchors accepts every snapshot whose own root and anchor hold, whatever its
	// peg-outs name.
	AcceptPrunedAnchors bool
	flags.Checking
}

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:       Name,
		Summary:    "recover every valid snapshot of damaged snapshot files",
		Arguments:  "SOURCE... OUT",
		Positional: 2,
		Optional:   cli.AnyNumber,
		Description: `
   Writes every valid snapshot that the SOURCEs have between them to OUT, a new file
   that verifies, once each and byte for byte. A SOURCE is a snapshot file in any
   state: the live one, a copy, a backup of ailee-backup, plain or compressed with
   gzip, what a prune that was killed left beside it. Name the oldest first. Found are
   also snapshots that nodes do not see because torn lines, zero bytes or a byte-order
   mark are on the line of their header or end. A snapshot is valid when the nodes'
   verifier says so; with --accept-earlier-anchors those with peg-outs are valid too, and
   with --accept-pruned-anchors also those whose peg-outs name anchors that a prune has
   dropped. The SOURCEs are only read. OUT is there whole or not at all, with owner and mode of the
   last SOURCE. Run as root, it writes as the user to whom OUT's folder belongs.

   The order in OUT: two snapshots of one SOURCE keep the order that they have there,
   whatever their times say, since nodes only append. Otherwise the earlier time comes
   first, and of equal times the one of the SOURCE that was named first. Where SOURCEs
   have the same snapshots in different orders, that of the one named first counts. It is
   said where the times of a SOURCE go back, and where different snapshots have the same
   time: all of them are kept.

   The exit status is 0 when OUT has all that the SOURCEs have. It is 2 when something
   was dropped, such as a torn or an invalid snapshot: OUT is there all the same, with
   all that could be recovered. It is 1 when there is no OUT, also because no SOURCE has
   a valid snapshot. --dry-run exits in the same way.

   Memory does not grow with the files. From some 10,000 snapshots on, unnamed temporary
   files in OUT's folder take up to 300 bytes for each of a SOURCE; those of compressed
   SOURCEs take what they unpack to.`,
		Files: []cli.Entry{
			{Name: ".OUT.ailee-tmp", Text: "the result until it is whole"},
			{Name: ".FILE.ailee-old-*", Text: "a SOURCE that a killed prune may have left beside FILE"},
		},
		Examples: `
# What can be had of the live file and the newest backup?
ailee_recover_snapshots --dry-run /var/lib/ailee/backups/l2_snapshots_latest.dat.bak /var/lib/ailee/l2_snapshots.dat /var/lib/ailee/recovered.dat
# Put it into one file
ailee_recover_snapshots /var/lib/ailee/backups/l2_snapshots_latest.dat.bak /var/lib/ailee/l2_snapshots.dat /var/lib/ailee/recovered.dat
# Is it sound?
ailee_l2_verify --all --snapshot /var/lib/ailee/recovered.dat`,
		SeeAlso: []string{"ailee_l2_verify", "ailee_extract_snapshots", "ailee_prune_snapshots", "ailee-restore"},
		Flags: []urfave.Flag{
			&urfave.BoolFlag{Name: "dry-run", Usage: "show what would be recovered and dropped, write nothing"},
			flags.MaxUnpacked(),
			&urfave.BoolFlag{Name: "accept-earlier-anchors", Usage: "accept a peg-out that names the anchor of an earlier snapshot in OUT whose own root and anchor hold"},
			&urfave.BoolFlag{Name: "accept-pruned-anchors", Usage: "accept a peg-out that names any anchor, as after a prune, in a snapshot whose own root and anchor hold"},
			flags.MaxMemory(),
			cli.JSONFlag,
			cli.QuietFlag,
		},
		Run: cli.Parsed(options, Run),
	}
}

func options(c *urfave.Context) (Options, error) {
	args := c.Args().Slice()
	o := Options{Sources: args[:len(args)-1], Output: args[len(args)-1], DryRun: c.Bool("dry-run")}
	var err error
	if o.MaxUnpacked, err = flags.ParseMaxUnpacked(c); err != nil {
		return o, err
	}
	o.Checking, err = flags.ParseChecking(c)
	o.AcceptPrunedAnchors = c.Bool("accept-pruned-anchors")
	o.AcceptEarlierAnchors = o.AcceptEarlierAnchors || o.AcceptPrunedAnchors
	return o, err
}
