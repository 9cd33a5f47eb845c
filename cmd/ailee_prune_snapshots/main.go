// Command ailee_prune_snapshots: see the package prune.
package main

import (
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/prunesnapshots"
)

func main() { cli.Main(prunesnapshots.Tool()) }
