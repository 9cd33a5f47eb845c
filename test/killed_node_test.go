package test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/restore"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/golden"
)

// TestOperationsAfterAKilledNode: the database that a killed node left is backed up, monitored
// and replaced like any other.
func TestOperationsAfterAKilledNode(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]string{"killed-at-start-6.11.4": "", "killed-while-creating-7.8.3": "", "unfinished": "CURRENT"} {
		t.Run(name, func(t *testing.T) {
			dir := nodeDir(t, 3)
			db, from := filepath.Join(dir, "reorg_db"), name
			require.NoError(t, os.RemoveAll(db))
			if remove != "" {
				from = "killed-while-creating-7.8.3"
			}
			require.NoError(t, os.Rename(golden.Database(t, from), db))
			if remove != "" {
				require.NoError(t, os.Remove(filepath.Join(db, remove)))
			}
			left, want := clitest.Names(t, db), reorgtest.Records(t, db)
			quiet(t, start, "ailee-backup", "--data-dir", dir)
			code, _, stderr := runAt(t, start, "ailee-monitor", "--data-dir", dir)
			require.Equal(t, 2, code, "the snapshots are old: %s", stderr)
			require.NotContains(t, stderr, "reorg_db")
			require.Equal(t, left, clitest.Names(t, db))
			// It is replaced unchanged.
			clitest.RunProcess(t, exit.OK, restore.Name, "--data-dir", dir, "--db-only", "--force")
			require.Equal(t, want, reorgtest.Records(t, db))
			require.FileExists(t, filepath.Join(db, "CURRENT"))
			replaced, err := filepath.Glob(db + ".replaced_*")
			require.NoError(t, err)
			require.Len(t, replaced, 1)
			require.Equal(t, left, clitest.Names(t, replaced[0]))
		})
	}
}
