// Package initreorgdb is the command ailee_init_reorg_db: a new reorg database,
// empty or seeded with what can still be read of an old one.
package initreorgdb

import (
	"context"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
	"ailee-recovery/internal/exit"
)

// Name is the command's name.
const Name = "ailee_init_reorg_db"

// Options are the command's options.
type Options struct {
	Path        string
	IfMissing   bool     // an existing sound database is fine
	CopyFrom    []string // seed it from these databases, in this order; none for an empty one
	MaxUnpacked int64    // bytes that an archive may unpack to
	DryRun      bool
}

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:    Name,
		Summary: "make a reorg database for an AILEE node",
		Description: `
   Makes a new database that every node can open, whatever RocksDB it is built
   with, and checks it before it gets its name: DIR is never half a database. With
   --copy-from it is seeded with every record that can still be read of an old
   one, which may be damaged or in use by a running node, and is only read; when
   something is lost, all the rest is copied and the exit status is 2. What no
   node writes and these tools do not read, such as blob files or a compressed
   log, is named and not copied, and the exit status is 1. Without
   --copy-from, a database that a node was killed in the middle of making, before
   its file CURRENT was there, is completed in its place. Run as root, it works as the
   user to whom the folder belongs that DIR is in; where that is root, the copy gets
   the owner of the first SOURCE.

   A SOURCE is the folder of a database, or an archive of one as ailee-backup makes it:
   tar, plain or compressed with gzip or zstd, with the files below reorg_db/ or at the
   top. An archive that has links, devices, paths that lead elsewhere or a name twice is
   refused. Of one that is damaged, what comes before the damage is read.

   With several SOURCEs, each record is taken from the first one that has it. Name the
   live database first, then backups from the newest. Where another SOURCE has a record
   with another value, both values are shown. No block is taken from a SOURCE at or
   above the height of a reorg that it does not know: one that was replaced would count
   as one more reorg. It knows a reorg when it has its event, or the new hash at its
   height; of the first SOURCE, only what the reorg replaced is left out, with all above it. Of
   different reorg events with one id, that of the later SOURCE gets the next free one,
   and the counter is set above all. The exit status is 2 when something could not be read
   of a SOURCE, unless it is sure that the others have it, and when blocks that were left
   out are missing. --dry-run exits in the same way.`,
		Files: []cli.Entry{
			{Name: "/var/lib/ailee/reorg_db/", Text: "where a node has its reorg database"},
			{Name: ".reorg_db.ailee-tmp/", Text: "a new database beside its place until it is whole"},
			{Name: ".reorg_db.scratch.ailee-tmp/", Text: "what archives are unpacked to, and what could be read of damaged SOURCEs, until the end of the run"},
		},
		Examples: `
# Rescue what can be read of a damaged database, the node stopped
mv /var/lib/ailee/reorg_db /var/lib/ailee/reorg_db.corrupted
ailee_init_reorg_db --path /var/lib/ailee/reorg_db --copy-from /var/lib/ailee/reorg_db.corrupted
# What would a backup add to that?
ailee_init_reorg_db --dry-run --path /var/lib/ailee/reorg_db.new --copy-from /var/lib/ailee/reorg_db.corrupted --copy-from /var/lib/ailee/backups/reorg_db_20250215_101700.tar.gz
# Copy the database of a running node
ailee_init_reorg_db --path /mnt/backups/reorg_db --copy-from /var/lib/ailee/reorg_db
# An empty database, for a node that has none
ailee_init_reorg_db --path /tmp/reorg_db`,
		SeeAlso:  []string{"ailee_reorg_verify", "ailee_resync_blocks", "ailee_init_node"},
		Required: []string{"path"},
		Flags: []urfave.Flag{
			&urfave.StringFlag{Name: "path", Usage: "make the database in `DIR`, which must be missing, empty, or hold an unfinished one"},
			&urfave.BoolFlag{Name: "if-missing", Usage: "keep a sound database that is already there"},
			flags.Repeated("copy-from", "copy what can be read of the database in `SOURCE`, a folder or an archive; may be given several times"),
			flags.MaxUnpacked(),
			&urfave.BoolFlag{Name: "dry-run", Usage: "show what would be copied and what is lost, make no database"},
			cli.JSONFlag,
			cli.QuietFlag,
		},
		Run: func(ctx context.Context, c *urfave.Context, out *cli.IO) error {
			o := Options{Path: c.String("path"), IfMissing: c.Bool("if-missing"), CopyFrom: flags.ParseRepeated(c, "copy-from"), DryRun: c.Bool("dry-run")}
			var err error
			if o.MaxUnpacked, err = flags.ParseMaxUnpacked(c); err != nil {
				return exit.Fail(Name+" --help shows the usage", err) // wrong flags or arguments
			}
			return Run(ctx, o, out)
		},
	}
}
