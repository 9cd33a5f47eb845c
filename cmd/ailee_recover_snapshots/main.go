// Command ailee_recover_snapshots: see the package recoversnapshots.
package main

import (
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/recoversnapshots"
)

func main() { cli.Main(recoversnapshots.Tool()) }
