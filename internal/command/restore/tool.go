// Package restore is the command ailee-restore: what is missing or wrong of a node's data
// is replaced by the best source there is, and nothing else.
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
	BackupDir string // "": backups in the data directory
	// SnapshotOnly and DBOnly leave the other part as it is.
	SnapshotOnly, DBOnly bool
	// SnapshotBackup and DBBackup name a source, "" for the best of the backups. With one of
	// them, a part without a name is left as it is.
	SnapshotBackup, DBBackup string
	Force                    bool // also what is sound, or has what the source lacks
	DryRun                   bool
	flags.Checking
}

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:    Name,
		Summary: "restore what is missing or wrong of an AILEE node's data",
		Description: `
   Looks at l2_snapshots.dat and reorg_db/, and at the best source for each: the most
   recent valid state among the backups by what is in them, or the one that is named. A
   part that is missing, or wrong and has nothing valid that the source lacks, is
   replaced. One that is sound is left alone, and it is said what it has that the source
   lacks, and the other way round; only a named source that lacks nothing of it takes its
   place. --force restores all the same.

   A source is a snapshot file, plain, compressed or in an archive; an archive of a
   database, .tar, .tar.gz or .tar.zst, with its files at the top or in reorg_db/; or the
   folder of a database. Its content says what it is, not its name.

   Everything is asked before anything is replaced, and all that is in the way is said at
   once: a node that has the data open by whatever path, a mount, an attribute of chattr,
   the space, an owner or access list that cannot be given, what does not verify once it is
   unpacked. Then the old and the new one change places in one step: at no moment is there
   no database under its name. What was replaced is kept beside it, and owner, mode and
   access lists stay. Once the exchange began, the next run completes it, whatever ended
   this one.

   --dry-run does all up to the exchange, exits in the same way, and leaves nothing. Run as
   root, it works as the user to whom the data directory belongs.`,
		Files: []cli.Entry{
			{Name: "l2_snapshots.dat.replaced_<UTC time>", Text: "in the data directory: the snapshot file that was replaced"},
			{Name: "reorg_db.replaced_<UTC time>/", Text: "the database that was replaced"},
			{Name: "l2_snapshots.dat.unfinished_<UTC time>", Text: "what a prune that was killed left of the file that was replaced"},
			{Name: ".l2_snapshots.dat" + stageSuffix, Text: "what is to replace the file, until it does"},
			{Name: ".reorg_db" + stageSuffix + "/", Text: "the same for the database"},
			{Name: journalName, Text: "what is being exchanged, for the next run if this one is killed"},
		},
		Examples: `
# What would be restored, and what would be in the way?
ailee-restore --dry-run
# Restore it, the node stopped
ailee-restore
# Go back to a backup of the database, whatever the live one has
ailee-restore --force --db-backup /var/lib/ailee/backups/reorg_db_20250215_120000.tar.gz`,
		SeeAlso: []string{"ailee-doctor", "ailee-backup", "ailee_recover_snapshots", "ailee_init_reorg_db"},
		Leaves:  "nothing that existed is changed, or the exchange had begun: then it says so, and the next run completes it",
		Flags: []urfave.Flag{
			flags.DataDir("restore the data in `DIR`", flags.DefaultDataDir),
			flags.BackupDir("take the backups in `DIR`"),
			&urfave.BoolFlag{Name: "snapshot-only", Usage: "leave the database as it is"},
			&urfave.BoolFlag{Name: "db-only", Usage: "leave the snapshot file as it is"},
			&urfave.StringFlag{Name: "snapshot-backup", Usage: "restore the snapshot file from `SOURCE`, and of the database only what --db-backup names"},
			&urfave.StringFlag{Name: "db-backup", Usage: "restore the database from `SOURCE`, and of the snapshot file only what --snapshot-backup names"},
			&urfave.BoolFlag{Name: "force", Usage: "restore also what is sound, or has what the source lacks"},
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
		return o, errors.New("--snapshot-only goes with no named backup: only what is named is restored")
	case named && o.DBOnly:
		return o, errors.New("--db-only goes with no named backup: only what is named is restored")
	case o.SnapshotOnly && o.DBOnly:
		return o, errors.New("--snapshot-only and --db-only exclude each other")
	case o.DataDir == "":
		return o, errors.New("--data-dir names no folder")
	case c.IsSet("snapshot-backup") && o.SnapshotBackup == "", c.IsSet("db-backup") && o.DBBackup == "":
		return o, errors.New("--snapshot-backup and --db-backup name a source")
	}
	var err error
	o.Checking, err = flags.ParseChecking(c)
	return o, err
}

// backupDir is where the backups are.
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
