package cli

import (
	"regexp"
	"strings"
)

// helpWidth is how wide help is at most, in columns.
const helpWidth = 100

// entryText is where the text of a flag, a variable, a file or an exit status starts.
var entryText = regexp.MustCompile(`^   \S.*?  +`)

// wrap breaks the lines of a help. What goes on in the next line is indented further than a
// line that begins something, by which internal/cli/manual puts them together again.
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

// writeWrapped writes a line as several, those after the first indented; all but the last end
// in more.
func writeWrapped(b *strings.Builder, line string, indent int, more string) {
	for len(line) > helpWidth {
		at := strings.LastIndexByte(line[:helpWidth-len(more)+1], ' ')
		if at <= indent {
			break // a word that is longer than that
		}
		b.WriteString(line[:at] + more + "\n")
		line = strings.Repeat(" ", indent) + line[at+1:]
	}
	b.WriteString(line + "\n")
}
