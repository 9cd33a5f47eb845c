// Command ailee_prune_snapshots: see the package prune.
package main

import (
	"ailee-recovery/internal/prune"
	"ailee-recovery/internal/tool"
)

func main() { tool.Main(prune.Tool()) }
