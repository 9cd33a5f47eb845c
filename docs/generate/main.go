// Command generate writes the manual: man, docs/commands and completions. What
// it writes is committed, and a test sees that it is up to date.
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
