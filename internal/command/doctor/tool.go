// Package doctor is the command ailee-doctor: what is true of a data directory, and the
// commands that put right what is not.
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
	Bitcoin   *bitcoin.Options // nil: Bitcoin is not asked
	flags.Checking
}

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:    Name,
		Summary: "say what is wrong with a node's data, and what to do",
		Description: `
   Looks at everything in a data directory, at its backups and, if asked, at Bitcoin, and
   says for each whether it is sound, wrong, or could not be looked at. Then it prints
   what to do: steps with the exact commands to paste, in order, with what each loses,
   if anything. It only reads, and a node may be running.

   Nothing is planned on what could not be looked at, and no plan deletes data: what is
   replaced is kept. Of several ways the one is taken that loses the least of all that
   the data, its copies and its backups have together; the next best one is named. Go
   on with the next step when a command ends with 0, or with another status that its
   step expects.

   Run it as root: others cannot see who has the data open. A minute goes by at most
   where there is little data; all of it is read, and the newest backups.`,
		Environment: flags.BitcoinEnvironment(),
		Files: slices.Concat([]cli.Entry{
			{Name: "/var/lib/ailee/", Text: "where a node has its data"},
			{Name: "/var/lib/ailee/backups/", Text: "where ailee-backup has its backups"},
			{Name: "/var/lib/ailee/recovery_<UTC time>/", Text: "where its plans put what is recovered"},
		}, flags.BitcoinFiles()),
		Examples: `
# What is wrong, and what is to be done?
ailee-doctor
# The node has crashed while it wrote: the commands of the plan, for a script
ailee-doctor --json | jq -r '.plan.steps[].command'`,
		SeeAlso: []string{"ailee-backup", "ailee-restore", "ailee-monitor", "ailee_l2_verify", "ailee_reorg_verify"},
		Flags: append([]urfave.Flag{
			flags.DataDir("look at the data in `DIR`", flags.DefaultDataDir),
			flags.BackupDir("look at the backups in `DIR`"),
			&urfave.StringFlag{Name: "unit", Usage: "the node is the service `UNIT` of systemd", Value: defaultUnit},
			flags.MaxMemory(),
			cli.JSONFlag,
			cli.QuietFlag,
		}, flags.OptionalBitcoinRPC()...),
		Run: cli.Parsed(parse, Run),
	}
}

// defaultUnit is the node's.
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
