package restore

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/exit"
)

// TestHints: what only failing disks bring about has its hint, too.
func TestHints(t *testing.T) {
	dir := t.TempDir()
	r := &restoring{Options: Options{DataDir: dir}}
	completes := "the next run completes what this one began: ailee-restore --data-dir " + dir
	requireHint(t, "the disk may be failing: check the kernel log: dmesg --level=err; "+completes, "reorg_db cannot be replaced: input/output error",
		r.halfway(&move{Name: "reorg_db"}, unix.EIO))
	requireHint(t, completes, "reorg_db cannot be replaced", r.halfway(&move{Name: "reorg_db"}, errors.New("what no hint is for")))
	for _, kind := range []backups.Kind{backups.Snapshots, backups.Database} {
		requireHint(t, "no older backup is taken instead, as the disk may be failing: name one with --snapshot-backup or --db-backup", "unexpected EOF",
			r.explainSource(t.Context(), &target{kind: kind}, io.ErrUnexpectedEOF))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, journalName, "x"), 0o700))
	requireHint(t, "everything is replaced; run it again to remove it", journalName+" cannot be removed: ", r.forward(&journal{}))
}

func requireHint(t *testing.T, hint, says string, err error) {
	t.Helper()
	var known *exit.Error
	require.ErrorAs(t, err, &known)
	require.Equal(t, hint, known.Hint)
	require.ErrorContains(t, err, says)
}
