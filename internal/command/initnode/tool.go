// Package initnode is the command ailee_init_node: the data directory of a node
// that starts from nothing.
package initnode

import (
	"context"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
)

// Name is the command's name.
const Name = "ailee_init_node"

// Options are the command's options.
type Options struct {
	DataDir   string
	IfMissing bool   // keep sound parts that already exist
	Owner     string // user:group, "" for the default
}

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:    Name,
		Summary: "make the data directory of an AILEE node that starts from nothing",
		Description: `
   Makes l2_snapshots.dat with a genesis snapshot (an empty state with an anchor
   that holds), an empty reorg_db/ and backups/ in DIR: all of them or none. What
   already exists is never changed: backups/ is kept, and anything else is an error,
   or with --if-missing is checked and kept. Run as root, it works as the owner of
   DIR, or as --owner in a DIR that it makes.`,
		Files: []cli.Entry{
			{Name: "DIR/l2_snapshots.dat", Text: "the genesis snapshot"},
			{Name: "DIR/reorg_db/", Text: "an empty reorg database"},
			{Name: "DIR/backups/", Text: "an empty folder for ailee-backup"},
		},
		Examples: `
# Start from nothing
ailee_init_node --data-dir /var/lib/ailee
# Make only what is missing
ailee_init_node --data-dir /var/lib/ailee --if-missing`,
		SeeAlso:  []string{"ailee_init_reorg_db", "ailee_resync_blocks", "ailee-restore"},
		Required: []string{"data-dir"},
		Flags: []urfave.Flag{
			flags.DataDir("make the files of a node in `DIR`", ""),
			&urfave.BoolFlag{Name: "if-missing", Usage: "keep sound parts that already exist, make the others"},
			&urfave.StringFlag{Name: "owner", Usage: "give the files to `USER:GROUP` (default: as root, the owner of DIR)"},
			cli.JSONFlag,
			cli.QuietFlag,
		},
		Run: func(ctx context.Context, c *urfave.Context, out *cli.IO) error {
			return Run(ctx, Options{DataDir: flags.ParseDataDir(c), IfMissing: c.Bool("if-missing"), Owner: c.String("owner")}, out)
		},
	}
}
