package resyncblocks_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/command/resyncblocks"
	"ailee-recovery/reorgdb"
)

// TestResyncFollowsAnchors takes an anchor from the mempool through a reorg to its
// confirmation, with the command.
func TestResyncFollowsAnchors(t *testing.T) {
	n := bitcointest.StartNode(t, false)
	n.Generate(bitcointest.Maturity + 2)
	made := clitest.MakeAnchor(t, "")
	txid := n.Send(n.Transaction(1, made.Script))
	path := filepath.Join(t.TempDir(), "reorg_db")
	db, err := reorgdb.Create(path)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(u *reorgdb.Update) error {
		return u.Anchor(reorgdb.Anchor{Hash: made.Hash, BitcoinTxID: txid, BroadcastTime: uint64(time.Now().UnixMilli()), L2StateRoot: made.Root})
	}))
	require.NoError(t, db.Close())

	sync := func(says string, args ...string) {
		t.Helper()
		code, stdout, stderr := clitest.Run(resyncblocks.Tool(), append([]string{"--db-path", path, "--start-height", "0", "--anchors", "--bitcoin-rpc", n.LoginURL()}, args...)...)
		require.Zero(t, code, "%s%s", stdout, stderr)
		require.Contains(t, stdout, says)
	}
	anchor := func(status reorgdb.AnchorStatus, height, confirmations uint64) {
		t.Helper()
		db, err := reorgdb.OpenReadOnly(path)
		require.NoError(t, err)
		defer db.Close()
		a, ok, err := db.Anchor(made.Hash)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, []any{status, height, confirmations}, []any{a.Status, a.BitcoinHeight, a.Confirmations})
	}
	sync("Anchors: 1 followed, 0 changed, 0 could not be determined\n")
	anchor(reorgdb.Pending, 0, 0)
	mined := n.Generate(1)[0]
	sync("Anchor "+made.Hash+": PENDING at height 103 with 1 confirmation(s), was PENDING", "--dry-run")
	anchor(reorgdb.Pending, 0, 0)
	sync("Anchor " + made.Hash + ": PENDING at height 103 with 1 confirmation(s), was PENDING")
	anchor(reorgdb.Pending, 103, 1)

	// The block leaves the chain: the reorg invalidates the anchor, whose transaction
	// is in the mempool again and in the next block.
	n.InvalidateBlock(mined)
	n.Generate(2)
	sync("1 replaced")
	anchor(reorgdb.Pending, 103, 2)
	n.Generate(3)
	sync("\"changed\": 1", "--json")
	anchor(reorgdb.Pending, 103, 5)
	sync("CONFIRMED at height 103 with 5 confirmation(s)", "--confirmations", "5")
	n.Generate(1)
	sync("with 6 confirmation(s), was CONFIRMED")
	anchor(reorgdb.Confirmed, 103, 6)
	clitest.RunTool(t, 0, reorgverify.Tool(), "--db-path", path, "--bitcoin-rpc", n.LoginURL())

	// The record names a replacement that was never mined.
	db, err = reorgdb.Open(path)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(u *reorgdb.Update) error {
		return u.Anchor(reorgdb.Anchor{Hash: made.Hash, BitcoinTxID: strings.Repeat("ab", 32), BroadcastTime: uint64(time.Now().UnixMilli()), L2StateRoot: made.Root})
	}))
	require.NoError(t, db.Close())
	sync(`"found_txid": "`+txid+`"`, "--json", "--dry-run")
	sync("transaction " + txid + ", in place of " + strings.Repeat("ab", 32) + ", is in the block at height 103, 6 confirmation(s)")
	anchor(reorgdb.Confirmed, 103, 6)
	sync("Anchors: 1 followed, 0 changed, 0 could not be determined\n")

	code, _, stderr := clitest.Run(resyncblocks.Tool(), "--db-path", path, "--check", "--anchors", "--bitcoin-rpc", n.LoginURL())
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "use ailee_reorg_verify --bitcoin-rpc")
}
