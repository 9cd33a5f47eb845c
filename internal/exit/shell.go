package exit

import (
	"strings"

	"al.essio.dev/pkg/shellescape"
)

// Command returns a command line for a hint, which can be pasted into a shell.
func Command(args ...string) string { return strings.TrimSpace(shellescape.QuoteCommand(args)) }
