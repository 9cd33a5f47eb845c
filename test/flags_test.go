package test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/golden"
)

// FuzzFlags runs each tool with fuzzed arguments, one per line, in a folder with a sound file
// and a sound database. No path leads out of the folder, and no address to another machine.
func FuzzFlags(f *testing.F) {
	all := allTools()
	seeds := 0
	for i, command := range all {
		for _, args := range everyPath("f", "db", "out", "dir")[command.Name] {
			text := strings.ReplaceAll(strings.Join(args, "\n"), "http://127.0.0.1:1", "HERE")
			if !strings.Contains(text, "/") && !strings.Contains(text, "x\nerror") {
				f.Add(uint8(i), text)
				seeds++
			}
		}
		for _, args := range []string{"--help", "--version", "", "--", "-", "--json\n--quiet", "--json=maybe", "---", "--index\n1-\n--last\n-1", "-h\n-q", "\x00", "--no-such"} {
			f.Add(uint8(i), args)
		}
	}
	require.Greater(f, seeds, 30)
	f.Setenv("AILEE_DATA_DIR", "data")
	f.Setenv("TMPDIR", f.TempDir())
	f.Setenv(clitest.DocumentsDir, "") // a drill that takes too long kills its tools in the middle of their documents
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		var args []string
		if text != "" {
			args = strings.Split(text, "\n")
		}
		for i, arg := range args {
			if strings.ContainsAny(arg, "/\x00") || strings.Contains(arg, "..") || len(arg) > 200 {
				t.Skip("the path would lead out of the folder")
			}
			args[i] = strings.ReplaceAll(arg, "HERE", "http://127.0.0.1:1")
		}
		command := all[int(which)%len(all)]
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), []byte(clitest.Numbered(1)+clitest.Numbered(2)), 0o644))
		require.NoError(t, golden.Unpack("node-odd-records", dir))
		require.NoError(t, os.Rename(filepath.Join(dir, "node-odd-records"), filepath.Join(dir, "db")))
		t.Chdir(dir)
		empty, err := os.Open(os.DevNull)
		require.NoError(t, err)
		defer empty.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		var out, errs bytes.Buffer
		code := cli.Execute(ctx, command, append([]string{command.Name}, args...), cli.Streams{In: empty, Out: &out, Err: &errs})
		require.Contains(t, []int{exit.OK, exit.Failed, exit.Wrong}, code)
		require.NotContains(t, errs.String(), "internal error")
		if code == exit.Failed {
			said := "\n" + errs.String()
			n := strings.Count(said, "\n"+command.Name+": error: ")
			if n == 0 && strings.Contains(said, "\nFailed to load snapshot: No snapshots found") {
				n = 1 // a line of the nodes' own verifier, which has no prefix, is the error itself
			}
			require.Equal(t, 1, n, "%q: %s", args, errs.String())
		}
		if !strings.Contains(text, "recovery-metadata") { // a payload is printed unchanged
			requirePrintable(t, text, out.String())
		}
		requirePrintable(t, text, errs.String())
	})
}

// TestHelpFits: no line of any help is wider than 100 columns.
func TestHelpFits(t *testing.T) {
	for _, tool := range allTools() {
		code, stdout, stderr := clitest.Run(tool, "--help")
		require.Zero(t, code, stderr)
		require.Greater(t, strings.Count(stdout, "\n"), 20)
		for line := range strings.Lines(stdout) {
			require.LessOrEqual(t, utf8.RuneCountInString(line), 101, line)
		}
	}
}
