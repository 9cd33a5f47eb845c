// Command generate writes the manual: man, docs/commands, docs/hints.md and completions. Its
// output is committed, and a test checks that it is up to date.
package main

import (
	"fmt"
	"os"
)

func main() {
	runAsTool()
	if err := update(root()); err != nil {
		fmt.Fprintln(os.Stderr, "generate: error:", err)
		os.Exit(1)
	}
}
