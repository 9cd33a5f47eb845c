package recoversnapshots_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/recoversnapshots"
)

// TestSourceBesideAnAppender: what a node appends meanwhile is not in the output, and that is
// said; with the node stopped, everything is recovered.
func TestSourceBesideAnAppender(t *testing.T) {
	path := clitest.History(t, 20)
	before := clitest.FileSize(t, path)
	appending := exec.Command("appender", path, "21", "1000000", "1ms")
	require.NoError(t, appending.Start())
	stop := func() { _ = appending.Process.Kill(); _ = appending.Wait() }
	defer stop()
	clitest.WaitFor(t, appending, func() bool { return clitest.FileSize(t, path) > before })
	said := ""
	for said == "" {
		_, _, stderr := clitest.Run(recoversnapshots.Tool(), path, filepath.Join(t.TempDir(), "out.dat"))
		if strings.Contains(stderr, "in the meantime") {
			said = stderr
		}
	}
	require.Regexp(t, `warning: \S+ grew by [0-9]+ bytes in the meantime, which \S+ does not have\nailee_recover_snapshots: hint: stop the node, then recover to another file\n`, said)
	stop()
	code, _, stderr := clitest.Run(recoversnapshots.Tool(), path, filepath.Join(t.TempDir(), "out.dat"))
	require.Contains(t, []int{0, 2}, code, stderr) // the appender may have been killed in a snapshot
	require.NotContains(t, stderr, "in the meantime")
}
