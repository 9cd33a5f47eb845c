// Command ailee_reorg_show: see the package reorgshow.
package main

import (
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/reorgshow"
)

func main() { cli.Main(reorgshow.Tool()) }
