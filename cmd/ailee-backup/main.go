// Command ailee-backup: see the package backup.
package main

import (
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/backup"
)

func main() { cli.Main(backup.Tool()) }
