package manual

import (
	"fmt"
	"regexp"
	"strings"
)

// RecoveryPage is the page in section 7 that every other page refers to.
const RecoveryPage = "ailee-recovery"

// Recovery returns the page for man(7), made from a runbook in Markdown. Links become text
// that works on a printed page, and table rows become items, which fit any width.
func Recovery(runbook string, seeAlso []string) (string, error) {
	g := guide{headings: map[string]string{}}
	for _, m := range headingLine.FindAllStringSubmatch(runbook, -1) {
		g.headings[anchor(m[1])] = m[1]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s 7 \"\" \"ailee-recovery\" \"AILEE recovery toolkit\"\n\n", RecoveryPage)
	fmt.Fprintf(&b, "## NAME\n\n%s - what to do when the data of an AILEE node is damaged or lost\n\n## DESCRIPTION\n", RecoveryPage)
	shown := false // inside a code block
	lines := strings.Split(strings.TrimSpace(runbook), "\n")
	for i, line := range lines {
		switch {
		case i == 0 && strings.HasPrefix(line, "# "):
			continue // the title is above
		case strings.HasPrefix(line, "```"):
			shown = !shown
			line = strings.TrimSuffix(line, "bash")
		case shown:
		case strings.HasPrefix(line, "| --- "):
			continue
		case strings.HasPrefix(line, "| "):
			cells := strings.Split(strings.Trim(line, "| "), " | ")
			if len(cells) != 2 {
				return "", fmt.Errorf("a table row does not have two cells: %s", line)
			}
			if i+1 < len(lines) && strings.HasPrefix(lines[i+1], "| --- ") {
				cells = []string{"*" + cells[0] + "*", "*" + cells[1] + "*"}
			}
			line = g.text(cells[0]) + "\n: " + g.text(cells[1]) + "\n"
		default:
			line = g.text(line)
		}
		b.WriteString(line + "\n")
	}
	if g.lost != "" {
		return "", fmt.Errorf("a link to a missing section: %s", g.lost)
	}
	b.WriteString("\n## SEE ALSO\n\n")
	for i, name := range seeAlso {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("**" + name + "**(1)")
	}
	return roff(b.String()+"\n", "docs/runbook.md"), nil
}

type guide struct {
	headings map[string]string // by their anchors
	lost     string            // a link to a missing section
}

var (
	headingLine = regexp.MustCompile(`(?m)^## (.+)$`)
	linked      = regexp.MustCompile(`\[([^]]+)\]\(([^)#]*)(?:#([^)]*))?\)`)
	notAnchor   = regexp.MustCompile(`[^\pL\pN _-]`)
)

// anchor returns the name by which links refer to a heading.
func anchor(heading string) string {
	return strings.ReplaceAll(notAnchor.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

// text replaces each link in a text by its words and its target: the heading of a section, or
// another document.
func (g *guide) text(text string) string {
	return linked.ReplaceAllStringFunc(text, func(link string) string {
		m := linked.FindStringSubmatch(link)
		words, file, section := m[1], m[2], m[3]
		if file != "" {
			if file == words {
				return "docs/" + file
			}
			return words + " (docs/" + file + ")"
		}
		heading, ok := g.headings[section]
		switch {
		case !ok:
			g.lost = link
		case strings.EqualFold(words, heading):
			return "**" + words + "**"
		}
		return words + " (**" + heading + "**)"
	})
}
