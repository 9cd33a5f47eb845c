// Command ailee_init_node: see the package initnode.
package main

import (
	"ailee-recovery/internal/initnode"
	"ailee-recovery/internal/tool"
)

func main() { tool.Main(initnode.Tool()) }
