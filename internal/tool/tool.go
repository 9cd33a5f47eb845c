// Package tool is what every command shares: how it is run, how it speaks on
// its streams, and how an error becomes an exit code.
package tool

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"ailee-recovery/internal/printable"
	"ailee-recovery/internal/workers"
)

// Streams are a command's streams. Results go to Out, everything else to Err.
type Streams struct {
	In       *os.File
	Out, Err io.Writer
	// Now is the clock, nil for that of the machine. It gives the time of what is
	// made; it measures nothing.
	Now func() time.Time
}

// Entry is a line of a section of the help: a variable or a file, and what it is.
type Entry struct{ Name, Text string }

// Tool describes one command.
type Tool struct {
	Name        string
	Summary     string // one line
	Arguments   string // the positional arguments as help shows them, "" for none
	Positional  int    // how many there are
	Description string
	Environment []Entry // variables, beside those that are defaults of flags
	Files       []Entry
	// Examples has a command a line; a line that starts with # says what the commands
	// below it are for. The manual shows what they print, see docs/generate.
	Examples string
	SeeAlso  []string // other commands
	Flags    []cli.Flag
	Required []string // the flags that must be given
	// Run does the work. c has the parsed flags and arguments.
	Run func(ctx context.Context, c *cli.Context, io *IO) error
}

// Common flags, the same on every tool that has them.
var (
	JSONFlag  = &cli.BoolFlag{Name: "json", Usage: "print the result as one JSON document, also on failure"}
	QuietFlag = &cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print errors only"}
)

// Main runs the tool as this process. Only a main function may call it.
func Main(t Tool) {
	noVerdictByAccident()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(Execute(ctx, t, os.Args, Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// Execute runs the tool and returns its exit code.
func Execute(ctx context.Context, t Tool, args []string, s Streams) int {
	io := &IO{Streams: s, tool: t.Name}
	app := &cli.App{
		Name:                   t.Name,
		HelpName:               t.Name,
		Usage:                  t.Summary,
		ArgsUsage:              t.Arguments,
		Description:            strings.TrimSpace(t.Description),
		Flags:                  t.Flags,
		HideHelpCommand:        true,
		UseShortOptionHandling: false,
		Version:                "set",
		CustomAppHelpTemplate:  helpTemplate(t),
		Writer:                 helpWriter{io},
		ErrWriter:              s.Err,
		ExitErrHandler:         func(*cli.Context, error) {},
		OnUsageError: func(_ *cli.Context, err error, _ bool) error {
			// The flags behind the error were not read.
			io.json = slices.Contains(args, "--json")
			return usage(t, err)
		},
		Action: func(c *cli.Context) error {
			io.json, io.quiet = c.Bool("json"), c.Bool("quiet")
			if err := checkArguments(t, args, c); err != nil {
				return err
			}
			return t.Run(c.Context, c, io)
		},
	}
	err := runGuarded(ctx, app, args)
	if io.outErr != nil && (err == nil || errors.Is(err, io.outErr)) {
		hint := "" // it ended early: there was nothing to do but to print
		if err == nil {
			hint = "what this run had to do is done: look before you run it again"
		}
		err = Failf(hint, "cannot write to standard output: %w", io.outErr)
	}
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = Failf("nothing that existed was changed", "interrupted")
	}
	err = explainPanic(err)
	io.report(err)
	return ExitCode(err)
}

// helpWriter is where help and version go: a failure is noted, as that of any output.
type helpWriter struct{ io *IO }

func (w helpWriter) Write(p []byte) (int, error) {
	w.io.write(string(p))
	return len(p), w.io.outErr
}

func init() {
	// -v stays free; the version has one spelling.
	cli.VersionFlag = &cli.BoolFlag{Name: "version", Usage: "print version, commit and Go version", DisableDefaultText: true}
	cli.VersionPrinter = func(c *cli.Context) { fmt.Fprintln(c.App.Writer, c.App.Name, Version()) }
}

// helpTemplate is the help. Its form is what the manual pages are made from, see
// internal/reference.
func helpTemplate(t Tool) string {
	usage := t.Name
	for _, f := range t.Flags {
		if slices.Contains(t.Required, f.Names()[0]) {
			usage += " --" + f.Names()[0] + " " + placeholder.FindStringSubmatch(f.(cli.DocGenerationFlag).GetUsage())[1]
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
	b.WriteString(ExitCodes)
	if len(t.SeeAlso) > 0 {
		fmt.Fprintf(&b, "\nSEE ALSO:\n   %s\n", strings.Join(t.SeeAlso, ", "))
	}
	return b.String()
}

// placeholder is what a flag's usage calls its value.
var placeholder = regexp.MustCompile("`(.+?)`")

// defaults are the environment variables that flags take their defaults from.
func defaults(flags []cli.Flag) (entries []Entry) {
	for _, f := range flags {
		for _, name := range f.(cli.DocGenerationFlag).GetEnvVars() {
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

func usage(t Tool, err error) error {
	return Fail(t.Name+" --help shows the usage", err)
}

// checkArguments refuses what is left over: the flag package stops at the first
// positional argument, and a flag behind it would silently not count.
func checkArguments(t Tool, all []string, c *cli.Context) error {
	args := c.Args().Slice()
	before := all[1 : len(all)-len(args)]
	// Behind a -- everything is meant as an argument.
	meant := len(before) > 0 && before[len(before)-1] == "--"
	if flags, rest := splitFlags(t, args); len(flags) > 0 && !meant {
		order := slices.Concat([]string{t.Name}, before, flags, rest)
		return Failf("flags come first: "+shellLine(order), "the flag %s stands behind an argument", printable.Text(flags[0]))
	}
	for _, name := range t.Required {
		if !c.IsSet(name) {
			return usage(t, fmt.Errorf("the flag --%s is missing", name))
		}
	}
	switch {
	case len(args) > t.Positional:
		return usage(t, fmt.Errorf("too many arguments: %s", shellLine(args[t.Positional:])))
	case len(args) < t.Positional:
		return usage(t, fmt.Errorf("missing argument: expected %s", t.Arguments))
	}
	return nil
}

// splitFlags takes the flags, with their values, from among the arguments.
func splitFlags(t Tool, args []string) (flags, rest []string) {
	takesValue := map[string]bool{}
	for _, f := range t.Flags {
		_, isBool := f.(*cli.BoolFlag)
		for _, name := range f.Names() {
			takesValue[name] = !isBool
		}
	}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		// The first argument ended the flags: a - in front is its own.
		if i == 0 || len(arg) < 2 || arg[0] != '-' {
			rest = append(rest, arg)
			continue
		}
		if arg == "--" {
			return flags, append(rest, args[i:]...)
		}
		flags = append(flags, arg)
		if takesValue[strings.TrimLeft(arg, "-")] && i+1 < len(args) {
			i++
			flags = append(flags, args[i])
		}
	}
	return flags, rest
}

// version and commit are set by the linker.
var version, commit string

// Version names the build: version, commit and Go version.
func Version() string {
	v, c := version, commit
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && c == "" {
				c = s.Value
			}
		}
	}
	if v == "" {
		v = "devel"
	}
	if c == "" {
		c = "unknown"
	}
	return fmt.Sprintf("%s (commit %s, %s)", v, c, runtime.Version())
}

// report says the error on standard error, and as JSON where that was asked for
// and nothing was printed yet.
func (io *IO) report(err error) {
	if err == nil {
		return
	}
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Code: Failed, Err: err}
	}
	if e.Err != nil {
		io.line("error", message(err))
	}
	if e.Hint != "" {
		io.line("hint", e.Hint)
	}
	io.trace(err)
	if io.json && !io.printed {
		io.Document(map[string]any{"error": ErrorDocument(err), "exit_code": e.Code})
	}
}

// ErrorDocument is an error's JSON form.
func ErrorDocument(err error) map[string]any {
	doc := map[string]any{"message": printable.Text(message(err))}
	var e *Error
	if errors.As(err, &e) && e.Hint != "" {
		doc["hint"] = printable.Text(e.Hint)
	}
	return doc
}

// IO is how a command speaks.
type IO struct {
	Streams
	tool        string
	json, quiet bool
	printed     bool  // a JSON document was printed
	outErr      error // the first error of writing to Out
}

// JSON tells whether the result is to be JSON.
func (io *IO) JSON() bool { return io.json }

// Quiet tells whether only errors are to be printed.
func (io *IO) Quiet() bool { return io.quiet }

// Now returns the time that is given to what is made.
func (io *IO) Now() time.Time {
	if io.Streams.Now != nil {
		return io.Streams.Now()
	}
	return time.Now()
}

// Printf prints a result on standard output, unless it is to be quiet or JSON.
func (io *IO) Printf(format string, args ...any) {
	if !io.quiet && !io.json {
		io.write(fmt.Sprintf(format, args...))
	}
}

// Document prints the result as JSON, unless it is to be quiet.
func (io *IO) Document(doc any) {
	io.printed = true
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		io.outErr = err
		return
	}
	io.Raw(string(text) + "\n")
}

// Raw writes to standard output as it is and counts as the JSON document.
func (io *IO) Raw(s string) {
	io.printed = true
	io.write(s)
}

func (io *IO) write(s string) {
	if io.outErr == nil {
		_, io.outErr = fmt.Fprint(io.Out, s)
	}
}

// OutErr returns the first error of writing to standard output.
func (io *IO) OutErr() error { return io.outErr }

// Warn prints a warning on standard error, unless it is to be quiet.
func (io *IO) Warn(format string, args ...any) {
	if !io.quiet {
		io.line("warning", sprintf(format, args...))
	}
}

// Hint prints a hint on standard error, unless it is to be quiet.
func (io *IO) Hint(format string, args ...any) {
	if !io.quiet {
		io.line("hint", fmt.Sprintf(format, args...))
	}
}

// Interactive tells whether there is somebody to [IO.Ask]: questions go to standard
// error, answers come from standard input.
func (io *IO) Interactive() bool {
	f, ok := io.Err.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && io.In != nil && term.IsTerminal(int(io.In.Fd()))
}

// Ask asks a question and tells whether the answer is yes.
func (io *IO) Ask(ctx context.Context, question string) (bool, error) {
	fmt.Fprintf(io.Err, "%s [y/N] ", question)
	var line string
	answered := workers.Start(func() error {
		line, _ = bufio.NewReader(io.In).ReadString('\n')
		return nil
	})
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case err := <-answered:
		line = strings.ToLower(strings.TrimSpace(line))
		return line == "y" || line == "yes", err
	}
}

// line prints one line of the tool's own. Whatever came from a file is made
// printable, also where standard error is no terminal: logs end up on one.
func (io *IO) line(kind, text string) {
	fmt.Fprintf(io.Err, "%s: %s: %s\n", io.tool, kind, printable.Text(text))
}

// Error prints an error on standard error that is one of several.
func (io *IO) Error(format string, args ...any) { io.line("error", sprintf(format, args...)) }
