// Command ailee_reorg_verify: see the package reorgverify.
package main

import (
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/reorgverify"
)

func main() { cli.Main(reorgverify.Tool()) }
