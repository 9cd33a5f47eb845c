// Package drill is the command ailee-drill: the recovery of a node, drilled on data of its
// own with the tools of an operator.
package drill

import (
	"fmt"
	"os"
	"slices"
	"strings"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
)

// Name is the command's name.
const Name = "ailee-drill"

// Mode is what is drilled.
type Mode string

// The modes.
const (
	Crash      Mode = "crash"
	Reorg      Mode = "reorg"
	Corruption Mode = "corruption"
)

// Options are the command's options.
type Options struct {
	Mode       Mode
	DataDir    string // "" for a temporary folder
	ReorgDepth int64  // in blocks, 1 to maxReorgDepth
	// With the mode Corruption, what is damaged.
	CorruptSnapshot, CorruptDB bool
	// Tools is the folder in which the tools are looked for first, "" for none.
	Tools string
	// Among reports whether this program is a tool when it is called by its name.
	Among func(name string) bool
}

const (
	defaultReorgDepth = 3
	maxReorgDepth     = 100
)

// Tool describes the command, in a program of its own.
func Tool() cli.Tool { return Among(func(string) bool { return false }) }

// Among describes the command in a program that is other tools as well, each when it is
// called by its name, as among says.
func Among(among func(name string) bool) cli.Tool {
	return cli.Tool{
		Name:    Name,
		Summary: "drill the recovery of an AILEE node, on data of its own",
		Description: `
   Makes a data directory, breaks it, recovers it with the tools and checks the
   result, a line for each step. It never touches a directory that it did not make.
   The recovery guide calls it test_recovery.sh, which is another name for it.

      crash       appends to the snapshot file break off at any byte, writers of
                  the database are killed at any moment
      reorg       Bitcoin replaces blocks while the node is down
      corruption  the snapshot file, the database or both are damaged

   The chain is that of bitcoind or btcd in regression test mode, where one is on
   PATH, else one that is made up. At the end ailee-doctor is asked, where it is
   installed: what it says is the last line, and its exit status that of the drill.
   The tools are those beside ailee-drill, or in the same program, or else on PATH.`,
		Environment: []cli.Entry{
			{Name: toolsVariable, Text: "the folder in which the ailee tools are looked for first"},
			{Name: "TMPDIR", Text: "where the temporary folder is made, in place of /tmp"},
		},
		Files: []cli.Entry{
			{Name: marker, Text: "in a folder that a drill made: only such a folder is used again"},
		},
		Examples: `
# Crashes in the middle of writing; the data of the drill stays in /tmp/ailee_test
ailee-drill --mode crash --data-dir /tmp/ailee_test | tail -n 1
# Bitcoin replaces three blocks
ailee-drill --mode reorg --reorg-depth 3 | sed '/^ok      back up$/,$d'
# The latest snapshot is changed, then the file emptied
ailee-drill --mode corruption --corrupt-snapshot`,
		SeeAlso:  []string{"ailee-backup", "ailee-restore", "ailee_l2_verify", "ailee_reorg_verify"},
		Required: []string{"mode"},
		Flags: []urfave.Flag{
			&urfave.StringFlag{Name: "mode", Usage: "drill `MODE`: crash, reorg or corruption"},
			// The node's own directory, of AILEE_DATA_DIR, is nobody's default here.
			&urfave.StringFlag{Name: "data-dir", Usage: "make the data in `DIR`, which must be missing, empty or of an earlier drill, and leave it there",
				DefaultText: "a temporary folder"},
			&urfave.Int64Flag{Name: "reorg-depth", Usage: fmt.Sprintf("with --mode reorg, replace the last `N` blocks, 1 to %d", maxReorgDepth), Value: defaultReorgDepth},
			&urfave.BoolFlag{Name: "corrupt-snapshot", Usage: "with --mode corruption, damage the snapshot file; without this and --corrupt-db, both are damaged"},
			&urfave.BoolFlag{Name: "corrupt-db", Usage: "with --mode corruption, damage the database"},
			cli.JSONFlag,
			cli.QuietFlag,
		},
		Run: cli.Parsed(func(c *urfave.Context) (Options, error) {
			o, err := parse(c)
			o.Among = among
			return o, err
		}, Run),
	}
}

// toolsVariable names the folder of the tools.
const toolsVariable = "AILEE_BIN"

func parse(c *urfave.Context) (Options, error) {
	o := Options{Mode: Mode(c.String("mode")), DataDir: c.String("data-dir"), ReorgDepth: c.Int64("reorg-depth"),
		CorruptSnapshot: c.Bool("corrupt-snapshot"), CorruptDB: c.Bool("corrupt-db"), Tools: os.Getenv(toolsVariable)}
	switch {
	case !slices.Contains([]Mode{Crash, Reorg, Corruption}, o.Mode):
		return o, fmt.Errorf("--mode %s is not crash, reorg or corruption", o.Mode)
	case c.IsSet("reorg-depth") && o.Mode != Reorg:
		return o, fmt.Errorf("--reorg-depth goes with --mode reorg only")
	case o.ReorgDepth < 1 || o.ReorgDepth > maxReorgDepth:
		return o, fmt.Errorf("--reorg-depth %d is not a number from 1 to %d", o.ReorgDepth, maxReorgDepth)
	case (o.CorruptSnapshot || o.CorruptDB) && o.Mode != Corruption:
		return o, fmt.Errorf("--corrupt-snapshot and --corrupt-db go with --mode corruption only")
	}
	if !o.CorruptSnapshot && !o.CorruptDB {
		o.CorruptSnapshot, o.CorruptDB = true, true
	}
	return o, nil
}

// ofTheNode reports whether a variable of the environment is of the node on this machine, or
// of its Bitcoin node: a drill has its own.
func ofTheNode(variable string) bool {
	return strings.HasPrefix(variable, "BITCOIN_") ||
		slices.ContainsFunc([]string{"AILEE_DATA_DIR=", "AILEE_BACKUP_DIR=", "AILEE_DB_PATH="}, func(of string) bool { return strings.HasPrefix(variable, of) })
}
