package initreorgdb_test

import (
	"math/rand"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/golden"
)

// TestCopyingKilled: the database is there completely or not at all, and the next run cleans
// up after a killed one.
func TestCopyingKilled(t *testing.T) {
	old := golden.Database(t, "node-rocksdb-6.11.4")
	want := reorgtest.Records(t, old)
	t.Setenv("TMPDIR", t.TempDir())
	dir := t.TempDir()
	path := filepath.Join(dir, "reorg_db")
	rng := rand.New(rand.NewSource(1))
	complete := 0
	for range clitest.Kills(200) {
		ended := clitest.Kill(t, rng, 80*time.Millisecond, initreorgdb.Name, "--path", path, "--copy-from", old)
		if _, err := os.Stat(path); err != nil {
			require.False(t, ended)
			continue
		}
		complete++
		require.Equal(t, want, reorgtest.Records(t, path))
		require.NoError(t, os.RemoveAll(path))
	}
	clitest.RunTool(t, exit.OK, initreorgdb.Tool(), "--path", path, "--copy-from", old)
	require.Equal(t, want, reorgtest.Records(t, path))
	require.Equal(t, []string{"reorg_db"}, clitest.Names(t, dir))
	require.Empty(t, clitest.Names(t, os.Getenv("TMPDIR")), "the next run removes what killed runs left")
	t.Logf("%d of the runs completed", complete)
}
