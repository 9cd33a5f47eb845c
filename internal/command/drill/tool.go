// Package drill is the command ailee-drill: it drills the recovery of a node on its own data,
// with the operator's tools.
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
	// What is damaged in the mode Corruption.
	CorruptSnapshot, CorruptDB bool
	// Tools is the folder that is searched for the tools first, "" for none.
	Tools string
	// Among reports whether this program is also the tool with this name.
	Among func(name string) bool
}

const (
	defaultReorgDepth = 3
	maxReorgDepth     = 100
)

// Tool describes the command, as a separate program.
func Tool() cli.Tool { return Among(func(string) bool { return false }) }

// Among describes the command in a program that is several tools, depending on the name by which
// it is called. among reports whether it is the tool with a name.
func Among(among func(name string) bool) cli.Tool {
	return cli.Tool{
		Name:    Name,
		Summary: "drill the recovery of an AILEE node, on its own data",
		Description: `
   Makes a data directory, breaks it, recovers it with the tools and checks the
   result, with a line for each step. It never touches a directory that it did not
   make. The recovery guide calls it test_recovery.sh, which is another name for it.

      crash       appends to the snapshot file are cut off, and writers of the
                  database are killed at various moments
      reorg       Bitcoin replaces blocks while the node is down
      corruption  the snapshot file, the database or both are damaged

   It uses a chain of bitcoind or btcd in regression test mode if one of them is on
   PATH, else a made-up chain. At the end it runs ailee-doctor, if that is installed:
   its verdict is the last line, and its exit status that of the drill. Tools are
   taken from the folder of ailee-drill, from the same program, or else from PATH.`,
		Environment: []cli.Entry{
			{Name: toolsVariable, Text: "the folder that is searched for the ailee tools first"},
			{Name: "TMPDIR", Text: "where the temporary folder is made instead of /tmp"},
		},
		Files: []cli.Entry{
			{Name: marker, Text: "marks a folder that a drill made: only such a folder is used again"},
		},
		Examples: `
# Crashes during writes; the data of the drill stays in /tmp/ailee_test
ailee-drill --mode crash --data-dir /tmp/ailee_test | tail -n 1
# Bitcoin replaces three blocks
ailee-drill --mode reorg --reorg-depth 3 | sed '/^ok      back up$/,$d'
# The latest snapshot is changed, then the file is emptied
ailee-drill --mode corruption --corrupt-snapshot`,
		SeeAlso:  []string{"ailee-backup", "ailee-restore", "ailee_l2_verify", "ailee_reorg_verify"},
		Required: []string{"mode"},
		Flags: []urfave.Flag{
			&urfave.StringFlag{Name: "mode", Usage: "drill `MODE`: crash, reorg or corruption"},
			// The node's own directory, in AILEE_DATA_DIR, must not be the default here.
			&urfave.StringFlag{Name: "data-dir", Usage: "make the data in `DIR` and leave it there; DIR must be missing, empty or from an earlier drill",
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

// toolsVariable is the environment variable that names the folder of the tools.
const toolsVariable = "AILEE_BIN"

func parse(c *urfave.Context) (Options, error) {
	o := Options{Mode: Mode(c.String("mode")), DataDir: c.String("data-dir"), ReorgDepth: c.Int64("reorg-depth"),
		CorruptSnapshot: c.Bool("corrupt-snapshot"), CorruptDB: c.Bool("corrupt-db"), Tools: os.Getenv(toolsVariable)}
	switch {
	case !slices.Contains([]Mode{Crash, Reorg, Corruption}, o.Mode):
		return o, fmt.Errorf("--mode %s is not crash, reorg or corruption", o.Mode)
	case c.IsSet("reorg-depth") && o.Mode != Reorg:
		return o, fmt.Errorf("--reorg-depth can only be used with --mode reorg")
	case o.ReorgDepth < 1 || o.ReorgDepth > maxReorgDepth:
		return o, fmt.Errorf("--reorg-depth %d is not a number from 1 to %d", o.ReorgDepth, maxReorgDepth)
	case (o.CorruptSnapshot || o.CorruptDB) && o.Mode != Corruption:
		return o, fmt.Errorf("--corrupt-snapshot and --corrupt-db can only be used with --mode corruption")
	}
	if !o.CorruptSnapshot && !o.CorruptDB {
		o.CorruptSnapshot, o.CorruptDB = true, true
	}
	return o, nil
}

// ofTheNode reports whether an environment variable is about the node on this machine or its
// Bitcoin node: a drill has its own.
func ofTheNode(variable string) bool {
	return strings.HasPrefix(variable, "BITCOIN_") ||
		slices.ContainsFunc([]string{"AILEE_DATA_DIR=", "AILEE_BACKUP_DIR=", "AILEE_DB_PATH="}, func(name string) bool { return strings.HasPrefix(variable, name) })
}
