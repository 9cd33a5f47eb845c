// Command ailee_extract_snapshots: see the package extract.
package main

import (
	"ailee-recovery/internal/extract"
	"ailee-recovery/internal/tool"
)

func main() { tool.Main(extract.Tool()) }
