package cli

import (
	"fmt"
	"slices"
	"strings"

	urfave "github.com/urfave/cli/v2"
)

// helpTemplate returns the help. The manual pages are made from it, and rely on its form: see
// internal/cli/manual.
func helpTemplate(t Tool) string {
	usage := t.Name
	for _, f := range t.Flags {
		if f, ok := f.(*urfave.BoolFlag); ok {
			f.DisableDefaultText = true // a switch is off by default
		}
		if slices.Contains(t.Required, f.Names()[0]) {
			usage += " --" + f.Names()[0] + " " + placeholder(f.(urfave.DocGenerationFlag).GetUsage())
		}
	}
	usage += " [flags]"
	if t.Arguments != "" {
		usage += " " + t.Arguments
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s - %s\n\nUSAGE:\n   %s\n\n   {{.Description}}\n\n", t.Name, t.Summary, usage)
	b.WriteString("FLAGS:{{range .VisibleFlags}}\n   {{.}}{{end}}\n\n")
	writeEntries(&b, "ENVIRONMENT", slices.Concat(defaults(t.Flags), t.Environment, []Entry{traceEntry}))
	writeEntries(&b, "FILES", t.Files)
	if t.Examples != "" {
		b.WriteString("EXAMPLES:\n")
		for line := range strings.Lines(strings.TrimSpace(t.Examples) + "\n") {
			b.WriteString("   " + line)
		}
		b.WriteString("\n")
	}
	b.WriteString(exitStatus(t))
	if len(t.SeeAlso) > 0 {
		fmt.Fprintf(&b, "\nSEE ALSO:\n   %s\n", strings.Join(t.SeeAlso, ", "))
	}
	return b.String()
}

// placeholder returns the name that a flag's usage gives its value, "" for none.
func placeholder(usage string) string {
	_, rest, _ := strings.Cut(usage, "`")
	name, _, _ := strings.Cut(rest, "`")
	return name
}

// defaults lists the environment variables from which flags take their defaults.
func defaults(flags []urfave.Flag) (entries []Entry) {
	for _, f := range flags {
		for _, name := range f.(urfave.DocGenerationFlag).GetEnvVars() {
			entries = append(entries, Entry{name, "the default of --" + f.Names()[0]})
		}
	}
	return entries
}

func writeEntries(b *strings.Builder, section string, entries []Entry) {
	if len(entries) == 0 {
		return
	}
	width := 0
	for _, e := range entries {
		width = max(width, len(e.Name))
	}
	fmt.Fprintf(b, "%s:\n", section)
	for _, e := range entries {
		fmt.Fprintf(b, "   %-*s  %s\n", width, e.Name, e.Text)
	}
	b.WriteString("\n")
}

// exitStatus returns the section on exit codes.
func exitStatus(t Tool) string {
	leaves := "nothing that existed is changed"
	if t.Leaves != "" {
		leaves = t.Leaves
	}
	return fmt.Sprintf(`EXIT STATUS:
   0    done, or verified
   1    could not do the job (usage, input, I/O); %s
   2    checked, and the data is wrong
   130  interrupted by Ctrl-C (143: by SIGTERM); cleans up first, then ends by that signal
`, leaves)
}
