// Command ailee_l2_verify verifies the snapshots of an AILEE node.
package main

import (
	"ailee-recovery/internal/l2verify"
	"ailee-recovery/internal/tool"
)

func main() { tool.Main(l2verify.Tool()) }
