package test

import (
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/golden"
)

// The blocks of docs/ci.md that are run, each with the expected output after it.
var (
	bashBlock   = regexp.MustCompile("(?s)```bash\n(.*?)```\n(?:\n```text\n(.*?)```\n)?")
	yamlCommand = regexp.MustCompile(`(?m)^ +(?:- |run: )(ailee.*)$`)
)

// TestCIRecipes runs the commands of docs/ci.md.
func TestCIRecipes(t *testing.T) {
	clitest.InMemory(t)
	text, err := os.ReadFile("../docs/ci.md")
	require.NoError(t, err)
	t.Chdir(pipelineFolder(t))
	blocks := bashBlock.FindAllStringSubmatch(string(text), -1)
	require.Greater(t, len(blocks), 6)
	for _, block := range blocks {
		code, stdout, stderr := runCommand(t, exec.Command("bash", "-eu", "-c", block[1]))
		require.Zero(t, code, "%s%s%s", block[1], stdout, stderr)
		require.Empty(t, stderr)
		if block[2] != "" {
			require.Equal(t, block[2], stdout, block[1])
		}
	}
	require.FileExists(t, "reports/l2_snapshots_latest.dat.bak.xml")
	commands := yamlCommand.FindAllStringSubmatch(string(text), -1)
	require.Len(t, commands, 2)
	for _, command := range commands {
		code, stdout, stderr := runCommand(t, exec.Command("bash", "-c", command[1]))
		require.Zero(t, code, "%s%s%s", command[1], stdout, stderr)
		require.Equal(t, 3, clitest.ReadJUnit(t, "report.xml").Tests)
	}
	// The same with a file that a node wrote, which is not sorted.
	require.NoError(t, os.WriteFile("l2_snapshots.dat", []byte(clitest.Read(t, golden.Dir()+"/write/node-written-clean.dat")), 0o600))
	for _, command := range commands {
		code, stdout, stderr := runCommand(t, exec.Command("bash", "-c", command[1]))
		require.Zero(t, code, "%s%s%s", command[1], stdout, stderr)
		require.Zero(t, clitest.ReadJUnit(t, "report.xml").Failures)
	}
}

// pipelineFolder makes a folder with the files that the recipes check.
func pipelineFolder(t *testing.T) string {
	t.Helper()
	node := nodeDir(t, 3)
	quiet(t, start, "ailee-backup", "--data-dir", node)
	dir := filepath.Dir(node)
	require.NoError(t, os.Rename(node, filepath.Join(dir, "node")))
	require.NoError(t, os.Symlink("node/backups", filepath.Join(dir, "backups")))
	require.NoError(t, os.Symlink("node/reorg_db", filepath.Join(dir, "reorg_db")))
	data := clitest.Read(t, filepath.Join(dir, "node", "l2_snapshots.dat"))
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write([]byte(data))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	for name, content := range map[string]string{
		"l2_snapshots.dat":    data,
		"l2_snapshots.dat.gz": packed.String(),
		"damaged.dat":         clitest.Read(t, golden.Dir()+"/verify/last_bad_first_good.dat"),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	return dir
}
