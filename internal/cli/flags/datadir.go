package flags

import urfave "github.com/urfave/cli/v2"

const dataDir = "data-dir"

// DefaultDataDir is where a node has its data.
const DefaultDataDir = "/var/lib/ailee"

// DataDir names a node's data directory. def is its default, "" for none.
func DataDir(usage, def string) urfave.Flag {
	return &urfave.StringFlag{Name: dataDir, Usage: usage, Value: def, EnvVars: []string{"AILEE_DATA_DIR"}}
}

// ParseDataDir reads it.
func ParseDataDir(c *urfave.Context) string { return c.String(dataDir) }

// DataDirGiven reports whether it was named.
func DataDirGiven(c *urfave.Context) bool { return c.IsSet(dataDir) }

const backupDir = "backup-dir"

// BackupDir names the folder of the backups.
func BackupDir(usage string) urfave.Flag {
	return &urfave.StringFlag{Name: backupDir, Usage: usage, DefaultText: "backups in the data directory", EnvVars: []string{"AILEE_BACKUP_DIR"}}
}

// ParseBackupDir reads it; "" where it was not named.
func ParseBackupDir(c *urfave.Context) string { return c.String(backupDir) }
