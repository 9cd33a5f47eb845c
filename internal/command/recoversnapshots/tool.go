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
   Writes every valid snapshot that the SOURCEs have between them to OUT, a new file that
   verifies, once each and byte for byte. A SOURCE is a snapshot file in any state: the
   live file, a copy, a backup made by ailee-backup, plain or compressed with gzip or
   zstd, or a file that a killed prune left behind. Name the oldest first. It also finds
   snapshots that nodes do not see, because torn lines, zero bytes or a byte-order mark
   are on the line of their header or end. A snapshot is valid if the nodes' verifier
   accepts it. With --accept-earlier-anchors, snapshots with peg-outs are valid too; with
   --accept-pruned-anchors, also those whose peg-outs name anchors that a prune has
   dropped. The SOURCEs are only read. OUT is written completely or not at all, with the
   owner and mode of the last SOURCE. Run as root, it writes as the owner of OUT's folder.

   Two snapshots of one SOURCE keep their order in OUT, whatever their times say, since
   nodes only append. Otherwise the earlier snapshot comes first, and for equal times the
   one from the SOURCE named first. If SOURCEs have the same snapshots in different
   orders, the order in the SOURCE named first counts. There is a warning if the times in
   a SOURCE go backward, or if different snapshots have the same time: all are kept.

   The exit status is 0 if OUT has everything that the SOURCEs have. It is 2 if something
   was dropped, such as a torn or invalid snapshot: OUT is written all the same, with all
   that could be recovered. It is 1 if OUT was not written, for example because no SOURCE
   has a valid snapshot. --dry-run exits with the same status.

   Memory use does not grow with the files. With more than about 10,000 snapshots, unnamed
   temporary files in OUT's folder take up to 300 bytes for each snapshot of a SOURCE. A
   compressed SOURCE is unpacked to such a file.`,
		Files: []cli.Entry{
			{Name: ".OUT.ailee-tmp", Text: "the result until it is complete"},
			{Name: ".FILE.ailee-old-*", Text: "a SOURCE that a killed prune may have left next to FILE"},
		},
		Examples: `
# What can be recovered from the live file and the newest backup?
ailee_recover_snapshots --dry-run /var/lib/ailee/backups/l2_snapshots_latest.dat.bak /var/lib/ailee/l2_snapshots.dat /var/lib/ailee/recovered.dat
# Recover it to one file
ailee_recover_snapshots /var/lib/ailee/backups/l2_snapshots_latest.dat.bak /var/lib/ailee/l2_snapshots.dat /var/lib/ailee/recovered.dat
# Is it sound?
ailee_l2_verify --all --snapshot /var/lib/ailee/recovered.dat`,
		SeeAlso: []string{"ailee_l2_verify", "ailee_extract_snapshots", "ailee_prune_snapshots", "ailee-restore"},
		Flags: []urfave.Flag{
			&urfave.BoolFlag{Name: "dry-run", Usage: "show what would be recovered and dropped, but write nothing"},
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
