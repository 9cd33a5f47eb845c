// Package extractsnapshots is the command ailee_extract_snapshots, which writes each
// complete snapshot of a file to its own file.
package extractsnapshots

import (
	"fmt"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
)

// Name is the command's name.
const Name = "ailee_extract_snapshots"

// The formats.
const (
	FormatDat  = "dat"
	FormatJSON = "json"
)

// Options are the command's options.
type Options struct {
	File, Dir   string
	Index       flags.Range // what to extract
	Last        int64       // only the last N; 0 for no limit
	NewestValid bool        // only the newest valid one
	Salvage     bool        // also those that torn lines hide
	Format      string      // FormatDat or FormatJSON
	Force       bool        // replace existing files
	DryRun      bool
	flags.Checking
}

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:       Name,
		Summary:    "write each complete snapshot of a file to its own file",
		Arguments:  "FILE DIR",
		Positional: 2,
		Description: `
   Writes each complete snapshot of FILE to its own file, from DIR/snapshot_1.dat,
   the oldest, to DIR/snapshot_<n>.dat, the latest. Each file has exactly the bytes
   of the snapshot (a missing last newline is added) and verifies as it does in
   FILE. FILE is only read, and a node may append to it meanwhile. Existing files
   in DIR are not replaced without --force, and links in it are not followed. All
   files are on disk before the first one gets its name. When run as root, it
   writes as the owner of DIR.`,
		Files: []cli.Entry{
			{Name: "DIR/snapshot_<n>.dat", Text: "the n-th complete snapshot of FILE, with --format json snapshot_<n>.json"},
			{Name: "DIR/salvaged_<k>.dat", Text: "the k-th snapshot that a torn line hides, with --salvage"},
			{Name: ".DIR.ailee-tmp", Text: "a new DIR until it is complete; the next run removes what a killed one left"},
		},
		Examples: `
# Go back to the newest snapshot that verifies
ailee_extract_snapshots --newest-valid /var/lib/ailee/l2_snapshots.dat /tmp/newest/
# Extract every snapshot
ailee_extract_snapshots /var/lib/ailee/l2_snapshots.dat /tmp/snapshots/
# Extract the newest state that verifies as JSON, to anchor it again
ailee_extract_snapshots --newest-valid --format json /var/lib/ailee/l2_snapshots.dat /tmp/states/`,
		SeeAlso: []string{"ailee_l2_verify", "ailee_prune_snapshots", "ailee_recover_snapshots", "ailee_create_anchor"},
		Flags: []urfave.Flag{
			&urfave.Int64Flag{Name: "last", Usage: "extract only the last `N` snapshots", DefaultText: "all of them"},
			&urfave.StringFlag{Name: "index", Usage: "extract only snapshot `K`, or those from A to B with A-B"},
			&urfave.BoolFlag{Name: "newest-valid", Usage: "extract only the newest snapshot that verifies"},
			&urfave.BoolFlag{Name: "salvage", Usage: "also extract sound snapshots that a torn line hides from nodes, as salvaged_<k>"},
			&urfave.StringFlag{Name: "format", Usage: "write `FORMAT`: dat, or json for the state file of ailee_create_anchor", Value: FormatDat},
			&urfave.BoolFlag{Name: "force", Usage: "replace existing files"},
			&urfave.BoolFlag{Name: "dry-run", Usage: "show what would be written, write nothing"},
			flags.AcceptEarlierAnchors(),
			flags.MaxMemory(),
			cli.JSONFlag,
			cli.QuietFlag,
		},
		Run: cli.Parsed(options, Run),
	}
}

func options(c *urfave.Context) (Options, error) {
	o := Options{
		File:        c.Args().Get(0),
		Dir:         c.Args().Get(1),
		Index:       flags.All,
		Last:        c.Int64("last"),
		NewestValid: c.Bool("newest-valid"),
		Salvage:     c.Bool("salvage"),
		Format:      c.String("format"),
		Force:       c.Bool("force"),
		DryRun:      c.Bool("dry-run"),
	}
	var err error
	if o.Checking, err = flags.ParseChecking(c); err != nil {
		return o, err
	}
	chosen := 0
	for _, flag := range []string{"last", "index", "newest-valid"} {
		if c.IsSet(flag) {
			chosen++
		}
	}
	switch {
	case chosen > 1:
		return o, fmt.Errorf("only one of --last, --index and --newest-valid can be given")
	case c.IsSet("last") && o.Last < 1:
		return o, fmt.Errorf("--last %d must be at least 1", o.Last)
	case o.Format != FormatDat && o.Format != FormatJSON:
		return o, fmt.Errorf("--format %q must be dat or json", o.Format)
	case c.IsSet("index"):
		o.Index, err = flags.ParseRange(c.String("index"))
	}
	return o, err
}
