package flags

import urfave "github.com/urfave/cli/v2"

const dbPath = "db-path"

// DBPath is the flag for the reorg database.
func DBPath(usage string) urfave.Flag {
	return &urfave.StringFlag{Name: dbPath, Usage: usage, EnvVars: []string{"AILEE_DB_PATH"}}
}

// ParseDBPath reads the flag of [DBPath].
func ParseDBPath(c *urfave.Context) string { return c.String(dbPath) }
