package createanchor_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
)

// TestBroadcastWhatIsRecorded: an anchor that was paid for, and whose snapshot is gone, is not
// paid for again; another time or a replacement goes on.
func TestBroadcastWhatIsRecorded(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	p := payer.place(t)
	path := filepath.Join(p.dir, "l2_snapshots.dat")
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	p.run(t, exit.OK, p.args("--timestamp-ms", "1739577600000")...)
	require.NoError(t, os.WriteFile(path, before, 0o600))
	record := p.anchors(t)[0]

	_, stderr := p.run(t, exit.Failed, p.args("--timestamp-ms", "1739577600000")...)
	require.Equal(t, "ailee_create_anchor: error: the anchor "+record.Hash+" already has a record: PENDING, in transaction "+record.BitcoinTxID+"\n"+
		"ailee_create_anchor: hint: use another --timestamp-ms, or replace its transaction: ailee_create_anchor --bump "+record.Hash+"\n", stderr)
	_, stderr = p.run(t, exit.Failed, p.args()...)
	require.Equal(t, "ailee_create_anchor: error: the anchor "+record.Hash+" of the same state is already PENDING, in transaction "+record.BitcoinTxID+"\n"+
		"ailee_create_anchor: hint: wait for it, replace its transaction with --bump, or give the new anchor another time with --timestamp-ms\n", stderr)
	require.Equal(t, []reorgdb.Anchor{record}, p.anchors(t))
	require.Equal(t, []string{record.BitcoinTxID}, p.node.Waiting())

	p.run(t, exit.OK, p.with("--yes", "--bump", record.Hash)...)
	p.run(t, exit.OK, p.args("--timestamp-ms", "7")...)
	require.Len(t, p.anchors(t), 2)
}

// TestBumpOfAnotherTransaction: a transaction that carries another anchor is not replaced.
func TestBumpOfAnotherTransaction(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	p := payer.place(t)
	p.run(t, exit.OK, p.args()...)
	p.run(t, exit.OK, p.args("--timestamp-ms", "7")...)
	other := p.anchors(t)[1].BitcoinTxID
	p.update(t, func(u *reorgdb.Update, a reorgdb.Anchor) {
		a.BitcoinTxID = other
		require.NoError(t, u.Anchor(a))
	})
	records := p.anchors(t)
	_, stderr := p.run(t, exit.Failed, p.with("--yes", "--bump", records[0].Hash)...)
	require.Equal(t, "ailee_create_anchor: error: transaction "+other+" does not carry the anchor "+records[0].Hash+"\n"+
		"ailee_create_anchor: hint: look at the record: ailee_reorg_show --db-path "+filepath.Join(p.dir, "reorg_db")+" anchor "+records[0].Hash+"\n", stderr)
	require.Equal(t, records, p.anchors(t))
}

// beforeSigning does something before the wallet signs, once everything is open.
func (p *place) beforeSigning(do func()) {
	p.wallet.On(func(method string) error {
		if strings.HasPrefix(method, "signrawtransaction") {
			do()
		}
		return nil
	}, nil)
}

// TestBroadcastNothingSent: what cannot be written before the transaction is sent keeps it from
// being sent.
func TestBroadcastNothingSent(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	t.Run("the pending file", func(t *testing.T) {
		p := payer.place(t)
		pending := filepath.Join(p.dir, ".reorg_db.anchor-pending")
		p.beforeSigning(func() { require.NoError(t, os.MkdirAll(filepath.Join(pending, "x"), 0o700)) })
		_, stderr := p.run(t, exit.Failed, p.args()...)
		require.Contains(t, stderr, "hint: nothing was sent\n")
		p.wallet.On(nil, nil)
		require.NoError(t, os.RemoveAll(pending))
		p.unchanged(t)
	})
	t.Run("the record", func(t *testing.T) {
		if !clitest.CanMount(t) {
			t.Skip("only root can mount, and not in every container")
		}
		p := payer.place(t)
		database := filepath.Join(p.dir, "reorg_db")
		require.NoError(t, os.RemoveAll(database))
		require.NoError(t, os.Mkdir(database, 0o755))
		require.NoError(t, unix.Mount("tmpfs", database, "tmpfs", 0, "size=8m"))
		defer func() { _ = unix.Unmount(database, unix.MNT_DETACH) }()
		db, err := reorgdb.Create(database)
		require.NoError(t, err)
		require.NoError(t, db.Close())
		filler := filepath.Join(database, "filler")
		p.beforeSigning(func() { require.ErrorIs(t, os.WriteFile(filler, make([]byte, 9<<20), 0o600), unix.ENOSPC) })
		_, stderr := p.run(t, exit.Failed, p.args()...)
		require.Contains(t, stderr, "hint: nothing was sent; run the same command again to continue with this transaction\n")
		require.Empty(t, p.node.Mempool())
		p.wallet.On(nil, nil)
		require.NoError(t, os.Remove(filler))
		p.run(t, exit.OK, p.args()...)
		p.complete(t, p.node.Mempool())
	})
}

// TestDatabaseNotClosed: everything is done, and the error says so.
func TestDatabaseNotClosed(t *testing.T) {
	if !clitest.CanMount(t) {
		t.Skip("only root can mount, and not in every container")
	}
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	payer := newPayer(t, "")
	p := payer.place(t)
	// A mount in its folder for temporary files keeps it from being removed.
	fails := func(method string, args ...string) (stderr string) {
		var busy []string
		p.wallet.On(func(called string) error {
			if called != method {
				return nil
			}
			scratch, err := filepath.Glob(filepath.Join(temp, ".ailee-reorgdb-*"))
			require.NoError(t, err)
			for _, folder := range scratch {
				busy = append(busy, filepath.Join(folder, "busy"))
				require.NoError(t, os.Mkdir(busy[len(busy)-1], 0o700))
				require.NoError(t, unix.Mount("tmpfs", busy[len(busy)-1], "tmpfs", 0, "size=64k"))
			}
			return nil
		}, nil)
		_, stderr = p.run(t, exit.Failed, args...)
		p.wallet.On(nil, nil)
		require.NotEmpty(t, busy)
		for _, folder := range busy {
			require.NoError(t, unix.Unmount(folder, 0))
		}
		require.Contains(t, stderr, "error: "+filepath.Join(p.dir, "reorg_db")+": ")
		return stderr
	}
	stderr := fails("fundrawtransaction", p.args()...)
	require.Contains(t, stderr, "hint: run the same command again: completed steps are not repeated, and nothing is paid twice\n")
	p.run(t, exit.OK, p.args()...)
	p.complete(t, p.node.Mempool())

	before := p.anchors(t)[0]
	stderr = fails("bumpfee", p.with("--yes", "--bump", before.Hash)...)
	require.Contains(t, stderr, "hint: the replacement is recorded, so do not bump the anchor again; check that all files there belong to the node's user\n")
	after := p.anchors(t)[0]
	require.NotEqual(t, before.BitcoinTxID, after.BitcoinTxID)
	require.Equal(t, []string{after.BitcoinTxID}, p.node.Waiting())
}

// TestFileKeptOpen: nothing is appended while another program may append.
func TestFileKeptOpen(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as a writer may take for a snapshot")
	}
	t.Parallel()
	path := clitest.History(t, 1)
	state := clitest.StateFile(t, placeState, 5)
	writer, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	args := []string{"--l2-state-file", state, "--data-dir", filepath.Dir(path)}
	_, stderr := clitest.RunProcess(t, exit.Failed, createanchor.Name, args...)
	require.Contains(t, stderr, path+" is kept open by ")
	require.Contains(t, stderr, "hint: run it again when they are done, or stop them\n")
	require.NoError(t, writer.Close())
	require.Equal(t, []uint64{1}, clitest.Times(t, path))
	clitest.RunProcess(t, exit.OK, createanchor.Name, args...)
	require.Equal(t, []uint64{1, placeState}, clitest.Times(t, path))
}
