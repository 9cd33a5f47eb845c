package exit

import (
	"regexp"
	"strings"

	"al.essio.dev/pkg/shellescape"
)

// Command returns a command line for a hint that can be pasted into a shell. A path that begins
// with - is written in a way that no program takes for a flag.
func Command(args ...string) string {
	words := make([]string, len(args))
	for i, arg := range args {
		if words[i] = arg; strings.HasPrefix(arg, "-") && !flag.MatchString(arg) {
			words[i] = "./" + arg
		}
	}
	return strings.TrimSpace(shellescape.QuoteCommand(words))
}

// flag matches a flag, a negative number, and a lone - or --.
var flag = regexp.MustCompile(`^(?:--?[A-Za-z][A-Za-z0-9-]*(?:=(?s:.*))?|-[0-9]+|--?)$`)
