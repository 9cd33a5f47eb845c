// Command ailee_reorg_verify: see the package reorgverify.
package main

import (
	"ailee-recovery/internal/reorgverify"
	"ailee-recovery/internal/tool"
)

func main() { tool.Main(reorgverify.Tool()) }
