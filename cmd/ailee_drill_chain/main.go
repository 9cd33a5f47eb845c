// Command ailee_drill_chain: see the package drillchain.
package main

import (
	"ailee-recovery/internal/drillchain"
	"ailee-recovery/internal/tool"
)

func main() { tool.Main(drillchain.Tool()) }
