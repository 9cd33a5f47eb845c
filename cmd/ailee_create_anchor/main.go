// Command ailee_create_anchor: see the package createanchor.
package main

import (
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/createanchor"
)

func main() { cli.Main(createanchor.Tool()) }
