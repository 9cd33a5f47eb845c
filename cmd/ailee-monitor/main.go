// Command ailee-monitor: see the package monitor.
package main

import (
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/monitor"
)

func main() { cli.Main(monitor.Tool()) }
