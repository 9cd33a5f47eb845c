// Command ailee_get_snapshot_block: see the package snapshotblock.
package main

import (
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/getsnapshotblock"
)

func main() { cli.Main(getsnapshotblock.Tool()) }
