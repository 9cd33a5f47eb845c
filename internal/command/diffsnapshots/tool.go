// Package diffsnapshots is the command ailee_diff_snapshots: in which records two snapshots
// differ, and from which snapshot on two files do.
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
	Sections []snapshot.Section // those that are compared
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
   A and B are snapshot files, or one snapshot of a file each: FILE@K is the K-th complete
   one, counted from 1, FILE@latest the one a node loads. Where only one of them names a
   snapshot, the latest of the other file is meant. An existing file of just this name is
   taken first.

   Of two files it compares the state roots of all snapshots: of those with the same time,
   or where no time is in both, of the first with the first, the second with the second,
   and so on. Of the first two with different roots it shows the records, and so it does
   of two snapshots that are named:

    - RECORD               only in A, as it stands in the file
    + RECORD               only in B
    ~ KEY: FIELD A -> B    in both, with the fields that differ

   The records are sorted by section and key, in whichever order the files have them. The
   numbers of each section come last, with what the amounts in B are more or less. What
   is compared is what the state root covers: not the time, and not the anchor.

   The exit status is 0 where all that was compared is the same, 2 where it is not. That
   a file has snapshots that the other lacks is said, and makes no difference. Snapshots
   whose root or anchor does not hold are compared all the same, and that is said. The
   files are only read, and may be appended to meanwhile.

   With --json each record that differs is a document of its own, one a line, and the last
   line has the numbers and the exit status.`,
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
			&urfave.StringFlag{Name: "section", Usage: "compare only the records of `SECTION`: balances, escrows, pegins, pegouts or tasks", DefaultText: "all of them"},
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
			return o, fmt.Errorf("--section %q is none of balances, escrows, pegins, pegouts and tasks", c.String("section"))
		}
		o.Sections = []snapshot.Section{s}
	}
	return o, nil
}
