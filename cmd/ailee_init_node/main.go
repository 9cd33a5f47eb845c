// Command ailee_init_node: see the package initnode.
package main

import (
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/initnode"
)

func main() { cli.Main(initnode.Tool()) }
