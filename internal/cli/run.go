package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/stdio"
)

// Main runs the tool as this process. Only a main function may call it.
func Main(t Tool) {
	noVerdictByAccident()
	ctx := interruptible()
	code := Execute(ctx, t, os.Args, Streams{In: os.Stdin, Out: stdio.Output(), Err: os.Stderr})
	// Even if the work was done: interrupting a loop is meant to stop its next round, too.
	if i := interruptedBy(ctx); i != nil {
		endBy(i.by)
	}
	os.Exit(code)
}

// parsing is held while flags are parsed: urfave stores what it parses in the flags
// themselves, which the whole process shares.
var parsing sync.Mutex

// Execute runs the tool and returns its exit code; where a signal ended ctx, the one that a
// shell reports. It is safe to call concurrently.
func Execute(ctx context.Context, t Tool, args []string, s Streams) int {
	out := &IO{Streams: s, ctx: ctx, tool: t.Name, leaves: cmp.Or(t.Leaves, "nothing that existed was changed"), lines: slices.Contains(t.Flags, urfave.Flag(JSONLinesFlag)),
		journal: t.Journal && isJournal(s.Err)}
	parsing.Lock()
	parsed := sync.OnceFunc(parsing.Unlock)
	defer parsed()
	line, err := arrange(t, args[1:])
	out.json = line.json // for errors before the flags are read
	var help strings.Builder
	app := &urfave.App{
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
		Writer:                 &help,
		ErrWriter:              s.Err,
		ExitErrHandler:         func(*urfave.Context, error) {},
		OnUsageError: func(_ *urfave.Context, err error, _ bool) error {
			return usage(t, errors.New(oneDash.ReplaceAllString(err.Error(), "${1}--${2}")))
		},
		Action: func(c *urfave.Context) error {
			parsed()
			out.json, out.quiet = c.Bool("json"), c.Bool("quiet")
			if err := checkArguments(t, c); err != nil {
				return err
			}
			return t.Run(c.Context, c, out)
		},
	}
	if err == nil {
		err = runGuarded(ctx, app, line.line(args[0]))
	}
	out.write([]byte(wrap(help.String())))
	out.flush()
	if out.outErr != nil && (err == nil || errors.Is(err, out.outErr)) {
		hint := "" // printing was all there was to do, and it ended early
		if err == nil {
			hint = "the work itself is done: check the result before running it again"
		}
		err = exit.Failf(hint, "cannot write to standard output: %w", out.outErr)
	}
	err = explainPanic(out.Settle(err))
	out.report(err)
	out.flush()
	return exit.Code(err)
}

// oneDash matches the flag package's message on a flag with a wrong value.
var oneDash = regexp.MustCompile(`^(invalid (?:boolean )?value ".*" for )(?:flag )?-([^-: ]{2,}: )`)

func init() {
	// -v is not an alias: some expect it to mean verbose.
	urfave.VersionFlag = &urfave.BoolFlag{Name: "version", Aliases: []string{"V"}, Usage: "print version, commit and Go version", DisableDefaultText: true}
	urfave.VersionPrinter = func(c *urfave.Context) { fmt.Fprintln(c.App.Writer, c.App.Name, Version()) }
}

func usage(t Tool, err error) error {
	return exit.Fail(usageHint(t.Name), err) // wrong flags or arguments
}
