// Package restore is the command ailee-restore: it replaces the parts of a node's data that
// are missing or wrong with the best source there is, and nothing else.
package restore

import (
	"errors"
	"path/filepath"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
)

// Name is the command's name.
const Name = "ailee-restore"

// Options are the command's options.
type Options struct {
	DataDir   string
	BackupDir string // "": the folder backups in the data directory
	// SnapshotOnly and DBOnly leave the other part as it is.
	SnapshotOnly, DBOnly bool
	// SnapshotBackup and DBBackup name a source, "" for the best backup. If one of them is set,
	// a part without a named source is left as it is.
	SnapshotBackup, DBBackup string
	Force                    bool // also replace a part that is sound, or has what the source lacks
	DryRun                   bool
	flags.Checking
}

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:    Name,
		Summary: "restore what is missing or wrong of an AILEE node's data",
		Description: `
   Checks l2_snapshots.dat and reorg_db/, and the best source for each: the backup whose
   content is the most recent valid state, or the source that you name. A part is
   replaced if it is missing, or if it is wrong and has nothing valid that the source
   lacks. A sound part is left alone, and the output says what it has that the source
   lacks, and the other way round. Only a named source that has all of it and more
   replaces a sound part. --force restores in any case.

   A source is a snapshot file, plain, compressed or in an archive; an archive of a
   database, .tar, .tar.gz or .tar.zst, with its files at the top or in reorg_db/; or the
   folder of a database. Its content decides what it is, not its name.

   Everything is checked before anything is replaced, and everything that is in the way is
   reported at once: a node that has the data open under any path, a mount, a chattr
   attribute, too little space, an owner or access list that cannot be set, a source that
   does not verify once it is unpacked. Then the old and the new data change places in one
   step: there is a database under its name at every moment. What was replaced is kept next
   to it, and owner, mode and access lists stay the same. Once the exchange has begun, the
   next run completes it, whatever stopped this one.

   --dry-run does everything up to the exchange, exits with the same status, and leaves
   nothing behind. Run as root, it works as the owner of the data directory.`,
		Files: []cli.Entry{
			{Name: "l2_snapshots.dat.replaced_<UTC time>", Text: "in the data directory: the snapshot file that was replaced"},
			{Name: "reorg_db.replaced_<UTC time>/", Text: "the database that was replaced"},
			{Name: "l2_snapshots.dat.unfinished_<UTC time>", Text: "what a killed prune left of the file that was replaced"},
			{Name: ".l2_snapshots.dat" + stageSuffix, Text: "the new snapshot file, until it takes its place"},
			{Name: ".reorg_db" + stageSuffix + "/", Text: "the new database, until it takes its place"},
			{Name: journalName, Text: "the journal of the exchange, for the next run if this one is killed"},
		},
		Examples: `
# What would be restored, and what would be in the way?
ailee-restore --dry-run
# Restore it, with the node stopped
ailee-restore
# Go back to a backup of the database, whatever the live one has
ailee-restore --force --db-backup /var/lib/ailee/backups/reorg_db_20250215_120000.tar.gz`,
		SeeAlso: []string{"ailee-doctor", "ailee-backup", "ailee_recover_snapshots", "ailee_init_reorg_db"},
		Leaves:  "no existing data is changed, unless the exchange had begun: then a message says so, and the next run completes it",
		Flags: []urfave.Flag{
			flags.DataDir("restore the data in `DIR`", flags.DefaultDataDir),
			flags.BackupDir("take the backups in `DIR`"),
			&urfave.BoolFlag{Name: "snapshot-only", Usage: "leave the database as it is"},
			&urfave.BoolFlag{Name: "db-only", Usage: "leave the snapshot file as it is"},
			&urfave.StringFlag{Name: "snapshot-backup", Usage: "restore the snapshot file from `SOURCE`, and the database only if --db-backup is given"},
			&urfave.StringFlag{Name: "db-backup", Usage: "restore the database from `SOURCE`, and the snapshot file only if --snapshot-backup is given"},
			&urfave.BoolFlag{Name: "force", Usage: "also replace what is sound, or has what the source lacks"},
			&urfave.BoolFlag{Name: "dry-run", Usage: "say what would be restored, and what is in the way; replace nothing"},
			flags.MaxMemory(),
			cli.JSONFlag,
			cli.QuietFlag,
		},
		Run: cli.Parsed(options, Run),
	}
}

func options(c *urfave.Context) (Options, error) {
	o := Options{
		DataDir: flags.ParseDataDir(c), BackupDir: flags.ParseBackupDir(c),
		SnapshotOnly: c.Bool("snapshot-only"), DBOnly: c.Bool("db-only"),
		SnapshotBackup: c.String("snapshot-backup"), DBBackup: c.String("db-backup"),
		Force: c.Bool("force"), DryRun: c.Bool("dry-run"),
	}
	named := o.SnapshotBackup != "" || o.DBBackup != ""
	switch {
	case named && o.SnapshotOnly:
		return o, errors.New("--snapshot-only does not go with a named backup: only what is named is restored")
	case named && o.DBOnly:
		return o, errors.New("--db-only does not go with a named backup: only what is named is restored")
	case o.SnapshotOnly && o.DBOnly:
		return o, errors.New("--snapshot-only and --db-only cannot be used together")
	case o.DataDir == "":
		return o, errors.New("--data-dir must name a folder")
	case c.IsSet("snapshot-backup") && o.SnapshotBackup == "", c.IsSet("db-backup") && o.DBBackup == "":
		return o, errors.New("--snapshot-backup and --db-backup must name a source")
	}
	var err error
	o.Checking, err = flags.ParseChecking(c)
	return o, err
}

// backupDir returns the backup folder.
func (o Options) backupDir() string {
	if o.BackupDir != "" {
		return o.BackupDir
	}
	return filepath.Join(o.DataDir, "backups")
}

// wants reports whether a part is to be restored.
func (o Options) wants(t *target) bool {
	if o.SnapshotBackup != "" || o.DBBackup != "" {
		return t.named != ""
	}
	return t.isDatabase() && !o.SnapshotOnly || !t.isDatabase() && !o.DBOnly
}
