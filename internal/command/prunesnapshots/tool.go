// Package prunesnapshots is the command ailee_prune_snapshots, which keeps the last
// snapshots of a file, byte for byte, in a new file or in place.
package prunesnapshots

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/swap"
)

// Name is the command's name.
const Name = "ailee_prune_snapshots"

// KeepAll keeps every snapshot: only bytes outside of them are dropped.
const KeepAll = math.MaxInt64

// Options are the command's options.
type Options struct {
	File               string
	Keep               int64  // how many of the last snapshots, at least 1, or KeepAll
	Output             string // "" if InPlace is set
	InPlace            bool
	DiscardNewestValid bool // continue even if an older snapshot is valid and none of the kept ones is
	DiscardHidden      bool // continue even if complete snapshots that torn lines hide are dropped
	Force              bool // replace Output if it exists
	DryRun             bool
	Watch              time.Duration // how long InPlace watches for late writers
	flags.Checking

	source flags.SnapshotFile // where File comes from
}

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:      Name,
		Summary:   "keep the last snapshots of a snapshot file",
		Arguments: "[FILE]",
		Optional:  1,
		Description: `
   Writes the last N complete snapshots of FILE, byte for byte, to OUT. What is
   not part of a complete snapshot, such as a torn tail, is dropped. With
   --in-place the result replaces FILE while a node keeps appending: at every
   instant FILE is either the whole old file or the whole new one, and what is
   appended meanwhile is carried over. Owner, mode and extended attributes stay.
   The newest valid snapshot is never pruned away unless --discard-newest-valid is
   given, nor a complete one that a torn line hides from nodes unless
   --discard-hidden is given. When run as root, it writes as the owner of the folder.

   Without FILE, the node's file is pruned, and the first line says which. With
   --in-place, FILE must be named: an unfinished command line changes nothing.

   With --in-place, a node that wants to append waits until the last appended bytes
   are copied and synced. How long does not depend on the size of FILE, and never
   exceeds the kernel's lease-break-time (45 s). A node that appends all the time may
   wait for up to five seconds. If another process renames or copies a file over FILE
   meanwhile, that file stays, and is pruned instead. --in-place is refused where a
   node could keep writing to the old file unseen: on FUSE and network file systems,
   with several hard links, and if FILE itself is a mount point. One gap remains: a
   process that the system stops for more than two seconds in the middle of opening
   FILE can lose the snapshot that it appends.`,
		Environment: []cli.Entry{flags.SnapshotFileEnvironment()},
		Files: []cli.Entry{
			{Name: ".FILE.ailee-tmp", Text: "the result until it is complete"},
			{Name: ".FILE.ailee-pruned", Text: "a line of JSON for each prune that dropped something: when, and what"},
			{Name: ".FILE.ailee-old-*", Text: "with --in-place, the replaced file, until everything appended to it is carried over; after a crash the next run completes it"},
			{Name: ".FILE.ailee-back-*", Text: "with --in-place, what was at FILE when another process had just replaced it; completed in the same way"},
		},
		Examples: `
# What would be dropped?
ailee_prune_snapshots --dry-run --file /var/lib/ailee/l2_snapshots.dat --keep 1000
# Drop a torn tail, before the node writes again
ailee_prune_snapshots --in-place --keep all --file /var/lib/ailee/l2_snapshots.dat
# Keep the last 1,000 snapshots in a new file
ailee_prune_snapshots --file /var/lib/ailee/l2_snapshots.dat --keep 1000 --output /var/lib/ailee/l2_snapshots_pruned.dat
# Make the file smaller while the node runs
ailee_prune_snapshots --in-place --keep 1000 /var/lib/ailee/l2_snapshots.dat`,
		SeeAlso:  []string{"ailee_l2_verify", "ailee_extract_snapshots", "ailee_recover_snapshots", "ailee-backup"},
		Required: []string{"keep"},
		Flags: []urfave.Flag{
			&urfave.StringFlag{Name: "file", Usage: "prune `FILE`; --file may be left out"},
			&urfave.StringFlag{Name: "keep", Usage: "keep the last `N` complete snapshots, or all"},
			&urfave.StringFlag{Name: "output", Usage: "write the result to `OUT`, and leave FILE as it is"},
			&urfave.BoolFlag{Name: "in-place", Usage: "replace FILE with the result"},
			&urfave.BoolFlag{Name: "discard-newest-valid", Usage: "prune even if no kept snapshot is valid but an older one is"},
			&urfave.BoolFlag{Name: "discard-hidden", Usage: "drop complete snapshots that torn lines hide from nodes"},
			&urfave.BoolFlag{Name: "force", Usage: "replace OUT if it exists"},
			&urfave.DurationFlag{Name: "watch", Hidden: true, Value: swap.DefaultWatch},
			&urfave.BoolFlag{Name: "dry-run", Usage: "show what would be kept and dropped, write nothing"},
			flags.AcceptEarlierAnchors(),
			flags.MaxMemory(),
			cli.JSONFlag,
			cli.QuietFlag,
		},
		Leaves: "FILE is whole at every moment: with --in-place, run it again",
		Run: cli.Parsed(options, func(ctx context.Context, o Options, out *cli.IO) error {
			o.source.Say(out)
			return Run(ctx, o, out)
		}),
	}
}

func options(c *urfave.Context) (Options, error) {
	o := Options{
		Output:             c.String("output"),
		InPlace:            c.Bool("in-place"),
		DiscardNewestValid: c.Bool("discard-newest-valid"),
		DiscardHidden:      c.Bool("discard-hidden"),
		Force:              c.Bool("force"),
		DryRun:             c.Bool("dry-run"),
		Watch:              c.Duration("watch"),
	}
	var err error
	if o.source, err = flags.ParseSnapshotFile(c, "file"); err != nil {
		return o, err
	}
	o.File = o.source.Path
	if o.Checking, err = flags.ParseChecking(c); err != nil {
		return o, err
	}
	o.Keep = KeepAll
	if keep := c.String("keep"); keep != "all" {
		if o.Keep, err = strconv.ParseInt(keep, 10, 64); err != nil || o.Keep < 1 {
			return o, fmt.Errorf("--keep %q must be \"all\" or at least 1", keep)
		}
	}
	switch {
	case o.InPlace && o.Output != "":
		return o, errors.New("only one of --output and --in-place can be given")
	case o.InPlace && !o.source.Named:
		return o, exit.Failf("name it: "+exit.Command(Name, "--in-place", "--keep", c.String("keep"), o.File),
			"--in-place needs the name of the file that it replaces")
	case !o.InPlace && o.Output == "" && !o.DryRun:
		return o, errors.New("either --output OUT or --in-place must be given")
	}
	return o, nil
}
