package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/exit"
)

// tool has a flag of each kind and two arguments.
func tool(run func(ctx context.Context, c *urfave.Context, out *cli.IO) error) cli.Tool {
	return cli.Tool{
		Name: "ailee_tool", Summary: "does something", Arguments: "FROM TO", Positional: 2,
		Description: "What it does.",
		Environment: []cli.Entry{{Name: "AILEE_LONG_NAME", Text: "a variable"}},
		Files:       []cli.Entry{{Name: "~/.file", Text: "a file"}},
		Examples:    "# says what it is for\nailee_tool a b",
		SeeAlso:     []string{"ailee_other", "ailee_another"},
		Flags: []urfave.Flag{
			cli.JSONFlag, cli.QuietFlag,
			&urfave.StringFlag{Name: "file", Usage: "read `FILE`", EnvVars: []string{"AILEE_FILE"}},
			&urfave.IntFlag{Name: "keep", Aliases: []string{"k"}, Usage: "keep `N`"},
			&urfave.BoolFlag{Name: "force", Usage: "replace"},
			&urfave.StringFlag{Name: "sort", Usage: "sort in `ORDER`"},
			&urfave.StringFlag{Name: "out", Usage: "write `OUT`"},
			&urfave.StringFlag{Name: "in", Usage: "look in `DIR`"},
			&urfave.BoolFlag{Name: "secret", Hidden: true},
		},
		Bare:  map[string]cli.Bare{"sort": {Means: "up", Values: []string{"up", "down"}}},
		Stdin: []string{"file"},
		Run:   run,
	}
}

func execute(t cli.Tool, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = cli.Execute(context.Background(), t, append([]string{t.Name}, args...), cli.Streams{Out: &out, Err: &errs})
	return code, out.String(), errs.String()
}

// TestArguments: a command line with a mistake is refused, and nothing is run.
func TestArguments(t *testing.T) {
	for line, want := range map[string]string{
		// What runs, with its arguments and flags.
		"a b":                           "a b, , 0, false",
		"--file f --keep 5 --force a b": "a b, f, 5, true",
		"-k 5 a b":                      "a b, , 5, false",
		"--keep=5 a b":                  "a b, , 5, false",
		"-- --force b":                  "--force b, , 0, false",
		"-- a --force":                  "a --force, , 0, false",
		"--keep 5 -- -x -y":             "-x -y, , 5, false",
		"- b":                           "- b, , 0, false",
		"a -":                           "a -, , 0, false",
		// Flags anywhere.
		"a b --force":               "a b, , 0, true",
		"a --force b":               "a b, , 0, true",
		"a --force=false b --force": "a b, , 0, true",
		"a --keep 5 b":              "a b, , 5, false",
		"a -k 5 b":                  "a b, , 5, false",
		"a -keep=5 b":               "a b, , 5, false",
		"a b --keep -5":             "a b, , -5, false",
		"a b --file -":              "a b, -, 0, false",
		"a b --file -x":             "a b, -x, 0, false",
		"a b --file=--force":        "a b, --force, 0, false",
		"a --file f -- --force":     "a --force, f, 0, false",
		"a b --file=":               "a b, , 0, false",
		"a b --sort":                "a b, , 0, false, up",
		"--sort down a b":           "a b, , 0, false, down",
		"a --sort b":                "a b, , 0, false, up",
		"a b --sort=down":           "a b, , 0, false, down",
		"a --sort -- down":          "a down, , 0, false, up",
		// What is refused.
		"":                   "error: missing argument: expected FROM TO",
		"a":                  "error: missing argument: expected FROM TO",
		"a b c":              "error: too many arguments: c",
		"a b c d":            "error: too many arguments: c d",
		"--no-such a b":      "error: there is no flag --no-such\nailee_tool: hint: ailee_tool --help shows the usage\n",
		"a b -no-such=5":     "error: there is no flag --no-such\n",
		"a b -x":             "error: there is no flag -x\n",
		"a b ---":            "error: there is no flag --",
		"a b ---force":       "error: there is no flag ---force\n",
		"--fiel f a b":       "error: there is no flag --fiel\nailee_tool: hint: did you mean --file? ailee_tool --help shows the usage\n",
		"a b --forced":       "hint: did you mean --force? ",
		"a b --KEEP 5":       "hint: did you mean --keep? ",
		"a b --versoin":      "hint: did you mean --version? ",
		"a b --secre":        "hint: ailee_tool --help",
		"--keep x a b":       `error: invalid value "x" for --keep: `,
		"--force=maybe a b":  `error: invalid boolean value "maybe" for --force: `,
		"-k x a b":           `error: invalid value "x" for flag -k: `,
		"--force a b --file": "error: the flag --file needs a value\nailee_tool: hint: ailee_tool --help shows the usage\n",
		"a b --file -- c":    "error: the flag --file needs a value\n",
		"a b --file --force": "error: the flag --file needs a value, but --force is a flag\nailee_tool: hint: if that is the value, write --file=--force\n",
		"a b --file --help":  "error: the flag --file needs a value, but --help is a flag\n",
		"a b --keep -q":      "error: the flag --keep needs a value, but -q is a flag\n",
		"a b --out -":        "error: --out -: neither standard input nor standard output can be used here\nailee_tool: hint: name a file; for one called -, write ./-\n",
		"a b --in=-":         "error: --in -: neither standard input nor standard output can be used here\nailee_tool: hint: name a folder; for one called -, write ./-\n",
	} {
		ran := ""
		command := tool(func(_ context.Context, c *urfave.Context, _ *cli.IO) error {
			ran = fmt.Sprintf("%s, %s, %d, %v", strings.Join(c.Args().Slice(), " "), c.String("file"), c.Int("keep"), c.Bool("force"))
			if sort := c.String("sort"); sort != "" {
				ran += ", " + sort
			}
			return nil
		})
		code, stdout, stderr := execute(command, strings.Fields(line)...)
		require.Empty(t, stdout)
		if !strings.Contains(want, "error: ") && !strings.Contains(want, "hint: ") {
			require.Equal(t, exit.OK, code, "%q: %s", line, stderr)
			require.Equal(t, want, ran, line)
			continue
		}
		require.Equal(t, exit.Failed, code, line)
		require.Contains(t, stderr, want, line)
		require.Empty(t, ran, line)
		require.Equal(t, 2, strings.Count(stderr, "\n"), stderr)
	}
}

// TestRequired: a required flag can also be given by its environment variable.
func TestRequired(t *testing.T) {
	ran := 0
	command := tool(func(context.Context, *urfave.Context, *cli.IO) error { ran++; return nil })
	command.Required = []string{"file"}
	code, _, stderr := execute(command, "a", "b")
	require.Equal(t, exit.Failed, code)
	require.Equal(t, "ailee_tool: error: the flag --file is missing\nailee_tool: hint: ailee_tool --help shows the usage\n", stderr)
	require.Zero(t, ran)
	code, _, stderr = execute(command, "--file", "f", "a", "b")
	require.Equal(t, exit.OK, code, stderr)
	t.Setenv("AILEE_FILE", "f")
	code, _, stderr = execute(command, "a", "b")
	require.Equal(t, exit.OK, code, stderr)
	require.Equal(t, 2, ran)
}

// TestHelp: the help has everything that a manual page is made of, in order.
func TestHelp(t *testing.T) {
	command := tool(func(context.Context, *urfave.Context, *cli.IO) error { return errors.New("it ran") })
	command.Required = []string{"file"}
	const exitStatus = "EXIT STATUS:\n   0    done, or verified\n   1    could not do the job (usage, input, I/O); %s\n   2    checked, and the data is wrong\n" +
		"   130  interrupted by Ctrl-C (143: by SIGTERM); cleans up first, then ends by that signal\n"
	for _, args := range []string{"--help", "-h", "a b --help", "a --help b", "a b c -h --keep 5"} {
		code, stdout, stderr := execute(command, strings.Fields(args)...)
		require.Equal(t, exit.OK, code)
		require.Empty(t, stderr)
		rest := stdout
		for _, part := range []string{
			"ailee_tool - does something\n\nUSAGE:\n   ailee_tool --file FILE [flags] FROM TO\n\n   What it does.\n\nFLAGS:\n",
			"   --json", "   --quiet, -q", "   --file FILE", "read FILE", "   --keep N, -k N", "   --force",
			"\n\nENVIRONMENT:\n   AILEE_FILE       the default of --file\n   AILEE_LONG_NAME  a variable\n   AILEE_TRACE      ",
			"\n\nFILES:\n   ~/.file  a file\n\nEXAMPLES:\n   # says what it is for\n   ailee_tool a b\n\n",
			fmt.Sprintf(exitStatus, "nothing that existed is changed"), "\nSEE ALSO:\n   ailee_other, ailee_another\n",
		} {
			_, later, found := strings.Cut(rest, part)
			require.True(t, found, "%q is missing or misplaced:\n%s", part, stdout)
			rest = later
		}
		require.Empty(t, rest)
	}
	command.Leaves = "what it wrote stays"
	_, stdout, _ := execute(command, "--help")
	require.Contains(t, stdout, fmt.Sprintf(exitStatus, "what it wrote stays"))

	bare := cli.Tool{Name: "bare", Summary: "s", Run: command.Run}
	_, stdout, _ = execute(bare, "--help")
	require.Contains(t, stdout, "USAGE:\n   bare [flags]\n")
	for _, section := range []string{"FILES", "EXAMPLES", "SEE ALSO"} {
		require.NotContains(t, stdout, section)
	}
	code, stdout, _ := execute(bare, "--version")
	require.Equal(t, exit.OK, code)
	require.Regexp(t, `^bare \S+ \(commit \S+, go\S+\)\n$`, stdout)
}

// TestErrors: one line for the error and one for the hint, the same as a document, and the
// exit code of each kind.
func TestErrors(t *testing.T) {
	lines := func(text string) string { return strings.ReplaceAll(text, "> ", "ailee_tool: ") }
	for _, c := range []struct {
		err    error
		code   int
		stderr string
		stdout string // with --json
	}{
		{nil, exit.OK, "", ""},
		{errors.New("broken"), exit.Failed, "> error: broken\n", `{"errors": [{"message": "broken"}], "exit_code": 1}`},
		{exit.Failf("try again", "broken"), exit.Failed, "> error: broken\n> hint: try again\n", `{"errors": [{"hint": "try again", "message": "broken"}], "exit_code": 1}`},
		{exit.WrongData("restore it", errors.New("wrong")), exit.Wrong, "> error: wrong\n> hint: restore it\n", `{"errors": [{"hint": "restore it", "message": "wrong"}], "exit_code": 2}`},
		{exit.WrongData("restore it", nil), exit.Wrong, "> hint: restore it\n", `{"errors": [{"hint": "restore it", "message": "the data is wrong"}], "exit_code": 2}`},
		{errors.Join(errors.New("a"), errors.New("b")), exit.Failed, "> error: a; b\n", `{"errors": [{"message": "a; b"}], "exit_code": 1}`},
		{fmt.Errorf("f: %w", errors.Join(errors.New("a"), errors.Join(errors.New("b"), errors.New("c")))), exit.Failed, "> error: f: a; b; c\n", ""},
		{errors.New("x\x1b[2J\ny"), exit.Failed, "> error: x\\x1b[2J\\x0ay\n", `{"errors": [{"message": "x\\x1b[2J\\x0ay"}], "exit_code": 1}`},
	} {
		command := tool(func(context.Context, *urfave.Context, *cli.IO) error { return c.err })
		code, stdout, stderr := execute(command, "a", "b")
		require.Equal(t, c.code, code)
		require.Empty(t, stdout)
		require.Equal(t, lines(c.stderr), stderr)
		code, stdout, stderr = execute(command, "--json", "--quiet", "a", "b")
		require.Equal(t, c.code, code)
		require.Equal(t, lines(c.stderr), stderr, "--quiet must not silence errors")
		if c.stdout != "" {
			require.JSONEq(t, c.stdout, stdout)
		}
	}
}

// TestSpeaking: what is printed where, with which flags.
func TestSpeaking(t *testing.T) {
	command := tool(func(_ context.Context, _ *urfave.Context, out *cli.IO) error {
		out.Printf("result %d\n", 1)
		out.Warn("%s: %v", "w\n", errors.Join(errors.New("a"), errors.New("b")))
		out.Hint("do %s", "this")
		out.Error("one of several")
		if out.JSON() {
			out.Document(map[string]int{"n": 1})
		}
		return exit.WrongData("", nil)
	})
	const warned, failed = "ailee_tool: warning: w\\x0a: a; b\nailee_tool: hint: do this\n", "ailee_tool: error: one of several\n"
	for args, want := range map[string][2]string{
		"":               {"result 1\n", warned + failed},
		"--quiet":        {"", failed},
		"-q":             {"", failed},
		"--json":         {"{\n  \"n\": 1\n}\n", warned + failed},
		"--json --quiet": {"{\n  \"n\": 1\n}\n", failed},
	} {
		code, stdout, stderr := execute(command, append(strings.Fields(args), "a", "b")...)
		require.Equal(t, exit.Wrong, code)
		require.Equal(t, want, [2]string{stdout, stderr}, args)
	}
}

// TestJournal: with a tool that writes to the journal, lines have priorities when standard
// error is the stream that JOURNAL_STREAM names. A hint has the priority of the line before,
// and an alarm is printed even with --quiet.
func TestJournal(t *testing.T) {
	errs, err := os.Create(filepath.Join(t.TempDir(), "errs"))
	require.NoError(t, err)
	defer errs.Close()
	var stat syscall.Stat_t
	require.NoError(t, syscall.Fstat(int(errs.Fd()), &stat))
	command := tool(func(_ context.Context, _ *urfave.Context, out *cli.IO) error {
		out.Alarm(3, "%s", "bad\n")
		out.Hint("do this")
		out.Warn("odd")
		return exit.Failf("do that", "failed")
	})
	const with = "<3>ailee_tool: warning: bad\\x0a\n<3>ailee_tool: hint: do this\n<4>ailee_tool: warning: odd\n<4>ailee_tool: error: failed\n<4>ailee_tool: hint: do that\n"
	without := strings.NewReplacer("<3>", "", "<4>", "").Replace(with)
	for _, c := range []struct {
		stream  string
		journal bool
		args    string
		want    string
	}{
		{fmt.Sprintf("%d:%d", stat.Dev, stat.Ino), true, "a b", with},
		{fmt.Sprintf("%d:%d", stat.Dev, stat.Ino), true, "-q a b", "<3>ailee_tool: warning: bad\\x0a\n<4>ailee_tool: error: failed\n<4>ailee_tool: hint: do that\n"},
		{fmt.Sprintf("%d:%d", stat.Dev, stat.Ino), false, "a b", without},
		{fmt.Sprintf("%d:%d", stat.Dev, stat.Ino+1), true, "a b", without},
		{fmt.Sprintf("%d:%d", stat.Dev+1, stat.Ino), true, "a b", without},
		{"", true, "a b", without},
	} {
		t.Setenv("JOURNAL_STREAM", c.stream)
		command.Journal = c.journal
		require.NoError(t, errs.Truncate(0))
		_, err := errs.Seek(0, io.SeekStart)
		require.NoError(t, err)
		require.Equal(t, exit.Failed, cli.Execute(t.Context(), command, append([]string{command.Name}, strings.Fields(c.args)...), cli.Streams{Err: errs}))
		text, err := os.ReadFile(errs.Name())
		require.NoError(t, err)
		require.Equal(t, c.want, string(text))
	}
	// A stream that is not a file is not the journal.
	t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", stat.Dev, stat.Ino))
	command.Journal = true
	_, _, stderr := execute(command, "a", "b")
	require.Equal(t, without, stderr)
}

// TestLargeNumbers: however a document is printed, a number beyond 2^53-1 is a string.
func TestLargeNumbers(t *testing.T) {
	large := map[string]uint64{"n": 9007199254740992}
	for want, print := range map[string]func(*cli.IO) error{
		"{\n  \"n\": \"9007199254740992\"\n}\n": func(out *cli.IO) error { out.Document(large); return nil },
		"{\"n\":\"9007199254740992\"}\n":        func(out *cli.IO) error { return out.Line(large) },
		"{\n  \"n\":\"9007199254740992\",\n  \"rows\": [\n    {\"n\":\"9007199254740992\"}\n  ],\n  \"n\":\"9007199254740992\",\"exit_code\":0}\n": func(out *cli.IO) error {
			rows := out.Rows(large, "rows")
			return errors.Join(rows.Add(large), rows.End(struct {
				N        uint64 `json:"n"`
				ExitCode int    `json:"exit_code"`
			}{large["n"], 0}))
		},
	} {
		code, stdout, stderr := execute(tool(func(_ context.Context, _ *urfave.Context, out *cli.IO) error { return print(out) }), "--json", "a", "b")
		require.Equal(t, exit.OK, code, stderr)
		require.Equal(t, want, stdout)
	}
}

// TestRows: an array that is printed row by row is one document, even when it is empty.
func TestRows(t *testing.T) {
	for n := range 4 {
		command := tool(func(_ context.Context, _ *urfave.Context, out *cli.IO) error {
			rows := out.Rows(map[string]string{"file": "f"}, "rows")
			for i := range n {
				require.NoError(t, rows.Add(map[string]int{"i": i}))
			}
			return rows.End(map[string]int{"exit_code": 0})
		})
		code, stdout, stderr := execute(command, "--json", "a", "b")
		require.Equal(t, exit.OK, code, stderr)
		var doc struct {
			File string
			Rows []struct{ I int }
			Code *int `json:"exit_code"`
		}
		require.NoError(t, json.Unmarshal([]byte(stdout), &doc), stdout)
		require.Equal(t, "f", doc.File)
		require.NotNil(t, doc.Rows)
		require.Len(t, doc.Rows, n)
		require.NotNil(t, doc.Code)
		for i, row := range doc.Rows {
			require.Equal(t, i, row.I)
		}
	}
}

// TestOutputThatFails: output that cannot be printed is an error, even after the work is
// done, except where the verdict is worse.
func TestOutputThatFails(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer full.Close()
	for _, c := range []struct {
		err  error
		args []string
		code int
		says string
	}{
		{nil, nil, exit.Failed, "error: cannot write to standard output: "},
		{nil, []string{"--json"}, exit.Failed, "hint: the work itself is done"},
		{exit.WrongData("", errors.New("wrong")), nil, exit.Wrong, "error: wrong\n"},
	} {
		command := tool(func(_ context.Context, _ *urfave.Context, out *cli.IO) error {
			out.Printf("result\n")
			if out.JSON() {
				out.Document(1)
			}
			return c.err
		})
		var errs bytes.Buffer
		code := cli.Execute(context.Background(), command, append(append([]string{command.Name}, c.args...), "a", "b"), cli.Streams{Out: full, Err: &errs})
		require.Equal(t, c.code, code)
		require.Contains(t, errs.String(), c.says)
	}
	var errs bytes.Buffer
	require.Equal(t, exit.Failed, cli.Execute(context.Background(), tool(nil), []string{"ailee_tool", "--help"}, cli.Streams{Out: full, Err: &errs}))
}

// TestInterrupted: the hint says what the run leaves.
func TestInterrupted(t *testing.T) {
	for leaves, hint := range map[string]string{"": "nothing that existed was changed", "run it again": "run it again"} {
		ctx, cancel := context.WithCancel(t.Context())
		command := tool(func(ctx context.Context, _ *urfave.Context, _ *cli.IO) error {
			cancel()
			return fmt.Errorf("reading: %w", ctx.Err())
		})
		command.Leaves = leaves
		var errs bytes.Buffer
		require.Equal(t, exit.Failed, cli.Execute(ctx, command, []string{command.Name, "a", "b"}, cli.Streams{Err: &errs}))
		require.Equal(t, "ailee_tool: error: interrupted\nailee_tool: hint: "+hint+"\n", errs.String())
	}
}

// TestNow: the clock is that of the caller.
func TestNow(t *testing.T) {
	noon := time.Unix(1739577600, 0)
	for _, clock := range []func() time.Time{nil, func() time.Time { return noon }} {
		var now time.Time
		command := tool(func(_ context.Context, _ *urfave.Context, out *cli.IO) error { now = out.Now(); return nil })
		require.Zero(t, cli.Execute(t.Context(), command, []string{command.Name, "a", "b"}, cli.Streams{Now: clock}))
		require.Equal(t, clock != nil, now.Equal(noon))
		require.False(t, now.IsZero())
	}
}

// TestConcurrently: tools that run at the same time in one process share no flags, which the
// race detector would notice. One run waits for the other, which shows that they are not
// serialized.
func TestConcurrently(t *testing.T) {
	both := make(chan bool)
	var runs sync.WaitGroup
	for i := range 2 {
		runs.Go(func() {
			command := tool(func(_ context.Context, c *urfave.Context, _ *cli.IO) error {
				if i == 0 {
					both <- true
				} else {
					<-both
				}
				return exit.Failf("", "%d, %t", c.Int("keep"), c.Bool("json"))
			})
			code, _, stderr := execute(command, "--keep", fmt.Sprint(i), "a", "b")
			assert.Equal(t, exit.Failed, code)
			assert.Contains(t, stderr, fmt.Sprintf("error: %d, false", i))
			code, stdout, _ := execute(command, "--help")
			assert.Zero(t, code)
			assert.Contains(t, stdout, "ailee_tool")
		})
	}
	runs.Wait()
}
