package test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/golden"
	"ailee-recovery/reorgdb"
)

// noTransaction is the id of no transaction.
var noTransaction = strings.Repeat("0123", 16)

const smallState = `{"snapshotTimestampMs": 1, "ledger": {"balances": [{"peerId": "a", "balance": 5}], "escrows": []},
 "bridge": {"pegins": [], "pegouts": []}, "orchestration": {"tasks": []}, "anchor": null}`

// madeAnchor is what ailee_create_anchor says.
type madeAnchor struct {
	File   string `json:"file"`
	Root   string `json:"state_root"`
	Hash   string `json:"anchor_hash"`
	Script string `json:"op_return_script"`
}

func makeAnchor(t *testing.T, metadata string) (made madeAnchor, script []byte) {
	t.Helper()
	state := filepath.Join(t.TempDir(), "state.json")
	require.NoError(t, os.WriteFile(state, []byte(smallState), 0o600))
	code, stdout, stderr := run(createanchor.Tool(), "--json", "--l2-state-file", state, "--recovery-metadata", metadata,
		"--output", filepath.Join(t.TempDir(), "anchored.dat"))
	require.Equal(t, exit.OK, code, stderr)
	require.NoError(t, json.Unmarshal([]byte(stdout), &made))
	script, err := hex.DecodeString(made.Script)
	require.NoError(t, err)
	return made, script
}

// withLogin is a node's URL with its credentials.
func withLogin(n *bitcointest.Node) string {
	u, err := url.Parse(n.URL)
	if err != nil {
		panic(err)
	}
	u.User = url.UserPassword(bitcointest.User, bitcointest.Password)
	return u.String()
}

// outcome runs a command and compares exit code, standard output, and with a part of
// standard error, where "" stands for nothing.
func outcome(t *testing.T, want int, stdout, stderr string, command cli.Tool, args ...string) {
	t.Helper()
	code, out, errs := run(command, args...)
	require.Equal(t, want, code, "%s%s", out, errs)
	require.Equal(t, stdout, out)
	if stderr == "" {
		require.Empty(t, errs)
	}
	require.Contains(t, errs, stderr)
}

func TestProveSnapshot(t *testing.T) {
	n := bitcointest.StartNode(t, false)
	n.Generate(bitcointest.Maturity + 2)
	made, script := makeAnchor(t, "") // its payload is its commitment
	long, longScript := makeAnchor(t, strings.Repeat("long,", 20))
	require.Len(t, longScript, 39)
	txid := n.Send(n.Transaction(1, script))

	verify := func(want int, verdict, stderr, file, tx string, args ...string) {
		t.Helper()
		lines := fmt.Sprintf("Computed L2StateRoot: %s\nAnchor verified: %s\n", made.Root, map[string]string{made.File: made.Hash, long.File: long.Hash}[file])
		outcome(t, want, lines+verdict, stderr, l2verify.Tool(),
			append([]string{"--snapshot", file, "--bitcoin-rpc", withLogin(n), "--anchor-tx", tx}, args...)...)
	}
	const ok = "Verification OK.\nAnchored in transaction "
	verify(2, "", "error: transaction "+txid+" is in the mempool, not in a block: 1 demanded\nailee_l2_verify: hint: wait for more blocks", made.File, txid)
	verify(0, ok+txid+", which is in the mempool, not in a block\n", "", made.File, txid, "--min-confirmations", "0")
	verify(2, "", "error: transaction "+noTransaction+" is neither in the active chain nor in the mempool\n", made.File, noTransaction)
	verify(1, "", "error: transaction "+noTransaction+" could not be told: the node has no complete transaction index, and it is not in the 10 block(s) from", made.File, noTransaction, "--scan-blocks", "10")

	mined := n.Generate(1)[0]
	longTx := n.Send(n.Transaction(2, longScript))
	n.Generate(1)
	verify(0, ok+txid+", block 103, 2 confirmation(s)\n", "", made.File, txid)
	verify(0, ok+txid+", block 103, 2 confirmation(s)\n", "", made.File, strings.ToUpper(txid), "--min-confirmations", "2")
	verify(0, ok+longTx+", block 104, 1 confirmation(s)\n", "", long.File, longTx)
	verify(2, "", "is in the block at height 103, 2 confirmation(s): 3 demanded", made.File, txid, "--min-confirmations", "3")
	verify(2, "", "error: transaction "+longTx+" does not carry the commitment of anchor "+made.Hash+"\n", made.File, longTx)
	verify(2, "", "does not carry the commitment of anchor "+long.Hash, long.File, txid)

	report := filepath.Join(t.TempDir(), "report.xml")
	code, stdout, _ := run(l2verify.Tool(), "--json", "--junit", report, "--snapshot", made.File, "--bitcoin-rpc", withLogin(n), "--anchor-tx", txid)
	require.Equal(t, exit.OK, code)
	var doc struct {
		Bitcoin struct {
			TxID          string
			Proven        bool
			State         string
			BlockHash     string `json:"block_hash"`
			Height        int64
			Confirmations int64
		}
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &doc))
	require.Equal(t, mined, doc.Bitcoin.BlockHash)
	require.True(t, doc.Bitcoin.Proven)
	require.Contains(t, readJUnit(t, report).Suites[0].Cases[0].Out, "Verification OK.\nAnchored in transaction "+txid)
	require.EqualValues(t, []any{txid, "mined", int64(103), int64(2)}, []any{doc.Bitcoin.TxID, doc.Bitcoin.State, doc.Bitcoin.Height, doc.Bitcoin.Confirmations})
	code, stdout, _ = run(l2verify.Tool(), "--json", "--junit", report, "--snapshot", made.File, "--bitcoin-rpc", withLogin(n), "--anchor-tx", longTx)
	require.Equal(t, exit.Wrong, code)
	require.Equal(t, "not proven", readJUnit(t, report).Suites[0].Cases[0].Failure.Type)
	require.Contains(t, stdout, `"proven": false`)
	require.Contains(t, stdout, `"exit_code": 2`)

	// Reorganised away, and mined again.
	n.InvalidateBlock(mined)
	verify(2, "", "is in the mempool, not in a block: 1 demanded", made.File, txid)
	n.Generate(3)
	verify(0, ok+txid+", block 103, 3 confirmation(s)\n", "", made.File, txid)

	// A snapshot with nothing to prove. What nodes say of it stays.
	for name, words := range map[string]string{
		"anchor_payload_unbound": "proves nothing of this state",
		"anchor_missing":         "there is nothing to prove",
	} {
		file := filepath.Join(golden.Dir(), "verify", name+".dat")
		_, plain, _ := run(l2verify.Tool(), "--snapshot", file)
		code, stdout, stderr := run(l2verify.Tool(), "--snapshot", file, "--bitcoin-rpc", withLogin(n), "--anchor-tx", txid)
		require.Equal(t, exit.Wrong, code)
		require.Equal(t, strings.TrimSuffix(plain, "Verification OK.\n"), stdout)
		require.Contains(t, stderr, words)
	}

	for problem, args := range map[string][]string{
		"is not a transaction id":           {"--anchor-tx", "1234"},
		"is for the latest snapshot":        {"--anchor-tx", txid, "--all"},
		"is not a number of confirmations":  {"--anchor-tx", txid, "--min-confirmations", "-1"},
		"is not a number of blocks":         {"--anchor-tx", txid, "--scan-blocks", "-1"},
		"--min-confirmations needs --ancho": {"--min-confirmations", "3"},
	} {
		code, stdout, stderr := run(l2verify.Tool(), append(args, "--snapshot", made.File)...)
		require.Equal(t, exit.Failed, code)
		require.Empty(t, stdout)
		require.Contains(t, stderr, problem)
	}
	n.Stop()
	verify(1, "", "connection refused", made.File, txid, "--rpc-wait", "0")
}

func TestProveDatabase(t *testing.T) {
	n := bitcointest.StartNode(t, false)
	n.Generate(bitcointest.Maturity + 2)
	made, script := makeAnchor(t, "")
	long, longScript := makeAnchor(t, strings.Repeat("long,", 20))
	txid := n.Send(n.Transaction(1, script))
	n.Generate(1)
	longTx := n.Send(n.Transaction(2, longScript))
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
		code, stdout, stderr := run(reorgverify.Tool(), append([]string{"--db-path", path, "--bitcoin-rpc", withLogin(n)}, args...)...)
		require.Equal(t, want, code, "%s%s", stdout, stderr)
		return stdout, stderr
	}

	stdout, stderr := verify(0)
	require.Contains(t, stdout, "Chain: tip at height 110, 10 block hash(es) compared, 0 differ\nConfirmed anchors proven on chain: 2 of 2\nVerification OK.\n")
	require.NotContains(t, stderr, "error")
	code, stdout, _ := run(reorgverify.Tool(), "--db-path", path)
	require.Equal(t, exit.OK, code)
	require.NotContains(t, stdout, "Chain:")
	stdout, _ = verify(0, "--json")
	require.Contains(t, stdout, `"anchors_proven": 2`)

	// What cannot be told is a warning.
	write(func(put func(reorgdb.Anchor), block func(uint64, string)) {
		put(reorgdb.Anchor{Hash: "old", BitcoinTxID: noTransaction, BroadcastTime: 0, Status: reorgdb.Confirmed, L2StateRoot: "r"})
		block(111, noTransaction)
		block(120, noTransaction)
	})
	stdout, stderr = verify(0, "--scan-blocks", "5")
	require.Contains(t, stdout, "Confirmed anchors proven on chain: 2 of 3\n")
	require.Contains(t, stderr, "warning: transaction "+noTransaction+" of the confirmed anchor old could not be told: the node has no complete transaction index, and it is not in the 5 block(s) from height 106 on")
	require.Contains(t, stderr, "warning: 2 block hash(es) up to height 120 are above the Bitcoin node's tip at 110")
	_, stderr = verify(2) // all blocks
	require.Contains(t, stderr, "error: transaction "+noTransaction+" of the confirmed anchor old is neither in the active chain nor in the mempool")
	require.Contains(t, stderr, "hint: bring the records in line with the chain: ailee_resync_blocks --anchors --db-path "+path)

	// Each thing that can be wrong.
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
	require.Contains(t, stderr, fmt.Sprintf("error: the block hash at height 50 is %q, in the active chain it is %s\n", n.Hash(51), n.Hash(50)))
	require.Contains(t, stderr, `error: anchor old is confirmed, but its record names no transaction: ""`)
	require.Contains(t, stderr, "error: transaction "+longTx+" does not carry the commitment of anchor "+made.Hash+"\n")
	require.Contains(t, stderr, "error: anchor "+long.Hash+" is recorded at height 103, its transaction "+longTx+" is in the block at height 104, 7 confirmation(s)\n")
	require.Contains(t, stderr, "hint: stop the node and replace what differs: ailee_resync_blocks --start-height 50 --db-path "+path)
	stdout, _ = verify(2, "--json")
	for _, kind := range []string{"wrong-block-hash", "anchor-not-in-chain", "commitment-missing", "wrong-anchor-height"} {
		require.Contains(t, stdout, fmt.Sprintf("%q: 1", kind))
	}

	// Reorganised away: back in the mempool.
	write(func(put func(reorgdb.Anchor), _ func(uint64, string)) { put(short); put(digest) })
	n.InvalidateBlock(mined)
	_, stderr = verify(2)
	require.Contains(t, stderr, "error: transaction "+longTx+" of the confirmed anchor "+long.Hash+" is in the mempool, not in a block\n")

	// Another network.
	stranger := bitcointest.NewChain(200)
	_, _, stderr = run(reorgverify.Tool(), "--db-path", path, "--bitcoin-rpc", stranger.Serve(t))
	require.Contains(t, stderr, "hint: no block hash agrees: is the Bitcoin node on the network of this AILEE node?")

	n.Stop()
	code, stdout, stderr = run(reorgverify.Tool(), "--db-path", path, "--bitcoin-rpc", withLogin(n), "--rpc-wait", "0")
	require.Equal(t, exit.Failed, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "connection refused")
}

// The hashes of a long chain are compared in runs.
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
	code, stdout, stderr := run(reorgverify.Tool(), "--db-path", path, "--bitcoin-rpc", chain.Serve(t))
	require.Equal(t, exit.Wrong, code)
	require.Contains(t, stdout, "120001 block hash(es) compared, 11 differ")
	require.Equal(t, 11, strings.Count(stderr, "error: the block hash at height 1"))
}
