// Command ailee_diff_snapshots: see the package diffsnapshots.
package main

import (
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/diffsnapshots"
)

func main() { cli.Main(diffsnapshots.Tool()) }
