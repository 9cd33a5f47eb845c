// Package doctor is the command ailee-doctor: it says what is true of a data directory, and
// prints the commands that repair what is wrong.
package doctor

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
)

// Name is the command's name.
const Name = "ailee-doctor"

// Options are the command's options.
type Options struct {
	DataDir   string
	BackupDir string // "": backups in the data directory
	Unit      string
	Bitcoin   *bitcoin.Options // nil: do not ask Bitcoin
	flags.Checking
}

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:    Name,
		Summary: "say what is wrong with a node's data, and what to do",
		Description: `
   Checks everything in a data directory, its backups and, if asked, Bitcoin, and says
   for each whether it is sound, wrong, or could not be checked. Then it prints what to
   do: steps in order, with the exact commands to paste and what each of them loses, if
   anything. It only reads, and may be used while a node is running.

   What could not be checked is never a reason to repair, and no plan deletes the last
   copy of any data: what is replaced is kept. If there are several ways, the plan takes
   the one that loses least of what the data, its copies and its backups hold together,
   and names the next best. Go on to the next step when a command ends with 0, or with
   another exit status that its step expects.

   Run it as root: other users cannot see which processes have the data open. It reads
   all of the data and the newest backups. With little data it takes a minute at most.`,
		Environment: flags.BitcoinEnvironment(),
		Files: slices.Concat([]cli.Entry{
			{Name: "/var/lib/ailee/", Text: "where a node keeps its data"},
			{Name: "/var/lib/ailee/backups/", Text: "where ailee-backup keeps its backups"},
			{Name: "/var/lib/ailee/recovery_<UTC time>/", Text: "where its plans put recovered data"},
		}, flags.BitcoinFiles()),
		Examples: `
# What is wrong, and what should I do?
ailee-doctor
# The node crashed during a write: the commands of the plan, for a script
ailee-doctor --json | jq -r '.plan.steps[].command'`,
		SeeAlso: []string{"ailee-backup", "ailee-restore", "ailee-monitor", "ailee_l2_verify", "ailee_reorg_verify"},
		Flags: append([]urfave.Flag{
			flags.DataDir("check the data in `DIR`", flags.DefaultDataDir),
			flags.BackupDir("check the backups in `DIR`"),
			&urfave.StringFlag{Name: "unit", Usage: "the node's systemd service is `UNIT`", Value: defaultUnit},
			flags.MaxMemory(),
			cli.JSONFlag,
			cli.QuietFlag,
		}, flags.OptionalBitcoinRPC()...),
		Run: cli.Parsed(parse, Run),
	}
}

// defaultUnit is the node's unit unless --unit names another.
const defaultUnit = "ailee-node"

func parse(c *urfave.Context) (o Options, err error) {
	o = Options{DataDir: flags.ParseDataDir(c), BackupDir: flags.ParseBackupDir(c), Unit: strings.TrimSuffix(c.String("unit"), ".service")}
	switch {
	case o.DataDir == "":
		return o, errors.New("--data-dir is empty")
	case o.Unit == "":
		return o, errors.New("--unit is empty")
	}
	if o.DataDir, err = filepath.Abs(o.DataDir); err != nil {
		return o, err
	}
	if o.BackupDir != "" {
		if o.BackupDir, err = filepath.Abs(o.BackupDir); err != nil {
			return o, err
		}
	}
	rpc, given, err := flags.ParseBitcoinRPC(c)
	if given {
		o.Bitcoin = &rpc
	}
	if err == nil {
		o.Checking, err = flags.ParseChecking(c)
	}
	return o, err
}
