// Command ailee_show_snapshot: see the package showsnapshot.
package main

import (
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/showsnapshot"
)

func main() { cli.Main(showsnapshot.Tool()) }
