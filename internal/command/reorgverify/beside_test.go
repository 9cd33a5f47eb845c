package reorgverify_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/golden"
	"ailee-recovery/reorgdb"
)

// TestReadingBesideANode runs the tools that only read in a loop, while a node writes and
// compacts as fast as it can. The node leaves no gaps, so an incomplete view would show.
func TestReadingBesideANode(t *testing.T) {
	rounds := 25
	if testing.Short() {
		rounds = 6
	}
	path := golden.Database(t, "node-rocksdb-6.11.4")
	stop, err := reorgtest.StartNode(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, stop()) }()
	for i := range rounds {
		code, stdout, stderr := clitest.Run(reorgverify.Tool(), "--db-path", path)
		require.Zero(t, code, "%s%s", stdout, stderr)
		require.Empty(t, stderr)
		copied := filepath.Join(t.TempDir(), fmt.Sprint(i))
		code, stdout, stderr = clitest.Run(initreorgdb.Tool(), "--path", copied, "--copy-from", path)
		require.Zero(t, code, "%s%s", stdout, stderr)
		code, stdout, stderr = clitest.Run(reorgverify.Tool(), "--db-path", copied)
		require.Zero(t, code, "%s%s", stdout, stderr)
		require.Empty(t, stderr)
	}
}

// TestDatabaseInUseIsNamed: the error names the process that has the database open, and the
// lock file stays.
func TestDatabaseInUseIsNamed(t *testing.T) {
	path := golden.Database(t, "node-rocksdb-6.11.4")
	stop, err := reorgtest.StartNode(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, stop()) }()
	_, err = reorgdb.Open(path)
	var locked *reorgdb.LockedError
	require.ErrorAs(t, err, &locked)
	require.Equal(t, reorgtest.NodeName, locked.Process)
	require.Regexp(t, `^\S+/node-rocksdb-6.11.4 is in use by ailee_node \(pid [0-9]+\)$`, err.Error())
	require.FileExists(t, filepath.Join(path, "LOCK"))

	// Removing the lock file, as is often advised, lets no second writer in.
	require.NoError(t, os.Remove(filepath.Join(path, "LOCK")))
	_, err = reorgdb.Open(path)
	require.ErrorAs(t, err, &locked)
	require.Equal(t, reorgtest.NodeName, locked.Process)
	require.NoFileExists(t, filepath.Join(path, "LOCK"))
	code, _, stderr := clitest.Run(reorgverify.Tool(), "--db-path", path)
	require.Zero(t, code, stderr)

	// Creating it again does not either.
	require.NoError(t, os.WriteFile(filepath.Join(path, "LOCK"), nil, 0o644))
	_, err = reorgdb.Open(path)
	require.ErrorAs(t, err, &locked)
	require.Equal(t, reorgtest.NodeName, locked.Process)
}
