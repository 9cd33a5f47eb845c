package cli

import (
	"regexp"
	"strings"
)

// helpWidth is the maximum width of the help, in columns.
const helpWidth = 100

// entryText matches what precedes the text of a flag, a variable, a file or an exit status.
var entryText = regexp.MustCompile(`^   \S.*?  +`)

// wrap breaks the long lines of a help. Continuation lines are indented further than the line
// that they continue, by which internal/cli/manual joins them again.
func wrap(help string) string {
	var b strings.Builder
	section := ""
	for line := range strings.Lines(help) {
		line = strings.TrimSuffix(line, "\n")
		if line != "" && line[0] != ' ' {
			section = line
		}
		switch section {
		case "FLAGS:", "ENVIRONMENT:", "FILES:", "EXIT STATUS:":
			writeWrapped(&b, line, len(entryText.FindString(line)), "")
		case "EXAMPLES:":
			writeWrapped(&b, line, 6, ` \`)
		case "SEE ALSO:":
			writeWrapped(&b, line, 4, "")
		default:
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// writeWrapped writes a line as several lines. All but the first are indented, all but the
// last end in more.
func writeWrapped(b *strings.Builder, line string, indent int, more string) {
	for len(line) > helpWidth {
		at := strings.LastIndexByte(line[:helpWidth-len(more)+1], ' ')
		if at <= indent {
			break // the word is too long to break
		}
		b.WriteString(line[:at] + more + "\n")
		line = strings.Repeat(" ", indent) + line[at+1:]
	}
	b.WriteString(line + "\n")
}
