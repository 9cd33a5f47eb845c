package manual

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"

	"ailee-recovery/internal/cli"
)

// Markdown returns the page for docs/commands.
func (c Command) Markdown() string {
	p := page{Command: c}
	return p.write("# "+c.Name+"\n", func(name, text string) string { return "- " + name + ": " + text + "\n" },
		func(name string) string { return "[" + name + "](" + name + ".md)" }, "["+RecoveryPage+"(7)](../runbook.md)")
}

// Man returns the page for man(1).
func (c Command) Man() string {
	p := page{Command: c}
	text := p.write(fmt.Sprintf("# %s 1 \"\" \"ailee-recovery\" \"AILEE recovery toolkit\"\n", c.Name),
		func(name, text string) string { return name + "\n: " + text + "\n\n" },
		func(name string) string { return "**" + name + "**(1)" }, "**"+RecoveryPage+"**(7)")
	return roff(text, "the help of "+c.Name)
}

// roff renders the text of a page; source says what it was made from.
func roff(text, source string) string {
	var b strings.Builder
	b.WriteString(".\\\" Made by make generate from " + source + ".\n")
	shown := false // inside an example
	for line := range strings.Lines(string(md2man.Render([]byte(text)))) {
		switch {
		case line == ".nh\n", line == "\n" && !shown:
			continue
		case strings.HasPrefix(line, ".TH "):
			// No hyphenation and no justification, so that what is shown can be pasted.
			line += ".nh\n.ad l\n"
		case line == ".EX\n":
			shown = true
			line = ".PP\n.RS 4\n.EX\n"
		case line == ".EE\n":
			shown = false
			line = ".EE\n.RE\n.nh\n" // .EE turns hyphens on
		case !strings.HasPrefix(line, "."):
			// A bare - is printed as a hyphen, which no shell takes for a flag.
			line = strings.ReplaceAll(strings.ReplaceAll(line, `\-`, "-"), "-", `\-`)
		}
		b.WriteString(line)
	}
	return b.String()
}

// Index returns the page that lists the commands.
func Index(commands []Command) string {
	var b strings.Builder
	b.WriteString("# Commands\n\nMade by `make generate` from the help of the commands, with what their examples print.\n\n")
	for _, c := range commands {
		fmt.Fprintf(&b, "- [%s](%s.md): %s\n", c.Name, c.Name, escape(c.Summary))
	}
	return b.String()
}

type page struct {
	Command
	marked *regexp.Regexp
}

// write returns the page, in the format that item and link give to names with their meaning
// and to links to commands; recovery is the link to the page on recovery.
func (p *page) write(title string, item func(name, text string) string, link func(name string) string, recovery string) string {
	var b strings.Builder
	section := func(name string) { fmt.Fprintf(&b, "\n## %s\n\n", name) }
	b.WriteString(title)
	section("NAME")
	fmt.Fprintf(&b, "%s - %s\n", p.Name, escape(p.Summary))
	section("SYNOPSIS")
	fmt.Fprintf(&b, "`%s` %s\n", p.Name, p.mark(strings.Replace(p.Usage, "[flags]", "[options]", 1)))
	section("DESCRIPTION")
	for i, text := range p.Description {
		if i > 0 {
			b.WriteString("\n")
		}
		if strings.HasPrefix(text, " ") {
			fmt.Fprintf(&b, "```\n%s\n```\n", outdent(text))
		} else {
			b.WriteString(p.mark(text) + "\n")
		}
	}
	section("OPTIONS")
	for _, f := range p.Flags {
		name := "`" + f.Name + "`"
		if f.Value != "" {
			name += " *" + f.Value + "*"
		}
		if f.Short != "" {
			name = "`" + f.Short + "`, " + name
		}
		text := p.sentence(f.Text)
		if f.Default != "" {
			text += " Default: " + p.mark(f.Default) + "."
		}
		b.WriteString(item(name, text))
	}
	entries := func(name string, entries []cli.Entry, mark func(name string) string) {
		if len(entries) == 0 {
			return
		}
		section(name)
		for _, e := range entries {
			b.WriteString(item(mark(e.Name), p.sentence(e.Text)))
		}
	}
	entries("EXIT STATUS", p.ExitStatus, p.mark)
	entries("ENVIRONMENT", p.Environment, p.mark)
	entries("FILES", p.Files, path)
	section("EXAMPLES")
	p.examples(&b)
	section("SEE ALSO")
	links := make([]string, 0, len(p.SeeAlso)+1)
	for _, name := range p.SeeAlso {
		links = append(links, link(name))
	}
	b.WriteString(strings.Join(append(links, recovery), ", ") + "\n")
	return b.String()
}

func (p *page) examples(b *strings.Builder) {
	for i, e := range p.Examples {
		if e.Caption != "" {
			caption := p.mark(e.Caption)
			if !strings.HasSuffix(caption, "?") {
				caption += ":"
			}
			if i > 0 {
				b.WriteString("\n")
			}
			fmt.Fprintf(b, "%s\n\n```\n", caption)
		}
		fmt.Fprintf(b, "$ %s\n", e.Command)
		if e.Output != nil {
			b.WriteString(*e.Output)
		}
		if i == len(p.Examples)-1 || p.Examples[i+1].Caption != "" {
			b.WriteString("```\n")
		}
	}
}

// part matches a placeholder in the name of a file: a word in capitals, or words in angle
// brackets, which need no further marking.
var part = regexp.MustCompile(`<[^>]*>|\b[A-Z]+\b`)

// path marks the placeholders in the name of a file.
func path(name string) string {
	var b strings.Builder
	at := 0
	for _, m := range part.FindAllStringIndex(name, -1) {
		word := name[m[0]:m[1]]
		if word[0] == '<' {
			continue
		}
		b.WriteString(escape(name[at:m[0]]) + "*" + word + "*")
		at = m[1]
	}
	return b.String() + escape(name[at:])
}

// outdent removes the leading spaces that all lines share.
func outdent(text string) string {
	lines := strings.Split(text, "\n")
	least := len(text)
	for _, line := range lines {
		least = min(least, len(line)-len(strings.TrimLeft(line, " ")))
	}
	for i, line := range lines {
		lines[i] = line[least:]
	}
	return strings.Join(lines, "\n")
}

// sentence makes a sentence of the few words in the help.
func (p *page) sentence(text string) string {
	// A word in capitals or with an underscore is a name and is not changed.
	if first, _, _ := strings.Cut(text, " "); regexp.MustCompile(`^[a-z]+,?$`).MatchString(first) {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	return p.mark(text) + "."
}

// mark marks flags, commands and variables as literal text, and placeholders as such.
func (p *page) mark(text string) string {
	if p.marked == nil {
		var values []string
		for _, argument := range p.arguments() {
			values = append(values, regexp.QuoteMeta(argument.name))
		}
		for _, f := range p.Flags {
			if f.Value != "" {
				values = append(values, regexp.QuoteMeta(f.Value))
			}
		}
		slices.Sort(values)
		pattern := `--[a-z][a-z-]*[a-z]|\b(?:ailee[_-][a-z0-9_-]+|test_recovery\.sh|(?:AILEE|BITCOIN)_[A-Z_]+)\b`
		if values = slices.Compact(values); len(values) > 0 {
			pattern += `|\b(?:` + strings.Join(values, "|") + `)\b`
		}
		p.marked = regexp.MustCompile(pattern)
		p.marked.Longest()
	}
	var b strings.Builder
	at := 0
	for _, m := range p.marked.FindAllStringIndex(text, -1) {
		word, mark := text[m[0]:m[1]], "*"
		if m[0] > 0 && strings.ContainsRune("/.", rune(text[m[0]-1])) && !p.isValue(word) {
			continue // part of a path
		}
		if strings.HasPrefix(word, "--") || strings.ContainsAny(word, "_-.") && !p.isValue(word) {
			mark = "`"
		}
		b.WriteString(escape(text[at:m[0]]) + mark + word + mark)
		at = m[1]
	}
	return b.String() + escape(text[at:])
}

func (p *page) isValue(word string) bool {
	return slices.ContainsFunc(p.Flags, func(f Flag) bool { return f.Value == word })
}

// special matches what Markdown would interpret; it leaves underscores within words alone.
var special = regexp.MustCompile("[\\\\`*<>\\[\\]]|\\b_\\B|\\B_\\b|_<")

func escape(text string) string {
	return special.ReplaceAllStringFunc(text, func(s string) string {
		if s == "_<" {
			return `\_\<`
		}
		return `\` + s
	})
}
