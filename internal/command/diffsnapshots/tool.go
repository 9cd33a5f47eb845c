// Package diffsnapshots is the command ailee_diff_snapshots: the records in which two
// snapshots differ, and the first snapshots in which two files differ.
package diffsnapshots

import (
	"fmt"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
	"ailee-recovery/snapshot"
)

// Name is the command's name.
const Name = "ailee_diff_snapshots"

// Options are the command's options.
type Options struct {
	A, B     string             // a file, or a snapshot of one: FILE@K, FILE@latest
	Sections []snapshot.Section // the ones to compare
	flags.Checking
}

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:       Name,
		Summary:    "compare the snapshots of two AILEE nodes, or two of one",
		Arguments:  "A B",
		Positional: 2,
		Description: `
   A and B are snapshot files, or single snapshots: FILE@K is the K-th complete snapshot of
   FILE, counted from 1, and FILE@latest is the one a node loads. If only one of A and B
   names a snapshot, the latest one of the other file is used. A file whose name is the
   whole argument takes precedence.

   For two files, it compares the state roots of all snapshots. It pairs snapshots with the
   same time, or if the files have no time in common, the first with the first, the second
   with the second, and so on. For the first pair with different roots it shows the
   records that differ. For two named snapshots, it shows the records at once:

    - RECORD               only in A, as it is in the file
    + RECORD               only in B
    ~ KEY: FIELD A -> B    in both, with the fields that differ

   The records are sorted by section and key, whatever their order in the files. The counts
   for each section come last, with the difference in the amounts, B minus A. Only what the
   state root covers is compared: neither the time nor the anchor.

   The exit status is 0 if everything that was compared is the same, and 2 if not. Snapshots
   that only one file has are reported, but make no difference. Snapshots whose root or
   anchor does not hold are compared all the same, with a warning. The files are only read,
   and a node may append to them at the same time.

   With --json, each record that differs is a document on its own line, and the last line
   has the counts and the exit status.`,
		Files: []cli.Entry{{Name: "/var/lib/ailee/l2_snapshots.dat", Text: "where a node has its snapshots"}},
		Examples: `
# Since when do two nodes differ, and in what?
ailee_diff_snapshots /var/lib/ailee/l2_snapshots.dat /tmp/other/l2_snapshots.dat
# Do they agree on the state that each would load?
ailee_diff_snapshots /var/lib/ailee/l2_snapshots.dat@latest /tmp/other/l2_snapshots.dat@latest
# What changed between two snapshots of one node?
ailee_diff_snapshots /var/lib/ailee/l2_snapshots.dat@1 /var/lib/ailee/l2_snapshots.dat@2`,
		SeeAlso: []string{"ailee_show_snapshot", "ailee_l2_verify", "ailee_extract_snapshots"},
		Flags: []urfave.Flag{
			&urfave.StringFlag{Name: "section", Usage: "compare only the records of `SECTION`: balances, escrows, pegins, pegouts or tasks", DefaultText: "all"},
			flags.MaxMemory(),
			cli.JSONLinesFlag,
			cli.QuietFlag,
		},
		Run: cli.Parsed(parse, Run),
	}
}

func parse(c *urfave.Context) (o Options, err error) {
	if o.Checking, err = flags.ParseChecking(c); err != nil {
		return o, err
	}
	o.A, o.B, o.Sections = c.Args().Get(0), c.Args().Get(1), snapshot.Sections[:]
	if c.IsSet("section") {
		s, ok := snapshot.SectionNamed(c.String("section"))
		if !ok {
			return o, fmt.Errorf("--section must be balances, escrows, pegins, pegouts or tasks, not %q", c.String("section"))
		}
		o.Sections = []snapshot.Section{s}
	}
	return o, nil
}
