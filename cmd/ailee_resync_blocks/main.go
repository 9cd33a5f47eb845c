// Command ailee_resync_blocks: see the package resync.
package main

import (
	"ailee-recovery/internal/resync"
	"ailee-recovery/internal/tool"
)

func main() { tool.Main(resync.Tool()) }
