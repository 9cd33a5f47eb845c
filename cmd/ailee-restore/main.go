// Command ailee-restore: see the package restore.
package main

import (
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/restore"
)

func main() { cli.Main(restore.Tool()) }
