// Command ailee-doctor: see the package doctor.
package main

import (
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/doctor"
)

func main() { cli.Main(doctor.Tool()) }
