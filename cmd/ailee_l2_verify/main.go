// Command ailee_l2_verify verifies the snapshots of an AILEE node.
package main

import (
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/l2verify"
)

func main() { cli.Main(l2verify.Tool()) }
