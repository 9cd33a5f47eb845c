package initnode_test

import (
	"math/rand"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/initnode"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/exit"
)

// TestInitNodeKilled: every part that has its name is complete, and a second run makes the
// rest.
func TestInitNodeKilled(t *testing.T) {
	rng := rand.New(rand.NewSource(2))
	partial := 0
	for range clitest.Kills(200) {
		dir := t.TempDir()
		clitest.Kill(t, rng, 60*time.Millisecond, initnode.Name, "--data-dir", dir)
		if _, err := os.Stat(filepath.Join(dir, "l2_snapshots.dat")); err == nil {
			clitest.RunTool(t, exit.OK, l2verify.Tool(), "--snapshot", filepath.Join(dir, "l2_snapshots.dat"))
		}
		if _, err := os.Stat(filepath.Join(dir, "reorg_db")); err == nil {
			clitest.RunTool(t, exit.OK, reorgverify.Tool(), "--db-path", filepath.Join(dir, "reorg_db"))
		}
		if n := len(clitest.Names(t, dir)); n > 0 && n != 3 {
			partial++
		}
		clitest.RunTool(t, exit.OK, initnode.Tool(), "--if-missing", "--data-dir", dir)
		require.Equal(t, []string{"backups", "l2_snapshots.dat", "reorg_db"}, clitest.Names(t, dir))
	}
	t.Logf("%d runs were killed half-way", partial)
}
