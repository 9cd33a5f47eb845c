package reorgverify_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// TestAllAnchorsOfASnapshotFile: the anchors of older snapshots show that a sound database
// has lost records or was recreated.
func TestAllAnchorsOfASnapshotFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "l2_snapshots.dat")
	var anchors []snapshot.Anchor
	for i := range 14 {
		a, err := clitest.AppendAnchored(file, uint64(1739578200000+i), "m")
		require.NoError(t, err)
		anchors = append(anchors, a)
	}
	path := filepath.Join(t.TempDir(), "reorg_db")
	db, err := reorgdb.Create(path)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	record := func(i int, status reorgdb.AnchorStatus, root string) {
		t.Helper()
		db, err := reorgdb.Open(path)
		require.NoError(t, err)
		require.NoError(t, db.Update(func(u *reorgdb.Update) error {
			return u.Anchor(reorgdb.Anchor{Hash: anchors[i].Hash, BitcoinTxID: noTransaction, BroadcastTime: uint64(time.Now().UnixMilli()), Status: status, L2StateRoot: root})
		}))
		require.NoError(t, db.Close())
	}
	verify := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		code, stdout, stderr := clitest.Run(reorgverify.Tool(), append([]string{"--db-path", path, "--snapshot", file}, args...)...)
		require.Equal(t, want, code, "%s%s", stdout, stderr)
		return stdout, stderr
	}

	stdout, stderr := verify(exit.Wrong)
	require.Contains(t, stdout, "Anchors of the snapshot file: 14, 0 with a record\n")
	require.Contains(t, stderr, "error: the latest snapshot's anchor has no record: "+anchors[13].Hash+"\n")
	require.Contains(t, stderr, fmt.Sprintf("warning: 14 of 14 anchors of the snapshot file have no record: the first is %s, of snapshot 1, the last %s, of snapshot 14\n", anchors[0].Hash, anchors[13].Hash))
	require.Contains(t, stderr, "hint: with the node stopped, anchor the state on Bitcoin again: ailee_create_anchor --broadcast --db-path "+path+" --l2-state-file "+file+" --data-dir "+filepath.Dir(file)+"\n")

	// Missing records of older snapshots only cause a warning.
	record(13, reorgdb.Confirmed, anchors[13].L2StateRoot)
	record(6, reorgdb.InvalidatedReorg, anchors[6].L2StateRoot)
	stdout, stderr = verify(exit.OK)
	require.Contains(t, stdout, "Anchors of the snapshot file: 14, 2 with a record\nVerification OK.\n")
	require.Contains(t, stderr, fmt.Sprintf("warning: 12 of 14 anchors of the snapshot file have no record: the first is %s, of snapshot 1, the last %s, of snapshot 13\n", anchors[0].Hash, anchors[12].Hash))
	require.Contains(t, stderr, "hint: an anchor that was never broadcast has no record; if the database was recreated, the old one or a backup of it has the other records\n")
	stdout, _ = verify(exit.OK, "--json")
	require.Contains(t, stdout, `"snapshot_anchors": {
    "total": 14,
    "missing": 12,
    "invalidated": 1,
    "other_root": 0,
    "first_missing": {
      "snapshot": 1,
      "hash": "`+anchors[0].Hash+`"
    },`)
	require.Contains(t, stdout, `"anchors-not-recorded": 1`)

	// The result does not depend on how many anchors are held at a time, or on whether they
	// are looked up or all records are read.
	held, _ := verify(exit.OK, "--json")
	for n := 1; n < 16; n += 3 {
		restore := reorgverify.HoldAnchors(n)
		again, _ := verify(exit.OK, "--json")
		restore()
		require.Equal(t, held, again)
	}
	db, err = reorgdb.Open(path)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(u *reorgdb.Update) error {
		for i := range 1000 {
			require.NoError(t, u.Put(reorgdb.DefaultFamily, fmt.Appendf(nil, "anchor:%x", i), []byte("1|t|1|1|1|1|1|r")))
		}
		return nil
	}))
	require.NoError(t, db.Close())
	lookedUp, _ := verify(exit.Wrong, "--json") // the records just written are odd
	_, held, _ = strings.Cut(held, "snapshot_anchors")
	_, lookedUp, _ = strings.Cut(lookedUp, "snapshot_anchors")
	held, _, _ = strings.Cut(held, "findings")
	lookedUp, _, _ = strings.Cut(lookedUp, "findings")
	require.NotEmpty(t, held)
	require.Equal(t, held, lookedUp)
	db, err = reorgdb.Open(path)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(u *reorgdb.Update) error {
		for i := range 1000 {
			u.DeleteAnchor(fmt.Sprintf("%x", i))
		}
		return nil
	}))
	require.NoError(t, db.Close())

	for i := range 13 {
		if i != 4 {
			record(i, reorgdb.Confirmed, anchors[i].L2StateRoot)
		}
	}
	record(9, reorgdb.Confirmed, "another root")
	_, stderr = verify(exit.OK)
	require.Contains(t, stderr, fmt.Sprintf("warning: 1 of 14 anchors of the snapshot file has no record: %s, of snapshot 5\n", anchors[4].Hash))
	require.Contains(t, stderr, fmt.Sprintf("warning: the record of anchor %s has state root %q, which is not the state root of snapshot 10\n", anchors[9].Hash, "another root"))
	record(4, reorgdb.Pending, anchors[4].L2StateRoot)
	record(9, reorgdb.Confirmed, anchors[9].L2StateRoot)
	stdout, stderr = verify(exit.OK)
	require.Empty(t, stderr)
	require.Contains(t, stdout, "Anchors of the snapshot file: 14, 14 with a record\n")
}
