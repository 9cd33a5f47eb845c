package backup_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
)

// TestRestic copies backups off site as docs/offsite.md shows, and restores them.
func TestRestic(t *testing.T) {
	if _, err := exec.LookPath("restic"); err != nil {
		t.Skip("no restic")
	}
	dir, top := clitest.NodeDir(t, 2), t.TempDir()
	folder := filepath.Join(dir, "backups")
	t.Setenv("RESTIC_REPOSITORY", filepath.Join(top, "repository"))
	t.Setenv("RESTIC_PASSWORD", "secret")
	t.Setenv("RESTIC_CACHE_DIR", filepath.Join(top, "cache"))
	restic := func(args ...string) {
		t.Helper()
		said, err := exec.Command("restic", args...).CombinedOutput()
		require.NoError(t, err, "%s", said)
	}
	restic("init")
	for i := range 3 {
		require.NoError(t, clitest.AppendOne(filepath.Join(dir, "l2_snapshots.dat"), 3+i))
		code, _, stderr := run(hours(i), "--data-dir", dir, "--exec", fmt.Sprintf("restic --quiet backup %s", folder))
		require.Zero(t, code, stderr)
	}
	restic("check")
	restic("restore", "latest", "--target", filepath.Join(top, "back"))
	back := filepath.Join(top, "back", folder)
	require.Equal(t, clitest.Names(t, folder), clitest.Names(t, back), "there are no temporary files among them")
	sent := contents(t, back)
	for name, data := range contents(t, folder) {
		require.True(t, data == sent[name], name)
	}
	code, _, stderr := run(hours(3), "verify", "--all", "--backup-dir", back)
	require.Zero(t, code, stderr)
	require.Equal(t, 7, requireSound(t, back))
	// Damage to the copy is noticed.
	require.NoError(t, os.Truncate(filepath.Join(back, databaseAt(hours(1))), 4000))
	code, _, stderr = run(hours(3), "verify", "--all", "--backup-dir", back)
	require.Equal(t, 2, code)
	require.Contains(t, stderr, databaseAt(hours(1))+": ends after 4000 bytes")
}
