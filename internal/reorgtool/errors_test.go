package reorgtool_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/internal/rocksfile"
	"ailee-recovery/reorgdb"
)

// TestHints: what only a race or another RocksDB brings about has its exit code and hint, too.
func TestHints(t *testing.T) {
	const again = "run the command again, or stop the node first"
	for _, c := range []struct {
		err  error
		code int
		hint string
	}{
		{fmt.Errorf("reorg_db: %w", reorgdb.ErrBusy), exit.Failed, again},
		{fmt.Errorf("reorg_db: %w", rocksfile.ErrChanging), exit.Failed, again},
		{&reorgdb.TooNewError{File: "reorg_db/000004.sst", Format: 7, Newest: 5}, exit.Failed, "nothing is damaged: use the build for your distribution's RocksDB"},
	} {
		requireHint(t, c.hint, c.code, reorgtool.Explain("reorg_db", c.err))
	}
}

// TestTableThatOnlyRocksDBReads: a damaged database is not copied if one of its tables cannot be
// read record by record; one that no RocksDB here reads may be sound.
func TestTableThatOnlyRocksDBReads(t *testing.T) {
	newest := uint32(reorgdb.NewestFormat())
	problems := func(format uint32) []rocksfile.Problem {
		return []rocksfile.Problem{{File: "000007.log", Why: "a checksum does not match", Lost: true},
			{File: "000004.sst", Err: &rocksfile.TooNewError{File: "000004.sst", Format: format}}}
	}
	_, err := reorgtool.Problems("reorg_db", problems(newest), "")
	require.ErrorContains(t, err, fmt.Sprintf("and 000004.sst has table format version %d, which RocksDB reads whole or not at all", newest))
	requireHint(t, "restore a backup: ailee-restore", exit.Failed, err)

	_, err = reorgtool.Problems("reorg_db", problems(newest+1), "")
	err = reorgtool.Explain("reorg_db", err)
	require.ErrorContains(t, err, fmt.Sprintf("reorg_db/000004.sst has table format version %d, written by a newer RocksDB: this build reads up to version %d", newest+1, newest))
	requireHint(t, "nothing is damaged: use the build for your distribution's RocksDB", exit.Failed, err)
}

// TestFolderOfTheDatabase: the hint names the database in the data directory that was given.
func TestFolderOfTheDatabase(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, reorgtool.Name)
	created, err := reorgdb.Create(path)
	require.NoError(t, err)
	require.NoError(t, created.Close())
	_, err = reorgdb.OpenReadOnly(dir)
	requireHint(t, "name the database in this folder: --db-path "+path, exit.Failed, reorgtool.Explain(dir, err))
	require.NoError(t, os.RemoveAll(path))
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err = reorgdb.OpenReadOnly(dir)
	requireHint(t, "name the folder that holds the file CURRENT, such as /var/lib/ailee/reorg_db", exit.Failed, reorgtool.Explain(dir, err))
	_, err = reorgdb.OpenReadOnly(path)
	requireHint(t, "name the folder of the database, such as /var/lib/ailee/reorg_db, not a file in it", exit.Failed, reorgtool.Explain(path, err))
}

func requireHint(t *testing.T, hint string, code int, err error) {
	t.Helper()
	var known *exit.Error
	require.ErrorAs(t, err, &known)
	require.Equal(t, hint, known.Hint)
	require.Equal(t, code, exit.Code(err))
}
