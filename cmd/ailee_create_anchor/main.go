// Command ailee_create_anchor: see the package createanchor.
package main

import (
	"ailee-recovery/internal/createanchor"
	"ailee-recovery/internal/tool"
)

func main() { tool.Main(createanchor.Tool()) }
