package flags

import "github.com/urfave/cli/v2"

const dbPath = "db-path"

// DBPath names the reorg database.
func DBPath(usage string) cli.Flag {
	return &cli.StringFlag{Name: dbPath, Usage: usage, EnvVars: []string{"AILEE_DB_PATH"}}
}

// ParseDBPath reads it.
func ParseDBPath(c *cli.Context) string { return c.String(dbPath) }
