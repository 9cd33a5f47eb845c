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
	// Also where all was done: whoever interrupts a loop means the next round, too.
	if i := interruptedBy(ctx); i != nil {
		endBy(i.by)
	}
	os.Exit(code)
}

// parsing is held while flags are parsed: urfave keeps what it finds about them in the flags
// themselves, and those are the whole process's.
var parsing sync.Mutex

// Execute runs the tool and returns its exit code, as a shell has it where a signal ended
// ctx. It is safe to call concurrently.
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
		hint := "" // it ended early: there was nothing to do but to print
		if err == nil {
			hint = "what this run had to do is done: check the result before you run it again"
		}
		err = exit.Failf(hint, "cannot write to standard output: %w", out.outErr)
	}
	err = explainPanic(out.Settle(err))
	out.report(err)
	out.flush()
	return exit.Code(err)
}

// oneDash is how the flag package writes the name of a flag whose value is wrong.
var oneDash = regexp.MustCompile(`^(invalid (?:boolean )?value ".*" for )(?:flag )?-([^-: ]{2,}: )`)

func init() {
	// -v stays free: to some it means to say more.
	urfave.VersionFlag = &urfave.BoolFlag{Name: "version", Aliases: []string{"V"}, Usage: "print version, commit and Go version", DisableDefaultText: true}
	urfave.VersionPrinter = func(c *urfave.Context) { fmt.Fprintln(c.App.Writer, c.App.Name, Version()) }
}

func usage(t Tool, err error) error {
	return exit.Fail(usageHint(t.Name), err) // wrong flags or arguments
}
