package test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/golden"
)

// inHint matches the command lines in a hint: each is at its end, or before the next clause.
var inHint = regexp.MustCompile(`\b(ailee[_-][a-z0-9_-]+ [^;?]*?)(?:[;?] |, then | and with |$)`)

// TestHintsParse: every command that a tool suggests exists and takes these flags and arguments,
// whatever the file is called.
func TestHintsParse(t *testing.T) {
	clitest.InMemory(t)
	contents := map[string]string{
		"sound":   clitest.Numbered(1) + clitest.Numbered(2),
		"wrong":   clitest.Numbered(1) + strings.Replace(clitest.Numbered(2), "peer-0003", "peer-0004", 1),
		"torn":    clitest.Numbered(1) + clitest.Numbered(2)[:900],
		"hidden":  clitest.Numbered(1)[:900] + clitest.Numbered(2),
		"empty":   "",
		"missing": "",
		"dashed":  clitest.Numbered(1)[:900] + clitest.Numbered(2) + strings.Replace(clitest.Numbered(2), "peer-0003", "peer-0004", 1),
	}
	seen, fails := map[string]bool{}, map[string]string{}
	for kind, content := range contents {
		file := "f 'x'.dat"
		if kind == "dashed" {
			file = "-f.dat"
		}
		for n, command := range allTools() {
			if testing.Short() && (n+len(kind))%3 > 0 {
				continue
			}
			for i := range everyPath("", "", "", "")[command.Name] {
				dir := t.TempDir()
				t.Chdir(dir)
				if kind != "missing" {
					require.NoError(t, os.WriteFile(file, []byte(content), 0o644))
					require.NoError(t, golden.Unpack("node-odd-records", dir))
					require.NoError(t, os.Rename("node-odd-records", "db"))
				}
				args := everyPath(file, "db", "out", dir)[command.Name][i]
				if kind == "dashed" && !strings.HasPrefix(args[max(0, slices.Index(args, file)-1)], "-") {
					continue // an argument would have to come after --
				}
				_, _, stderr := clitest.Run(command, args...)
				for line := range strings.Lines(stderr) {
					_, hint, isHint := strings.Cut(strings.TrimSpace(line), ": hint: ")
					if !isHint {
						continue
					}
					for _, found := range inHint.FindAllStringSubmatch(hint, -1) {
						if strings.HasSuffix(found[1], " --help shows the usage") {
							continue // not a command line
						}
						seen[strings.Fields(found[1])[0]] = true
						if why := parses(t, found[1]); why != "" {
							fails[hint] = why
						}
					}
				}
			}
		}
	}
	require.Empty(t, fails)
	require.GreaterOrEqual(t, len(seen), 6, seen)
}

// parses pastes a command line into a shell, and returns the tool's objections, "" for none.
func parses(t *testing.T, line string) string {
	t.Helper()
	words, err := exec.Command("sh", "-c", `for word in `+line+`; do printf '%s\0' "$word"; done`).Output()
	if err != nil {
		return err.Error()
	}
	args := strings.Split(strings.TrimSuffix(string(words), "\x00"), "\x00")
	tool := toolNamed(t, args[0])
	tool.Run = func(context.Context, *urfave.Context, *cli.IO) error { return nil }
	var out, errs bytes.Buffer
	if cli.Execute(t.Context(), tool, args, cli.Streams{Out: &out, Err: &errs}) != exit.OK {
		return errs.String()
	}
	return ""
}
