// Command ailee_init_reorg_db: see the package initreorgdb.
package main

import (
	"ailee-recovery/internal/initreorgdb"
	"ailee-recovery/internal/tool"
)

func main() { tool.Main(initreorgdb.Tool()) }
