// Package manual makes the manual of a command from its help: the page for man(1), the page
// in docs/commands, and completions for bash, zsh and fish. The help of every command has the
// same form, since internal/cli prints it.
package manual

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"ailee-recovery/internal/cli"
)

// Command is a command as its help describes it.
type Command struct {
	Name        string
	Summary     string
	Usage       string   // without the name
	Description []string // paragraphs of one line each; those that start with a space are preformatted
	Flags       []Flag
	Environment []cli.Entry
	Files       []cli.Entry
	Examples    []Example
	ExitStatus  []cli.Entry
	SeeAlso     []string
	Commands    []Subcommand // what the first argument can be; not part of the help
}

// Flag is one flag.
type Flag struct {
	Name    string // with its dashes
	Short   string // the same, "" for none
	Value   string // the help's name for its value, "" for a flag without one
	Text    string
	Default string // "" for none
}

// Example is a command line.
type Example struct {
	Caption string // "" for an example that belongs to the one before
	Command string
	Output  *string // what it prints; nil if that depends on what only an operator has
}

// Parse reads the help of a command.
func Parse(help string) (Command, error) {
	var c Command
	first, rest, _ := strings.Cut(unwrapped(help), "\n")
	name, summary, ok := strings.Cut(first, " - ")
	if !ok {
		return c, fmt.Errorf("the help starts with %q instead of NAME - SUMMARY", first)
	}
	c.Name, c.Summary = name, summary
	section, caption := "", ""
	var lines []string // of the description
	for line := range strings.Lines(rest) {
		line = strings.TrimRight(line, "\n")
		text, isText := strings.CutPrefix(line, "   ")
		var err error
		switch {
		case line == "" && section == "USAGE":
			lines = append(lines, "")
		case line == "":
		case !isText:
			section = strings.TrimSuffix(line, ":")
		case section == "USAGE" && c.Usage == "":
			c.Usage = strings.TrimPrefix(text, name+" ")
		case section == "USAGE":
			lines = append(lines, text)
		case section == "FLAGS":
			err = c.parseFlag(text)
		case section == "ENVIRONMENT":
			err = parseEntry(&c.Environment, text)
		case section == "FILES":
			err = parseEntry(&c.Files, text)
		case section == "EXIT STATUS":
			err = parseEntry(&c.ExitStatus, text)
		case section == "SEE ALSO":
			c.SeeAlso = strings.Split(text, ", ")
		case section == "EXAMPLES" && strings.HasPrefix(text, "# "):
			caption = text[2:]
		case section == "EXAMPLES":
			c.Examples = append(c.Examples, Example{Caption: caption, Command: text})
			caption = ""
		default:
			err = fmt.Errorf("unknown section %q", section)
		}
		if err != nil {
			return c, fmt.Errorf("the help of %s: %w", name, err)
		}
	}
	if c.describe(lines); len(c.Description) == 0 || len(c.Flags) == 0 || len(c.ExitStatus) == 0 {
		return c, fmt.Errorf("the help of %s lacks a section", name)
	}
	return c, nil
}

// unwrapped joins the lines of sections that were broken because of their width. The
// description stays as it is.
func unwrapped(help string) string {
	text, sections, _ := strings.Cut(help, "\nFLAGS:\n")
	return text + "\nFLAGS:\n" + goesOn.ReplaceAllString(sections, " ")
}

// goesOn matches the end of a line that continues on the next one.
var goesOn = regexp.MustCompile(`(?: \\)?\n {4,}`)

// describe joins the lines of each paragraph. Indented lines stay separate.
func (c *Command) describe(lines []string) {
	before := ""
	for _, line := range lines {
		last := len(c.Description) - 1
		switch {
		case line == "":
		case before == "" || strings.HasPrefix(line, " ") != strings.HasPrefix(before, " "):
			c.Description = append(c.Description, line)
		case strings.HasPrefix(line, " "):
			c.Description[last] += "\n" + line
		default:
			c.Description[last] += " " + line
		}
		before = line
	}
}

var flagLine = regexp.MustCompile(`^(--[a-z0-9-]+)(?: ([A-Z0-9:_]+))?(?:, (-[A-Za-z]))?  +(.+?)(?: \(default: ([^()]*)\))?(?: \[\$[A-Z_]+\])?$`)

func (c *Command) parseFlag(text string) error {
	parts := flagLine.FindStringSubmatch(text)
	if parts == nil {
		return fmt.Errorf("not a flag: %q", text)
	}
	f := Flag{Name: parts[1], Value: parts[2], Short: parts[3], Text: parts[4]}
	// A required flag has no default, and the default of a switch is obvious.
	if !slices.Contains(strings.Fields(c.Usage), f.Name) && parts[5] != "false" {
		f.Default = strings.Trim(parts[5], `"`)
	}
	c.Flags = append(c.Flags, f)
	return nil
}

func parseEntry(entries *[]cli.Entry, text string) error {
	i := strings.Index(text, "  ")
	if i < 0 {
		return fmt.Errorf("not a name and its meaning: %q", text)
	}
	*entries = append(*entries, cli.Entry{Name: text[:i], Text: strings.TrimSpace(text[i:])})
	return nil
}

// argument is a positional argument, by the name that the help gives it.
type argument struct {
	name     string
	optional bool
}

func (c Command) arguments() (all []argument) {
	fields := strings.Fields(c.Usage)
	for _, field := range fields[slices.Index(fields, "[flags]")+1:] {
		name := strings.Trim(strings.Replace(field, several, "", 1), "[]|")
		if name != "" {
			all = append(all, argument{name, strings.HasPrefix(field, "[")})
		}
	}
	return all
}

// several follows the name of an argument that can be given several times.
const several = "..."
