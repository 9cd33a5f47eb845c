package test

import (
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/initnode"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/golden"
)

// kill runs a command and kills it at a random moment before the given time is
// over, and reports whether it had ended by itself.
func kill(t *testing.T, rng *rand.Rand, limit time.Duration, name string, args ...string) (ended bool) {
	t.Helper()
	cmd := exec.Command(name, args...)
	require.NoError(t, cmd.Start())
	// This is the moment of the crash, not a way to wait for something.
	time.Sleep(time.Duration(rng.Int63n(int64(limit))))
	_ = cmd.Process.Kill()
	return cmd.Wait() == nil
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	found := []string{}
	for _, entry := range entries {
		// Each prune leaves its note, see prune.txtar.
		if !strings.HasSuffix(entry.Name(), ".ailee-pruned") {
			found = append(found, entry.Name())
		}
	}
	return found
}

func kills(n int) int {
	if testing.Short() {
		return n / 20
	}
	return n
}

func runTool(t *testing.T, want int, command cli.Tool, args ...string) {
	t.Helper()
	code, stdout, stderr := run(command, args...)
	require.Equal(t, want, code, "%s%s", stdout, stderr)
}

// TestCopyingKilled: the database is there whole or not at all, and the next run
// takes over what a killed one left.
func TestCopyingKilled(t *testing.T) {
	old := golden.Database(t, "node-rocksdb-6.11.4")
	want := records(t, old)
	t.Setenv("TMPDIR", t.TempDir())
	dir := t.TempDir()
	path := filepath.Join(dir, "reorg_db")
	rng := rand.New(rand.NewSource(1))
	complete := 0
	for range kills(200) {
		ended := kill(t, rng, 80*time.Millisecond, initreorgdb.Name, "--path", path, "--copy-from", old)
		if _, err := os.Stat(path); err != nil {
			require.False(t, ended)
			continue
		}
		complete++
		require.Equal(t, want, records(t, path))
		require.NoError(t, os.RemoveAll(path))
	}
	runTool(t, exit.OK, initreorgdb.Tool(), "--path", path, "--copy-from", old)
	require.Equal(t, want, records(t, path))
	require.Equal(t, []string{"reorg_db"}, names(t, dir))
	require.Empty(t, names(t, os.Getenv("TMPDIR")), "what killed runs left is removed by the next")
	t.Logf("%d of the runs came to their end", complete)
}

// TestInitNodeKilled: whatever has its name is whole, and a second run completes.
func TestInitNodeKilled(t *testing.T) {
	rng := rand.New(rand.NewSource(2))
	partial := 0
	for range kills(200) {
		dir := t.TempDir()
		kill(t, rng, 60*time.Millisecond, initnode.Name, "--data-dir", dir)
		if _, err := os.Stat(filepath.Join(dir, "l2_snapshots.dat")); err == nil {
			runTool(t, exit.OK, l2verify.Tool(), "--snapshot", filepath.Join(dir, "l2_snapshots.dat"))
		}
		if _, err := os.Stat(filepath.Join(dir, "reorg_db")); err == nil {
			runTool(t, exit.OK, reorgverify.Tool(), "--db-path", filepath.Join(dir, "reorg_db"))
		}
		if n := len(names(t, dir)); n > 0 && n != 3 {
			partial++
		}
		runTool(t, exit.OK, initnode.Tool(), "--if-missing", "--data-dir", dir)
		require.Equal(t, []string{"backups", "l2_snapshots.dat", "reorg_db"}, names(t, dir))
	}
	t.Logf("%d runs were killed half-way", partial)
}
