// Command ailee-drill: see the package drill.
package main

import (
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/drill"
)

func main() { cli.Main(drill.Tool()) }
