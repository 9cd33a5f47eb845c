package l2verify_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/golden"
)

// noTransaction is an id that no transaction has.
var noTransaction = strings.Repeat("0123", 16)

func TestProveSnapshot(t *testing.T) {
	n := bitcointest.StartNode(t, false)
	n.Generate(bitcointest.Maturity + 2)
	made := clitest.MakeAnchor(t, "") // its payload is its commitment
	long := clitest.MakeAnchor(t, strings.Repeat("long,", 20))
	require.Len(t, long.Script, 39)
	txid := n.Send(n.Transaction(1, made.Script))

	verify := func(want int, verdict, stderr, file, tx string, args ...string) {
		t.Helper()
		lines := fmt.Sprintf("Computed L2StateRoot: %s\nAnchor verified: %s\n", made.Root, map[string]string{made.File: made.Hash, long.File: long.Hash}[file])
		clitest.Outcome(t, want, lines+verdict, stderr, l2verify.Tool(),
			append([]string{"--snapshot", file, "--bitcoin-rpc", n.LoginURL(), "--anchor-tx", tx}, args...)...)
	}
	const ok = "Verification OK.\nAnchored in transaction "
	verify(2, "", "error: transaction "+txid+" is in the mempool, not in a block: 1 demanded\nailee_l2_verify: hint: wait for more blocks", made.File, txid)
	verify(0, ok+txid+", which is in the mempool, not in a block\n", "", made.File, txid, "--min-confirmations", "0")
	verify(2, "", "error: transaction "+noTransaction+" is neither in the active chain nor in the mempool\n", made.File, noTransaction)
	verify(1, "", "error: could not determine the state of transaction "+noTransaction+": the node has no complete transaction index, and the transaction is not in the 10 block(s) starting at height", made.File, noTransaction, "--scan-blocks", "10")

	mined := n.Generate(1)[0]
	longTx := n.Send(n.Transaction(2, long.Script))
	n.Generate(1)
	verify(0, ok+txid+", block 103, 2 confirmation(s)\n", "", made.File, txid)
	verify(0, ok+txid+", block 103, 2 confirmation(s)\n", "", made.File, strings.ToUpper(txid), "--min-confirmations", "2")
	verify(0, ok+longTx+", block 104, 1 confirmation(s)\n", "", long.File, longTx)
	verify(2, "", "is in the block at height 103, 2 confirmation(s): 3 demanded", made.File, txid, "--min-confirmations", "3")
	verify(2, "", "error: transaction "+longTx+" does not carry the commitment of anchor "+made.Hash+"\n", made.File, longTx)
	verify(2, "", "does not carry the commitment of anchor "+long.Hash, long.File, txid)

	report := filepath.Join(t.TempDir(), "report.xml")
	code, stdout, _ := clitest.Run(l2verify.Tool(), "--json", "--junit", report, "--snapshot", made.File, "--bitcoin-rpc", n.LoginURL(), "--anchor-tx", txid)
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
	require.Contains(t, clitest.ReadJUnit(t, report).Suites[0].Cases[0].Out, "Verification OK.\nAnchored in transaction "+txid)
	require.EqualValues(t, []any{txid, "mined", int64(103), int64(2)}, []any{doc.Bitcoin.TxID, doc.Bitcoin.State, doc.Bitcoin.Height, doc.Bitcoin.Confirmations})
	code, stdout, _ = clitest.Run(l2verify.Tool(), "--json", "--junit", report, "--snapshot", made.File, "--bitcoin-rpc", n.LoginURL(), "--anchor-tx", longTx)
	require.Equal(t, exit.Wrong, code)
	require.Equal(t, "not proven", clitest.ReadJUnit(t, report).Suites[0].Cases[0].Failure.Type)
	require.Contains(t, stdout, `"proven": false`)
	require.Contains(t, stdout, `"exit_code": 2`)

	// Reorganised away, then mined again.
	n.InvalidateBlock(mined)
	verify(2, "", "is in the mempool, not in a block: 1 demanded", made.File, txid)
	n.Generate(3)
	verify(0, ok+txid+", block 103, 3 confirmation(s)\n", "", made.File, txid)

	// A snapshot with nothing to prove. The lines of the nodes' verifier stay as they are.
	for name, words := range map[string]string{
		"anchor_payload_unbound": "proves nothing of this state",
		"anchor_missing":         "there is nothing to prove",
	} {
		file := filepath.Join(golden.Dir(), "verify", name+".dat")
		_, plain, _ := clitest.Run(l2verify.Tool(), "--snapshot", file)
		code, stdout, stderr := clitest.Run(l2verify.Tool(), "--snapshot", file, "--bitcoin-rpc", n.LoginURL(), "--anchor-tx", txid)
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
		code, stdout, stderr := clitest.Run(l2verify.Tool(), append(args, "--snapshot", made.File)...)
		require.Equal(t, exit.Failed, code)
		require.Empty(t, stdout)
		require.Contains(t, stderr, problem)
	}
	n.Stop()
	verify(1, "", "connection refused", made.File, txid, "--rpc-wait", "0")
}

// TestProveWithWallet: the wallet that is named knows the transaction, so that no block is
// searched, even if other wallets are loaded.
func TestProveWithWallet(t *testing.T) {
	n := bitcointest.StartNode(t, false)
	n.Generate(bitcointest.Maturity + 2)
	made := clitest.MakeAnchor(t, "")
	txid := n.Send(n.Transaction(1, made.Script))
	n.Generate(1)
	for _, name := range []string{"hot", ""} {
		w := bitcointest.NewWallet(t, n, name)
		w.Several = true
		args := []string{"--snapshot", made.File, "--bitcoin-rpc", w.LoginURL(), "--anchor-tx", txid, "--scan-blocks", "0"}
		code, _, stderr := clitest.Run(l2verify.Tool(), args...)
		require.Equal(t, exit.Failed, code)
		require.Contains(t, stderr, "could not determine the state of transaction "+txid)
		code, stdout, stderr := clitest.Run(l2verify.Tool(), append(args, "--wallet", name)...)
		require.Zero(t, code, stderr)
		require.Contains(t, stdout, "Anchored in transaction "+txid+", block 103, 1 confirmation(s)\n")
	}
}
