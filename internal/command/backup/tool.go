// Package backup is the command ailee-backup: it copies the snapshot file and the reorg
// database of a node, also while the node is running, verifies the copies, reads them back,
// compares them with the earlier backups, and deletes old backups by rules.
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

// The subcommands. Without one, the command backs up.
const (
	list   = "list"
	verify = "verify"
)

// Options are the command's options.
type Options struct {
	DataDir, BackupDir string
	BackupDirGiven     bool // by flag or environment variable
	DataDirGiven       bool
	backups.Retention
	Compress   archive.Compression // of the snapshot file, and also of the database unless it is None
	Kinds      []backups.Kind
	AcceptLoss bool
	Exec       string // a shell command, "" for none
	DryRun     bool

	What  string // list or verify, "" to back up
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
   Copies reorg_db/ and l2_snapshots.dat, up to the end of its latest complete
   snapshot, to the backup folder. The node may be running. A copy gets its name once
   it verifies, and is then read back. A damaged source is not backed up, and all
   earlier backups stay. A backup that was changed is read again, and reported if it is
   damaged. Made for cron: it prints nothing when all is well.

   A source that has not changed since its last backup takes no space: the new backup
   is a hard link to the last one. After 24 hours the source is copied again.

   Each backup is compared with the earlier ones. If it lacks anchors, reorg events or
   snapshots that an earlier one has, and no prune by ailee_prune_snapshots explains
   that, it is kept alongside the earlier ones. None of those is deleted, and each run
   ends with status 2, until the node has the missing data again or --accept-loss gives
   it up.

   Of each kind, the newest --keep backups are kept, then the last one of each of the
   newest --keep-daily days and --keep-weekly weeks that have one, in UTC. Only sound
   backups count. A run whose clock may be wrong, or that copied nothing, deletes
   nothing.

    list             list the backups, and what the last check of each found
    verify           read the newest backup of each kind again
    verify NAME...   read these backups again
    verify --all     read all backups again

   Run as root, it works as the owner of the backup folder.`,
		Environment: []cli.Entry{
			{Name: "AILEE_BACKUP_SNAPSHOTS", Text: "for --exec: the new backup of the snapshot file, empty if there is none"},
			{Name: "AILEE_BACKUP_DATABASE", Text: "for --exec: the new backup of the database, empty if there is none"},
			{Name: "AILEE_BACKUP_STATUS", Text: "for --exec: 0, or 2 if something is lost"},
		},
		Files: []cli.Entry{
			{Name: "l2_snapshots_<UTC time>.dat.bak", Text: "in the backup folder: the snapshot file; compressed .dat.bak.gz or .dat.bak.zst"},
			{Name: backups.LatestName, Text: "the most recent valid one of these, never compressed"},
			{Name: "reorg_db_<UTC time>.tar.gz", Text: "the reorg database; with --compress zstd .tar.zst"},
			{Name: backups.CatalogueName, Text: "the catalogue of the backups; rebuilt from them if it is missing"},
		},
		Examples: `
# From cron, every hour
ailee-backup
# Which backups are there?
ailee-backup list
# What would a run make and delete?
ailee-backup --dry-run --keep 1 --keep-daily 0 --keep-weekly 0
# Compressed, on another disk
ailee-backup --compress zstd --keep 48 --backup-dir /mnt/backups/ailee
# Read all backups again
ailee-backup verify --all`,
		SeeAlso: []string{"ailee-restore", "ailee-monitor", "ailee_l2_verify", "ailee_init_reorg_db"},
		Leaves:  "backups that have their name are complete; the next run removes the rest",
		Flags: []urfave.Flag{
			flags.DataDir("back up the files in `DIR`", flags.DefaultDataDir),
			flags.BackupDir("keep the backups in `DIR`"),
			&urfave.IntFlag{Name: "keep", Usage: "keep the newest `N` of each kind", Value: 24},
			&urfave.IntFlag{Name: "keep-daily", Usage: "also keep the last one of each of the newest `N` days that have one", Value: 7},
			&urfave.IntFlag{Name: "keep-weekly", Usage: "also keep the last one of each of the newest `N` weeks that have one", Value: 4},
			&urfave.StringFlag{Name: "compress", Usage: "compress with `FORM`: gzip, which --compress alone means, or zstd", DefaultText: "only the database, with gzip"},
			&urfave.BoolFlag{Name: "snapshot-only", Usage: "leave the database out"},
			&urfave.BoolFlag{Name: "db-only", Usage: "leave the snapshot file out"},
			&urfave.BoolFlag{Name: "accept-loss", Usage: "give up what this run finds missing"},
			&urfave.StringFlag{Name: "exec", Usage: "afterwards run `COMMAND` in a shell, to copy the backups elsewhere"},
			&urfave.BoolFlag{Name: "dry-run", Usage: "verify the sources, say what would be made and deleted, write nothing"},
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
			return o, fmt.Errorf("--%s %d is not between %d and %d", n.flag, c.Int(n.flag), n.least, math.MaxInt32)
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
		return o, fmt.Errorf("--snapshot-only and --db-only cannot be used together")
	case snapshots:
		o.Kinds = []backups.Kind{backups.Snapshots}
	case database:
		o.Kinds = []backups.Kind{backups.Database}
	}
	return o, o.parseWhat(c)
}

// parseWhat parses the arguments, and refuses flags that do not go with them.
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
		return fmt.Errorf("%q is not a subcommand: use list or verify, or neither to back up", o.What)
	}
	if len(words) > 0 {
		return fmt.Errorf("too many arguments: %s", exit.Command(words...))
	}
	if o.All && len(o.Names) > 0 {
		return fmt.Errorf("--all and names cannot be used together")
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
