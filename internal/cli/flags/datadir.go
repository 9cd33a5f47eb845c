package flags

import urfave "github.com/urfave/cli/v2"

const dataDir = "data-dir"

// DataDir names a node's data directory. def is its default, "" for none.
func DataDir(usage, def string) urfave.Flag {
	return &urfave.StringFlag{Name: dataDir, Usage: usage, Value: def, EnvVars: []string{"AILEE_DATA_DIR"}}
}

// ParseDataDir reads it.
func ParseDataDir(c *urfave.Context) string { return c.String(dataDir) }
