// Package initreorgdb is the command ailee_init_reorg_db. It makes a new reorg database,
// empty or seeded with what can still be read from old ones.
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
	IfMissing   bool     // keep a sound database that is already there
	CopyFrom    []string // databases to seed the new one from, in order of precedence; none for an empty one
	MaxUnpacked int64    // the most bytes that an archive may unpack to
	DryRun      bool
}

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:    Name,
		Summary: "make a reorg database for an AILEE node",
		Description: `
   Makes a new database that every node can open, whichever RocksDB it was built
   with, and checks it before it gets its name: DIR never holds half a database. With
   --copy-from, the new database gets every record that can still be read from an old
   one. The old one may be damaged, or in use by a running node; it is only read. When
   records are lost, all others are copied and the exit status is 2. A database that
   holds something that no node writes and these tools do not read, such as blob files
   or a compressed log, is not copied: the message names what it is, and the exit
   status is 1. Without --copy-from, a database that a node was killed while making,
   before it wrote the file CURRENT, is completed in place. Run as root, it works as the
   owner of the folder that DIR is in; where that is root, the copy gets the owner of
   the first SOURCE.

   A SOURCE is the folder of a database, or an archive of one as ailee-backup makes it:
   a tar file, plain or compressed with gzip or zstd, with the database files in
   reorg_db/ or at the top level. An archive that contains links, devices, duplicate
   names or paths that lead outside it is refused. A damaged archive is read up to the
   damage.

   With several SOURCEs, each record is taken from the first one that has it. Name the
   live database first, then backups, newest first. Where another SOURCE has a different
   value for the same record, both values are shown. Blocks at or above the height of a
   reorg that a SOURCE does not know are not taken from it: a block that the reorg
   replaced would count as one more reorg. A SOURCE knows a reorg when it has the event,
   or the new hash at that height. From the first SOURCE, blocks are left out only where
   it still has the hash that the reorg replaced: that block, and all above it. When
   different reorg events have the same id, the event of the later SOURCE gets the next
   free id, and the counter is set above all ids. The exit status is 2 when part of a
   SOURCE could not be read, unless it is certain that the others have that part, and
   when blocks that were left out are missing. --dry-run exits with the same status.`,
		Files: []cli.Entry{
			{Name: "/var/lib/ailee/reorg_db/", Text: "the reorg database of a node"},
			{Name: ".reorg_db.ailee-tmp/", Text: "a new database, next to DIR, until it is complete"},
			{Name: ".reorg_db.scratch.ailee-tmp/", Text: "unpacked archives, and what could be read from damaged SOURCEs, until the end of the run"},
		},
		Examples: `
# Rescue what can be read from a damaged database, with the node stopped
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
			&urfave.StringFlag{Name: "path", Usage: "make the database in `DIR`, which must be missing, empty, or hold an unfinished database"},
			&urfave.BoolFlag{Name: "if-missing", Usage: "keep a sound database that is already there"},
			flags.Repeated("copy-from", "copy what can be read from the database in `SOURCE`, a folder or an archive; may be given several times"),
			flags.MaxUnpacked(),
			&urfave.BoolFlag{Name: "dry-run", Usage: "show what would be copied and what is lost, without making a database"},
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
