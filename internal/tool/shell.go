package tool

import (
	"strings"

	"al.essio.dev/pkg/shellescape"
)

// Command returns a command line that can be pasted into a shell.
func Command(args ...string) string { return shellLine(args) }

func shellLine(args []string) string {
	return strings.TrimSpace(shellescape.QuoteCommand(args))
}
