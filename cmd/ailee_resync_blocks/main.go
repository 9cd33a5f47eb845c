// Command ailee_resync_blocks: see the package resync.
package main

import (
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/resyncblocks"
)

func main() { cli.Main(resyncblocks.Tool()) }
