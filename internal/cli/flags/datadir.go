package flags

import urfave "github.com/urfave/cli/v2"

const dataDir = "data-dir"

// DefaultDataDir is where a node keeps its data.
const DefaultDataDir = "/var/lib/ailee"

// DataDir is the flag for a node's data directory. def is its default, "" for none.
func DataDir(usage, def string) urfave.Flag {
	return &urfave.StringFlag{Name: dataDir, Usage: usage, Value: def, EnvVars: []string{"AILEE_DATA_DIR"}}
}

// ParseDataDir reads the flag of [DataDir].
func ParseDataDir(c *urfave.Context) string { return c.String(dataDir) }

// DataDirGiven reports whether a data directory was given.
func DataDirGiven(c *urfave.Context) bool { return c.IsSet(dataDir) }

const backupDir = "backup-dir"

// BackupDir is the flag for the folder of the backups.
func BackupDir(usage string) urfave.Flag {
	return &urfave.StringFlag{Name: backupDir, Usage: usage, DefaultText: "backups in the data directory", EnvVars: []string{"AILEE_BACKUP_DIR"}}
}

// ParseBackupDir reads the flag of [BackupDir], "" if it was not given.
func ParseBackupDir(c *urfave.Context) string { return c.String(backupDir) }
