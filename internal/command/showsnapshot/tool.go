// Package showsnapshot is the command ailee_show_snapshot: what is in one snapshot of a
// file, record by record or summed up.
package showsnapshot

import (
	"context"
	"fmt"
	"strconv"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
	"ailee-recovery/snapshot"
)

// Name is the command's name.
const Name = "ailee_show_snapshot"

// Options are the command's options.
type Options struct {
	File   string // a path, or "-" for standard input
	Index  int64  // 0 for the snapshot that a node would load
	Anchor bool   // show the anchor
	// Sections are the sections whose records are shown; none for an overview.
	Sections []snapshot.Section
	ID       string // show only records with this id; "" for all
	Totals   bool   // show sums instead of records
	flags.Checking

	source flags.SnapshotFile // where File comes from
}

const anchorSection = "anchor"

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:      Name,
		Summary:   "show what is in a snapshot of an AILEE node's l2_snapshots.dat",
		Arguments: "[FILE]",
		Optional:  1,
		Stdin:     []string{"FILE"},
		Description: `
   Shows the latest complete snapshot of FILE, the one a node loads, or with --index
   another one: its time, state root, verdict, anchor and number of records. With
   --section, it prints the records of one section as a node reads them, one per line,
   in file order. With --id, it prints the records that have ID as one of their fields:
   a peer, a task, a peg, a transaction or an address. With --totals, it prints sums
   instead of records: of the balances, of the locked escrows, and of peg-ins and
   peg-outs by status. FILE may be a pipe, or - for standard input. Without it, the
   node's file is read, and a line on standard error says which one. FILE is only read,
   and a node may append to it at the same time.

   The snapshot is verified first. One that ailee_l2_verify rejects is shown all the
   same, with an error on standard error and exit status 2. If no record has ID, the
   exit status is 1. A snapshot whose state root cannot be computed in the allowed
   memory is shown, with exit status 1.

   With --json, each record is a document on its own line. The first line describes the
   snapshot, and the last one has the number of records and the exit status.`,
		Environment: []cli.Entry{flags.SnapshotFileEnvironment()},
		Files:       []cli.Entry{{Name: "/var/lib/ailee/l2_snapshots.dat", Text: "where a node has its snapshots"}},
		Examples: `
# Which state would the node load?
ailee_show_snapshot /var/lib/ailee/l2_snapshots.dat
# What does this peer have in it?
ailee_show_snapshot --id 12D3KooWc546fce20212c4c6ff70e43d8940d762536b9a92c376 /var/lib/ailee/l2_snapshots.dat
# What is locked, and what does the bridge still have to do?
ailee_show_snapshot --totals /var/lib/ailee/l2_snapshots.dat
# The escrows of an earlier snapshot, for a script
ailee_show_snapshot --index 1 --section escrows --json /var/lib/ailee/l2_snapshots.dat`,
		SeeAlso: []string{"ailee_diff_snapshots", "ailee_l2_verify", "ailee_extract_snapshots", "ailee_reorg_show"},
		Flags: []urfave.Flag{
			&urfave.StringFlag{Name: "index", Usage: "show snapshot `K`, counted from 1, the oldest", DefaultText: "the latest"},
			&urfave.StringFlag{Name: "section", Usage: "show the records of `SECTION`: balances, escrows, pegins, pegouts or tasks; or anchor"},
			&urfave.StringFlag{Name: "id", Usage: "show only records that have `ID` as one of their fields, such as a peer, a task or a peg"},
			&urfave.BoolFlag{Name: "totals", Usage: "show sums instead of records"},
			flags.AcceptEarlierAnchors(),
			flags.MaxMemory(),
			cli.JSONLinesFlag,
			cli.QuietFlag,
		},
		Run: cli.Parsed(parse, func(ctx context.Context, o Options, out *cli.IO) error {
			o.source.Say(out)
			return Run(ctx, o, out)
		}),
	}
}

func parse(c *urfave.Context) (o Options, err error) {
	if o.Checking, err = flags.ParseChecking(c); err != nil {
		return o, err
	}
	if o.source, err = flags.ParseSnapshotFile(c, ""); err != nil {
		return o, err
	}
	o.File, o.ID, o.Totals = o.source.Path, c.String("id"), c.Bool("totals")
	if c.IsSet("index") {
		if o.Index, err = strconv.ParseInt(c.String("index"), 10, 64); err != nil || o.Index < 1 {
			return o, fmt.Errorf("--index %q is not a snapshot number, counted from 1", c.String("index"))
		}
	}
	if c.IsSet("id") && o.ID == "" {
		return o, fmt.Errorf("--id is empty")
	}
	switch name := c.String("section"); {
	case name == anchorSection && (o.ID != "" || o.Totals):
		return o, fmt.Errorf("--section %s cannot be used with --id or --totals", name)
	case name == anchorSection:
		o.Anchor = true
	case c.IsSet("section"):
		s, ok := snapshot.SectionNamed(name)
		if !ok {
			return o, fmt.Errorf("--section must be balances, escrows, pegins, pegouts, tasks or %s, not %q", anchorSection, name)
		}
		o.Sections = []snapshot.Section{s}
	case o.ID != "" || o.Totals:
		o.Sections = snapshot.Sections[:]
	}
	return o, nil
}
