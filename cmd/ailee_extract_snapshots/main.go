// Command ailee_extract_snapshots: see the package extract.
package main

import (
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/extractsnapshots"
)

func main() { cli.Main(extractsnapshots.Tool()) }
