// Command ailee_init_reorg_db: see the package initreorgdb.
package main

import (
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/initreorgdb"
)

func main() { cli.Main(initreorgdb.Tool()) }
