package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/golden"
)

// TestReadmeSession: what README.md shows first is what is printed, but for the folders.
func TestReadmeSession(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	require.NoError(t, err)
	session := strings.Split(string(readme), "```\n")[1]
	dir := t.TempDir()
	data, err := os.ReadFile(filepath.Join(golden.Dir(), "write", "node-written-clean.dat"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "l2_snapshots.dat"), data, 0o600))
	folders := strings.NewReplacer("/var/lib/ailee", dir, "/tmp/snapshots", filepath.Join(dir, "snapshots"))
	var printed strings.Builder
	for line := range strings.Lines(session) {
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			continue
		}
		args := strings.Fields(folders.Replace(command))
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		require.NoError(t, err, "%s%s", line, out)
		printed.WriteString(folders.Replace(line) + string(out))
	}
	require.Equal(t, folders.Replace(session), printed.String())
}
