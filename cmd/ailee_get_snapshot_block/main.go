// Command ailee_get_snapshot_block: see the package snapshotblock.
package main

import (
	"ailee-recovery/internal/snapshotblock"
	"ailee-recovery/internal/tool"
)

func main() { tool.Main(snapshotblock.Tool()) }
