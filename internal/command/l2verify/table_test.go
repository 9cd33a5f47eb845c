package l2verify_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/golden"
)

// TestTable: on a terminal failures are red, unless the user wants no colours, and no line
// is wider than a small terminal.
func TestTable(t *testing.T) {
	const last = "Newest valid snapshot: 1 of 2\r\n"
	for _, c := range []struct {
		environment string
		red         bool
	}{{"TERM=xterm", true}, {"NO_COLOR=1", false}, {"TERM=dumb", false}, {"NO_COLOR=", true}} {
		terminal, tty := clitest.OpenTerminal(t)
		cmd := exec.Command(l2verify.Name, "--all", "--snapshot", filepath.Join(golden.Dir(), "verify", "last_bad_first_good.dat"))
		cmd.Stdout = tty
		cmd.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=", c.environment)
		_ = cmd.Run()
		require.Equal(t, 2, cmd.ProcessState.ExitCode())
		shown := clitest.ReadUntil(t, terminal, last)
		require.Equal(t, c.red, strings.Contains(shown, "  \x1b[31mstate root mismatch\x1b[0m\r\n"), "%s: %q", c.environment, shown)
		require.Equal(t, !c.red, strings.Contains(shown, "  state root mismatch\r\n"), "%s: %q", c.environment, shown)
		for line := range strings.Lines(strings.NewReplacer("\r\n", "\n", "\x1b[31m", "", "\x1b[0m", "").Replace(shown)) {
			require.LessOrEqual(t, len(line), 81, line)
		}
	}
}
