package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/l2verify"
)

// TestClosedOutput: a closed standard output is an error, as a full one is. An output that is
// /dev/null is not an error, however it was opened.
func TestClosedOutput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(file, []byte(clitest.Numbered(1)), 0o600))
	run := func(script string) (code int, stderr string) {
		var errs bytes.Buffer
		cmd := exec.Command("sh", "-c", script, file)
		cmd.Stderr = &errs
		cmd.Env = append(os.Environ(), clitest.Unrecorded) // there is no document if it cannot be printed
		_ = cmd.Run()
		return cmd.ProcessState.ExitCode(), errs.String()
	}
	for _, tool := range []string{`ailee_l2_verify "$0"`, `ailee_l2_verify --json "$0"`, `ailee_l2_verify --help`, `ailee_reorg_verify --version`, `ailee_get_snapshot_block "$0"`} {
		code, stderr := run(tool + " >&-")
		require.Equal(t, 1, code, "%s: %s", tool, stderr)
		if !strings.Contains(tool, "snapshot_block") {
			require.Contains(t, stderr, "cannot write to standard output: write /dev/stdout: bad file descriptor\n", tool)
		}
	}
	code, stderr := run(`ailee_l2_verify --quiet "$0" >&-`)
	require.Zero(t, code, stderr)
	for _, to := range []string{">/dev/null", "1<>/dev/null", ">/dev/null 2>&1 <&1", ">/dev/null 2>&- <&-"} {
		code, stderr := run(`ailee_l2_verify "$0" ` + to)
		require.Zero(t, code, "%s: %s", to, stderr)
	}
	// The way that Python's subprocess.DEVNULL and Node.js's "ignore" open it.
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	require.NoError(t, err)
	defer null.Close()
	cmd := exec.Command(l2verify.Name, file)
	cmd.Stdout = null
	require.NoError(t, cmd.Run())
}
