package exit

import (
	"regexp"
	"strings"

	"al.essio.dev/pkg/shellescape"
)

// Command returns a command line for a hint, which can be pasted into a shell. A path that
// begins with - is written so that no program takes it for a flag.
func Command(args ...string) string {
	words := make([]string, len(args))
	for i, arg := range args {
		if words[i] = arg; strings.HasPrefix(arg, "-") && !flag.MatchString(arg) {
			words[i] = "./" + arg
		}
	}
	return strings.TrimSpace(shellescape.QuoteCommand(words))
}

// flag is what can be one, a number below zero, or a sign of its own.
var flag = regexp.MustCompile(`^(?:--?[A-Za-z][A-Za-z0-9-]*(?:=(?s:.*))?|-[0-9]+|--?)$`)
