// Package backup is the command ailee-backup: the snapshot file and the reorg database of a
// node copied beside it, verified, read back, held against what was backed up before, and
// kept by rules.
package backup

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/archive"
	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
	"ailee-recovery/internal/exit"
)

// Name is the command's name.
const Name = "ailee-backup"

// What there is to do beside backing up.
const (
	list   = "list"
	verify = "verify"
)

// Options are the command's options.
type Options struct {
	DataDir, BackupDir string
	BackupDirGiven     bool // by a flag or the environment
	DataDirGiven       bool
	backups.Retention
	Compress   archive.Compression // of the snapshot file, and of the database where it is not None
	Kinds      []backups.Kind
	AcceptLoss bool
	Exec       string // a command for the shell, "" for none
	DryRun     bool

	What  string // list, verify, or "" to back up
	All   bool
	Names []string // of backups to verify
}

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:      Name,
		Summary:   "back up the snapshot file and the reorg database of an AILEE node",
		Arguments: "[list | verify [NAME...]]",
		Optional:  cli.AnyNumber,
		Description: `
   Copies l2_snapshots.dat, up to the end of its latest complete snapshot, and
   reorg_db/ to the backup folder, the node running or not. A copy that verifies gets
   its name, and is read back. A source that is damaged leaves no backup, and all
   earlier ones stay. Made for cron: it prints nothing when all is well.

   A file that did not change since its last backup takes no space: the new backup is
   another name of that one, for at most 24 hours, and is then copied again.

   Each backup is held against those before. When anchors, reorg events or snapshots
   are gone that an earlier one has, and no prune by ailee_prune_snapshots explains it,
   it is kept beside the earlier ones. None of those is deleted, and each run ends with
   status 2, until the node has again what is missing, or --accept-loss gives it up.

   Of each kind the newest --keep are kept, then the last of each of the newest
   --keep-daily days and --keep-weekly weeks that have one, in UTC. Only what verifies
   counts, and nothing is deleted by a run whose clock may be wrong, or that did not
   copy anything.

    list             what there is, and what was last seen of it
    verify           read the newest of each kind again
    verify NAME...   read these again
    verify --all     read all again

   Run as root, it works as the user to whom the backup folder belongs.`,
		Environment: []cli.Entry{
			{Name: "AILEE_BACKUP_SNAPSHOTS", Text: "for --exec: the new backup of the snapshot file, empty for none"},
			{Name: "AILEE_BACKUP_DATABASE", Text: "for --exec: the new backup of the database, empty for none"},
			{Name: "AILEE_BACKUP_STATUS", Text: "for --exec: 0, or 2 where something is lost"},
		},
		Files: []cli.Entry{
			{Name: "l2_snapshots_<UTC time>.dat.bak", Text: "in the backup folder: the snapshot file; compressed .dat.bak.gz or .dat.bak.zst"},
			{Name: backups.LatestName, Text: "the most recent valid one of them, never compressed"},
			{Name: "reorg_db_<UTC time>.tar.gz", Text: "the reorg database; with --compress zstd .tar.zst"},
			{Name: backups.CatalogueName, Text: "what is known of the backups; made anew from them where it is missing"},
		},
		Examples: `
# From cron, every hour
ailee-backup
# What is there?
ailee-backup list
# What would be made and deleted?
ailee-backup --dry-run --keep 1 --keep-daily 0 --keep-weekly 0
# Compressed, on another disk
ailee-backup --compress zstd --keep 48 --backup-dir /mnt/backups/ailee
# Read all of them again
ailee-backup verify --all`,
		SeeAlso: []string{"ailee-restore", "ailee-monitor", "ailee_l2_verify", "ailee_init_reorg_db"},
		Leaves:  "backups that have their name are whole; the next run removes what is left",
		Flags: []urfave.Flag{
			flags.DataDir("back up the files in `DIR`", flags.DefaultDataDir),
			flags.BackupDir("keep the backups in `DIR`"),
			&urfave.IntFlag{Name: "keep", Usage: "keep the newest `N` of each", Value: 24},
			&urfave.IntFlag{Name: "keep-daily", Usage: "also keep the last of each of the newest `N` days that have one", Value: 7},
			&urfave.IntFlag{Name: "keep-weekly", Usage: "also keep the last of each of the newest `N` weeks that have one", Value: 4},
			&urfave.StringFlag{Name: "compress", Usage: "compress with `FORM`: gzip, as --compress alone means, or zstd", DefaultText: "the database alone, with gzip"},
			&urfave.BoolFlag{Name: "snapshot-only", Usage: "leave the database out"},
			&urfave.BoolFlag{Name: "db-only", Usage: "leave the snapshot file out"},
			&urfave.BoolFlag{Name: "accept-loss", Usage: "give up what this run finds to be missing"},
			&urfave.StringFlag{Name: "exec", Usage: "afterwards run `COMMAND` with the shell, for copies elsewhere"},
			&urfave.BoolFlag{Name: "dry-run", Usage: "verify what is to be backed up, say what would be made and deleted, write nothing"},
			&urfave.BoolFlag{Name: "all", Usage: "verify all backups"},
			cli.JSONFlag,
			cli.QuietFlag,
		},
		Bare: map[string]cli.Bare{"compress": {Means: string(archive.Gzip), Values: []string{string(archive.Gzip), string(archive.Zstd)}}},
		Run:  cli.Parsed(parse, Run),
	}
}

func parse(c *urfave.Context) (Options, error) {
	o := Options{DataDir: flags.ParseDataDir(c), DataDirGiven: flags.DataDirGiven(c), BackupDir: flags.ParseBackupDir(c), AcceptLoss: c.Bool("accept-loss"), Exec: c.String("exec"),
		DryRun: c.Bool("dry-run"), Kinds: backups.Kinds, All: c.Bool("all")}
	if o.BackupDirGiven = o.BackupDir != ""; !o.BackupDirGiven {
		o.BackupDir = filepath.Join(o.DataDir, "backups")
	}
	for _, n := range []struct {
		flag  string
		least int
		to    *int
	}{{"keep", 1, &o.Keep}, {"keep-daily", 0, &o.Daily}, {"keep-weekly", 0, &o.Weekly}} {
		if *n.to = c.Int(n.flag); *n.to < n.least || *n.to > math.MaxInt32 {
			return o, fmt.Errorf("--%s %d is not a number from %d on", n.flag, c.Int(n.flag), n.least)
		}
	}
	switch compress := archive.Compression(c.String("compress")); {
	case c.IsSet("compress") && compress != archive.Gzip && compress != archive.Zstd:
		return o, fmt.Errorf("--compress %q is neither gzip nor zstd", string(compress))
	default:
		o.Compress = compress
	}
	switch snapshots, database := c.Bool("snapshot-only"), c.Bool("db-only"); {
	case snapshots && database:
		return o, fmt.Errorf("--snapshot-only and --db-only exclude each other")
	case snapshots:
		o.Kinds = []backups.Kind{backups.Snapshots}
	case database:
		o.Kinds = []backups.Kind{backups.Database}
	}
	return o, o.parseWhat(c)
}

// parseWhat reads the arguments, and refuses flags that do not go with them.
func (o *Options) parseWhat(c *urfave.Context) error {
	words := c.Args().Slice()
	if len(words) > 0 {
		o.What, words = words[0], words[1:]
	}
	var with []string
	switch o.What {
	case "":
		with = []string{"keep", "keep-daily", "keep-weekly", "compress", "snapshot-only", "db-only", "accept-loss", "exec", "dry-run"}
	case list:
		with = []string{"snapshot-only", "db-only"}
	case verify:
		with = []string{"snapshot-only", "db-only", "all"}
		o.Names = words
		words = nil
	default:
		return fmt.Errorf("%q is nothing to do: list or verify, or nothing to back up", o.What)
	}
	if len(words) > 0 {
		return fmt.Errorf("too many arguments: %s", exit.Command(words...))
	}
	if o.All && len(o.Names) > 0 {
		return fmt.Errorf("--all and names exclude each other")
	}
	for _, f := range Tool().Flags {
		name := f.Names()[0]
		switch name {
		case "data-dir", "backup-dir", "json", "quiet":
			continue
		}
		if c.IsSet(name) && !slices.Contains(with, name) {
			what := o.What
			if what == "" {
				what = "backing up"
			}
			return fmt.Errorf("--%s does not go with %s", name, what)
		}
	}
	return nil
}
