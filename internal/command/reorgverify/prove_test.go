package reorgverify_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
)

// noTransaction is an id that no transaction has.
var noTransaction = strings.Repeat("0123", 16)

func TestProveDatabase(t *testing.T) {
	n := bitcointest.StartNode(t, false)
	n.Generate(bitcointest.Maturity + 2)
	made := clitest.MakeAnchor(t, "")
	long := clitest.MakeAnchor(t, strings.Repeat("long,", 20))
	txid := n.Send(n.Transaction(1, made.Script))
	n.Generate(1)
	longTx := n.Send(n.Transaction(2, long.Script))
	mined := n.Generate(1)[0]
	n.Generate(6)

	path := filepath.Join(t.TempDir(), "reorg_db")
	db, err := reorgdb.Create(path)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	now := uint64(time.Now().UnixMilli())
	short := reorgdb.Anchor{Hash: made.Hash, BitcoinTxID: txid, BitcoinHeight: 103, Confirmations: 8, BroadcastTime: now, Status: reorgdb.Confirmed, L2StateRoot: made.Root}
	digest := reorgdb.Anchor{Hash: long.Hash, BitcoinTxID: longTx, BitcoinHeight: 104, Confirmations: 7, BroadcastTime: now, Status: reorgdb.Confirmed, L2StateRoot: long.Root}
	write := func(change func(put func(reorgdb.Anchor), block func(height uint64, hash string))) {
		t.Helper()
		db, err := reorgdb.Open(path)
		require.NoError(t, err)
		require.NoError(t, db.Update(func(u *reorgdb.Update) error {
			change(func(a reorgdb.Anchor) { require.NoError(t, u.Anchor(a)) }, func(height uint64, hash string) {
				require.NoError(t, u.Put(reorgdb.DefaultFamily, fmt.Appendf(nil, "block:%020d", height), []byte(hash)))
			})
			return nil
		}))
		require.NoError(t, db.Close())
	}
	write(func(put func(reorgdb.Anchor), block func(uint64, string)) {
		put(short)
		put(digest)
		put(reorgdb.Anchor{Hash: "pending", BitcoinTxID: noTransaction, BroadcastTime: now, L2StateRoot: "r"})
		for _, height := range []uint64{5, 6, 7, 50, 100, 101, 102, 103, 104, 110} {
			block(height, n.Hash(int64(height)))
		}
	})
	verify := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		code, stdout, stderr := clitest.Run(reorgverify.Tool(), append([]string{"--db-path", path, "--bitcoin-rpc", n.LoginURL()}, args...)...)
		require.Equal(t, want, code, "%s%s", stdout, stderr)
		return stdout, stderr
	}

	stdout, stderr := verify(0)
	require.Contains(t, stdout, "Chain: tip at height 110, 10 block hash(es) compared, 0 differ\nConfirmed anchors proven on chain: 2 of 2\nVerification OK.\n")
	require.NotContains(t, stderr, "error")
	code, stdout, _ := clitest.Run(reorgverify.Tool(), "--db-path", path)
	require.Equal(t, exit.OK, code)
	require.NotContains(t, stdout, "Chain:")
	stdout, _ = verify(0, "--json")
	require.Contains(t, stdout, `"anchors_proven": 2`)

	// What cannot be determined only causes a warning.
	write(func(put func(reorgdb.Anchor), block func(uint64, string)) {
		put(reorgdb.Anchor{Hash: "old", BitcoinTxID: noTransaction, BroadcastTime: 0, Status: reorgdb.Confirmed, L2StateRoot: "r"})
		block(111, noTransaction)
		block(120, noTransaction)
	})
	stdout, stderr = verify(0, "--scan-blocks", "5")
	require.Contains(t, stdout, "Confirmed anchors proven on chain: 2 of 3\n")
	require.Contains(t, stderr, "warning: could not determine the state of transaction "+noTransaction+" of the confirmed anchor old: the node has no complete transaction index, and the transaction is not in the 5 block(s) starting at height 106")
	require.Contains(t, stderr, "warning: 2 block hash(es) up to height 120 are above the Bitcoin node's tip at 110")
	_, stderr = verify(2) // all blocks
	require.Contains(t, stderr, "error: transaction "+noTransaction+" of the confirmed anchor old is neither in the active chain nor in the mempool")
	require.Contains(t, stderr, "hint: bring the records in line with the chain: ailee_resync_blocks --anchors --db-path "+path)

	// Everything that can be wrong, once.
	write(func(put func(reorgdb.Anchor), block func(uint64, string)) {
		put(reorgdb.Anchor{Hash: "old", L2StateRoot: "r", Status: reorgdb.Confirmed})
		swapped, elsewhere := short, digest
		swapped.BitcoinTxID = longTx
		elsewhere.BitcoinHeight = 103
		put(swapped)
		put(elsewhere)
		block(50, n.Hash(51))
	})
	stdout, stderr = verify(2)
	require.Contains(t, stdout, "10 block hash(es) compared, 1 differ\nConfirmed anchors proven on chain: 0 of 3\n")
	require.NotContains(t, stdout, "Verification OK")
	require.Contains(t, stderr, fmt.Sprintf("error: the block hash at height 50 is %q, but %s in the active chain\n", n.Hash(51), n.Hash(50)))
	require.Contains(t, stderr, `error: anchor old is confirmed, but its record names no transaction: ""`)
	require.Contains(t, stderr, "error: transaction "+longTx+" does not carry the commitment of anchor "+made.Hash+"\n")
	require.Contains(t, stderr, "error: anchor "+long.Hash+" is recorded at height 103, but its transaction "+longTx+" is in the block at height 104, 7 confirmation(s)\n")
	require.Contains(t, stderr, "hint: stop the node and replace what differs: ailee_resync_blocks --start-height 50 --db-path "+path)
	stdout, _ = verify(2, "--json")
	for _, kind := range []string{"wrong-block-hash", "anchor-not-in-chain", "commitment-missing", "wrong-anchor-height"} {
		require.Contains(t, stdout, fmt.Sprintf("%q: 1", kind))
	}

	// With the block hash corrected, the record that names the wrong transaction is next.
	write(func(_ func(reorgdb.Anchor), block func(uint64, string)) { block(50, n.Hash(50)) })
	_, stderr = verify(2)
	require.Contains(t, stderr, "hint: the record names the wrong transaction; show the record: ailee_reorg_show --db-path "+path+" anchors\n")

	// After a reorg, the transaction is back in the mempool.
	write(func(put func(reorgdb.Anchor), _ func(uint64, string)) { put(short); put(digest) })
	n.InvalidateBlock(mined)
	_, stderr = verify(2)
	require.Contains(t, stderr, "error: transaction "+longTx+" of the confirmed anchor "+long.Hash+" is in the mempool, not in a block\n")

	// Another network.
	stranger := bitcointest.NewChain(200)
	_, _, stderr = clitest.Run(reorgverify.Tool(), "--db-path", path, "--bitcoin-rpc", stranger.Serve(t))
	require.Contains(t, stderr, "hint: no block hash agrees: check that --bitcoin-rpc is a node on the network of the AILEE node")

	n.Stop()
	code, stdout, stderr = clitest.Run(reorgverify.Tool(), "--db-path", path, "--bitcoin-rpc", n.LoginURL(), "--rpc-wait", "0")
	require.Equal(t, exit.Failed, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "connection refused")
}

// TestProveWithWallet: the named wallet knows the transaction, so that no block is searched,
// even where other wallets are loaded.
func TestProveWithWallet(t *testing.T) {
	n := bitcointest.StartNode(t, false)
	n.Generate(bitcointest.Maturity + 2)
	made := clitest.MakeAnchor(t, "")
	txid := n.Send(n.Transaction(1, made.Script))
	n.Generate(1)
	path := filepath.Join(t.TempDir(), "reorg_db")
	db, err := reorgdb.Create(path)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(u *reorgdb.Update) error {
		// Without a height, the record does not lead to a block.
		return u.Anchor(reorgdb.Anchor{Hash: made.Hash, BitcoinTxID: txid, BroadcastTime: uint64(time.Now().UnixMilli()), Status: reorgdb.Confirmed, L2StateRoot: made.Root})
	}))
	require.NoError(t, db.Close())
	for _, name := range []string{"hot", ""} {
		w := bitcointest.NewWallet(t, n, name)
		w.Several = true
		args := []string{"--db-path", path, "--bitcoin-rpc", w.LoginURL(), "--scan-blocks", "0"}
		code, _, stderr := clitest.Run(reorgverify.Tool(), args...)
		require.Zero(t, code, stderr)
		require.Contains(t, stderr, "warning: could not determine the state of transaction "+txid)
		code, _, stderr = clitest.Run(reorgverify.Tool(), append(args, "--wallet", name)...)
		require.Equal(t, exit.Wrong, code)
		require.Contains(t, stderr, "is recorded at height 0, but its transaction "+txid+" is in the block at height 103")
	}
}

// TestCompareLongChain compares more hashes than are held at a time.
func TestCompareLongChain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reorg_db")
	db, err := reorgdb.Create(path)
	require.NoError(t, err)
	chain := bitcointest.NewChain(120_100)
	require.NoError(t, db.Update(func(u *reorgdb.Update) error {
		for height := uint64(0); height <= 120_000; height++ {
			_, _, err := u.Block(t.Context(), reorgdb.Block{Height: height, Hash: chain.Hash(int64(height))}, 0)
			require.NoError(t, err)
		}
		return nil
	}))
	require.NoError(t, db.Close())
	chain.Reorganise(119_990, 120_100)
	code, stdout, stderr := clitest.Run(reorgverify.Tool(), "--db-path", path, "--bitcoin-rpc", chain.Serve(t))
	require.Equal(t, exit.Wrong, code)
	require.Contains(t, stdout, "120001 block hash(es) compared, 11 differ")
	// A range is one line, even where it continues from one run to the next.
	require.Equal(t, 1, strings.Count(stderr, "error: "))
	line := "error: the block hashes at heights %d to 120000 are not those of the active chain: the first is %q, but %s in the active chain\n"
	original := bitcointest.NewChain(120_100)
	require.Contains(t, stderr, fmt.Sprintf(line, 119_990, original.Hash(119_990), chain.Hash(119_990)))
	chain.Reorganise(99_999, 120_100)
	url := chain.Serve(t)
	_, stdout, stderr = clitest.Run(reorgverify.Tool(), "--db-path", path, "--bitcoin-rpc", url)
	require.Contains(t, stdout, "20002 differ")
	require.Contains(t, stderr, fmt.Sprintf(line, 99_999, original.Hash(99_999), chain.Hash(99_999)))
	require.Contains(t, stderr, "hint: stop the node and replace what differs: ailee_resync_blocks --start-height 99999 ")
	_, stdout, _ = clitest.Run(reorgverify.Tool(), "--json", "--db-path", path, "--bitcoin-rpc", url)
	require.Contains(t, stdout, `"wrong-block-hash": 1`)
}

// TestSnapshotNamesADeadAnchor: no snapshot may rest on an anchor that a reorg invalidated or
// that was given up.
func TestSnapshotNamesADeadAnchor(t *testing.T) {
	made := clitest.MakeAnchor(t, "m")
	for status, want := range map[reorgdb.AnchorStatus]int{
		reorgdb.Pending: exit.OK, reorgdb.Confirmed: exit.OK, reorgdb.InvalidatedReorg: exit.Wrong, reorgdb.FailedOrphaned: exit.Wrong,
	} {
		path := filepath.Join(t.TempDir(), "reorg_db")
		db, err := reorgdb.Create(path)
		require.NoError(t, err)
		require.NoError(t, db.Update(func(u *reorgdb.Update) error {
			return u.Anchor(reorgdb.Anchor{Hash: made.Hash, BitcoinTxID: noTransaction, BroadcastTime: uint64(time.Now().UnixMilli()), Status: status, L2StateRoot: made.Root})
		}))
		require.NoError(t, db.Close())
		code, stdout, stderr := clitest.Run(reorgverify.Tool(), "--db-path", path, "--snapshot", made.File)
		require.Equal(t, want, code, "%s: %s%s", status, stdout, stderr)
		if want != exit.OK {
			require.Contains(t, stderr, fmt.Sprintf("error: the latest snapshot's anchor is %s: %s\n", status, made.Hash))
			// Without --broadcast the new anchor would have no record either.
			require.Contains(t, stderr, "hint: with the node stopped, anchor the state on Bitcoin again: ailee_create_anchor --broadcast --db-path "+path+" --l2-state-file "+made.File)
		}
	}
}
