// Command ailee_drill_chain: see the package drillchain.
package main

import (
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/drillchain"
)

func main() { cli.Main(drillchain.Tool()) }
