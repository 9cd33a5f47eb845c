package createanchor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcjson"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/command/resyncblocks"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// payer is a Bitcoin node with a wallet that has coins.
type payer struct {
	node   *bitcointest.Node
	wallet *bitcointest.Wallet
}

func newPayer(t *testing.T, name string) *payer {
	t.Helper()
	n := bitcointest.StartNode(t, false)
	n.Generate(110)
	return &payer{n, bitcointest.NewWallet(t, n, name)}
}

// place is a node's data directory with a database and one snapshot, and a state to anchor.
type place struct {
	*payer
	dir, state string
}

const placeState = 2_000_000

func (p *payer) place(t *testing.T) *place {
	t.Helper()
	dir := filepath.Dir(clitest.History(t, 1))
	db, err := reorgdb.Create(filepath.Join(dir, "reorg_db"))
	require.NoError(t, err)
	require.NoError(t, db.Close())
	return &place{p, dir, clitest.StateFile(t, placeState, 5)}
}

// args returns the arguments for a broadcast of the state.
func (p *place) args(more ...string) []string {
	return append(p.with("--broadcast", "--yes", "--fee-rate", "10", "--l2-state-file", p.state), more...)
}

func (p *place) with(more ...string) []string {
	args := []string{"--data-dir", p.dir, "--bitcoin-rpc", p.url(), "--rpc-wait", "0s"}
	if p.wallet.Name != "" {
		args = append(args, "--wallet", p.wallet.Name)
	}
	return append(args, more...)
}

// url includes the login, since parallel tests share the environment.
func (p *place) url() string { return p.wallet.LoginURL() }

// run runs the tool.
func (p *place) run(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	return clitest.RunProcess(t, want, createanchor.Name, args...)
}

func (p *place) anchors(t *testing.T) (all []reorgdb.Anchor) {
	t.Helper()
	db, err := reorgdb.OpenReadOnly(filepath.Join(p.dir, "reorg_db"))
	require.NoError(t, err)
	for a, err := range db.Anchors(t.Context()) {
		require.NoError(t, err)
		all = append(all, a.Anchor)
	}
	require.NoError(t, db.Close())
	return all
}

// update changes the database, as another program would.
func (p *place) update(t *testing.T, change func(u *reorgdb.Update, a reorgdb.Anchor)) {
	t.Helper()
	record := p.anchors(t)[0]
	db, err := reorgdb.Open(filepath.Join(p.dir, "reorg_db"))
	require.NoError(t, err)
	require.NoError(t, db.Update(func(u *reorgdb.Update) error {
		change(u, record)
		return nil
	}))
	require.NoError(t, db.Close())
}

// appended returns the anchor of the one snapshot that was appended.
func (p *place) appended(t *testing.T) *snapshot.Anchor {
	t.Helper()
	path := filepath.Join(p.dir, "l2_snapshots.dat")
	require.Equal(t, []uint64{1, placeState}, clitest.Times(t, path))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	l, err := snapshot.Latest(bytes.NewReader(data), int64(len(data)))
	require.NoError(t, err)
	report, err := snapshot.NewChecker(nil).Check(context.Background(), bytes.NewReader(data), l)
	require.NoError(t, err)
	require.Equal(t, snapshot.Valid, report.Verdict())
	return report.Anchor
}

// unchanged asserts that a broadcast has left nothing anywhere.
func (p *place) unchanged(t *testing.T) {
	t.Helper()
	require.Empty(t, p.anchors(t))
	require.Equal(t, []uint64{1}, clitest.Times(t, filepath.Join(p.dir, "l2_snapshots.dat")))
	require.Empty(t, p.node.Mempool())
	require.Equal(t, []string{"l2_snapshots.dat", "reorg_db"}, clitest.Names(t, p.dir))
}

// complete asserts that there is one transaction, one record and one snapshot, and
// nothing else, and returns the transaction's id.
func (p *place) complete(t *testing.T, sent map[string]*wire.MsgTx) string {
	t.Helper()
	anchor := p.appended(t)
	records := p.anchors(t)
	require.Len(t, records, 1)
	r := records[0]
	require.Equal(t, reorgdb.Anchor{Hash: anchor.Hash, BitcoinTxID: r.BitcoinTxID, BroadcastTime: r.BroadcastTime,
		Status: reorgdb.Pending, L2StateRoot: anchor.L2StateRoot}, r)
	require.Less(t, time.Since(time.UnixMilli(int64(r.BroadcastTime))).Abs(), time.Hour)
	require.Len(t, sent, 1)
	tx := sent[r.BitcoinTxID]
	require.NotNil(t, tx)
	carrying, change := 0, 0
	for _, out := range tx.TxOut {
		if out.Value == 0 {
			carrying++
			require.Equal(t, snapshot.OpReturnScript(snapshot.Commitment(anchor.Payload)), out.PkScript)
		} else {
			change++
		}
	}
	require.Equal(t, [2]int{1, 1}, [2]int{carrying, change})
	require.EqualValues(t, wire.MaxTxInSequenceNum-2, tx.TxIn[0].Sequence)
	require.Equal(t, []string{"l2_snapshots.dat", "reorg_db"}, clitest.Names(t, p.dir))
	return r.BitcoinTxID
}

// mined mines the waiting transactions and returns them.
func (p *payer) mined() map[string]*wire.MsgTx {
	all := map[string]*wire.MsgTx{}
	for _, tx := range p.node.Transactions(p.node.Generate(1)[0]) {
		all[tx.TxID()] = tx
	}
	return all
}

// TestBroadcast does complete broadcasts, with a wallet that answers like an old Bitcoin Core
// and one that answers like a new one.
func TestBroadcast(t *testing.T) {
	t.Parallel()
	for _, old := range []bool{true, false} {
		t.Run(fmt.Sprintf("old %v", old), func(t *testing.T) {
			t.Parallel()
			payer := newPayer(t, map[bool]string{true: "", false: "anchors, of the node"}[old])
			payer.wallet.Old = old
			p := payer.place(t)
			const uid, gid = 12345, 12346
			if os.Geteuid() == 0 {
				require.NoError(t, exec.Command("chown", "-R", fmt.Sprintf("%d:%d", uid, gid), p.dir).Run())
			}
			tip := fmt.Sprintf("btc_height=110,btc_hash=%s", p.node.Hash(110))
			stdout, stderr := p.run(t, exit.OK, p.args("--json", "--recovery-metadata", "why=test", "--timestamp-ms", "1739577600000")...)
			require.Empty(t, stderr)
			var doc struct {
				AnchorHash  string `json:"anchor_hash"`
				Metadata    string `json:"metadata"`
				Transaction struct {
					TxID  string `json:"txid"`
					Fee   int64  `json:"fee_sat"`
					VSize int64  `json:"vsize"`
				} `json:"transaction"`
			}
			require.NoError(t, json.Unmarshal([]byte(stdout), &doc))
			require.Equal(t, "why=test,"+tip, doc.Metadata)
			require.Equal(t, snapshot.AnchorHash(p.appended(t).Payload), doc.AnchorHash)
			require.InDelta(t, 10*doc.Transaction.VSize, doc.Transaction.Fee, 40)
			txid := p.complete(t, p.node.Mempool())
			require.Equal(t, txid, doc.Transaction.TxID)
			clitest.RunProcess(t, exit.OK, l2verify.Name, "--snapshot", filepath.Join(p.dir, "l2_snapshots.dat"))
			if os.Geteuid() == 0 {
				foreign, err := exec.Command("find", p.dir, "!", "-uid", fmt.Sprint(uid), "-o", "!", "-gid", fmt.Sprint(gid)).Output()
				require.NoError(t, err)
				require.Empty(t, string(foreign), "the node could not use it")
			}

			// Doing the same again pays nothing, whatever the tip is by now.
			for _, more := range [][]string{nil, {"--timestamp-ms", "1739577600000"}} {
				stdout, stderr = p.run(t, exit.OK, p.args(more...)...)
				require.Empty(t, stderr)
				require.Contains(t, stdout, txid+", from an earlier run")
				require.Contains(t, stdout, "Already written")
				p.complete(t, p.node.Mempool())
			}
			require.Contains(t, p.mined(), txid)
			p.run(t, exit.OK, p.args()...)
			require.Empty(t, p.node.Mempool())
			// Another time is another anchor.
			p.run(t, exit.OK, p.args("--timestamp-ms", "7")...)
			require.Len(t, p.node.Mempool(), 1)
			require.Len(t, p.anchors(t), 2)
		})
	}
}

// TestBroadcastPaysFromTheWalletNamed: the named wallet pays, whatever the URL ends with. At
// the node's own path, the default wallet would pay.
func TestBroadcastPaysFromTheWalletNamed(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "hot")
	p := payer.place(t)
	for _, odd := range []string{"#frag", "/?apikey=K#frag"} {
		_, stderr := p.run(t, exit.Failed, p.args("--bitcoin-rpc", p.url()+odd)...)
		require.Contains(t, stderr, "has a fragment")
		require.NotContains(t, stderr, bitcointest.Password)
	}
	for _, odd := range []string{".", ".."} {
		_, stderr := p.run(t, exit.Failed, p.args("--wallet", odd)...)
		require.Contains(t, stderr, "is not a wallet name")
	}
	require.NotContains(t, p.wallet.Methods(), "fundrawtransaction")
	p.unchanged(t)
	p.run(t, exit.OK, p.args("--bitcoin-rpc", p.url()+"/?apikey=K")...)
	p.complete(t, p.node.Mempool())
}

func rpcError(code btcjson.RPCErrorCode, text string) func(string) error {
	return func(string) error { return btcjson.NewRPCError(code, text) }
}

// TestBroadcastRefused: a refusal is reported in the node's words, with what to do next, and
// leaves nothing behind.
func TestBroadcastRefused(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	p := payer.place(t)
	for _, c := range []struct {
		at, hint string
		refuse   func(string) error
	}{
		{"fundrawtransaction", "send coins", rpcError(-4, "Insufficient funds")},
		{"fundrawtransaction", "send coins", rpcError(-6, "not enough")},
		{"fundrawtransaction", "--fee-rate", rpcError(-4, "Fee estimation failed. Fallbackfee is disabled.")},
		{"fundrawtransaction", "keypoolrefill", rpcError(-4, "Transaction needs a change address, but we can't generate it.")},
		{"fundrawtransaction", "loadwallet", rpcError(-18, "No wallet is loaded. Load a wallet using loadwallet or create a new one with createwallet.")},
		{"fundrawtransaction", "--wallet NAME", rpcError(-19, "Wallet file not specified (must request wallet RPC through /wallet/<filename> uri-path).")},
		{"fundrawtransaction", "has no wallet", rpcError(-32601, "Method not found")},
		{"signrawtransactionwithwallet", "walletpassphrase", rpcError(-13, "Error: Please enter the wallet passphrase with walletpassphrase first.")},
		{"testmempoolaccept", "--fee-rate", rpcError(-26, "min relay fee not met")},
		{"sendrawtransaction", "--fee-rate", rpcError(-26, "min relay fee not met, 100 < 141")},
		{"sendrawtransaction", "policy", rpcError(-25, "bad-txns-inputs-missingorspent")},
	} {
		p.wallet.On(func(method string) error {
			if method == c.at {
				return c.refuse(method)
			}
			return nil
		}, nil)
		_, stderr := p.run(t, exit.Failed, p.args()...)
		var rpc *btcjson.RPCError
		require.ErrorAs(t, c.refuse(""), &rpc)
		require.Contains(t, stderr, rpc.Message)
		require.Regexp(t, "hint: .*"+c.hint, stderr)
		p.unchanged(t)
	}
	p.wallet.On(nil, nil)

	_, stderr := p.run(t, exit.Failed, p.args("--max-fee", "100")...)
	require.Regexp(t, `the fee of \d+ sat is above the 100 sat of --max-fee`, stderr)
	_, stderr = p.run(t, exit.Failed, p.args("--fee-rate", "20000", "--max-fee", "100000000")...)
	require.Contains(t, stderr, "the node would refuse the transaction: max-fee-exceeded")
	require.Contains(t, stderr, "--fee-rate")
	_, stderr = p.run(t, exit.Failed, p.args("--wallet", "other")...)
	require.Contains(t, stderr, "loadwallet")
	// There is no estimate on this network, and no terminal on which to ask.
	estimate := p.with("--broadcast", "--yes", "--l2-state-file", p.state)
	_, stderr = p.run(t, exit.Failed, estimate...)
	require.Contains(t, stderr, "hint: set the fee rate: --fee-rate SAT_VB")
	_, stderr = p.run(t, exit.Failed, p.with("--broadcast", "--fee-rate", "10", "--l2-state-file", p.state)...)
	require.Contains(t, stderr, "--yes")
	p.unchanged(t)

	stdout, _ := p.run(t, exit.OK, p.args("--dry-run")...)
	require.Contains(t, stdout, "not sent")
	require.Contains(t, stdout, "Would write")
	p.unchanged(t)
}

// TestBroadcastRefusedAsRecorded: a refusal by a real Bitcoin Core leaves nothing behind, and
// is reported in its words, with what to do next.
func TestBroadcastRefusedAsRecorded(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	p := payer.place(t)
	for name, hint := range map[string]string{
		"d1-fundrawtransaction-error-4-fee-estimation-failed-fallbackfee-is-disabled":        "set the fee rate: --fee-rate SAT_VB",
		"d2-fundrawtransaction-error-19-multiple-wallets-are-loaded-please-select":           "name one of them with --wallet NAME; list them with bitcoin-cli listwallets",
		"d3-fundrawtransaction-error-18-requested-wallet-does-not-exist-or":                  "load the wallet with bitcoin-cli loadwallet NAME, and name it with --wallet NAME",
		"d5a-fundrawtransaction-error-4-the-total-exceeds-your-balance-when":                 "send coins to the wallet, or wait until incoming ones are confirmed",
		"m3d-fundrawtransaction-error-4-fee-exceeds-maximum-configured-by-user":              "use a lower fee rate, --fee-rate SAT_VB, or raise the node's maxtxfee",
		"u6-fundrawtransaction-error-4-unconfirmed-utxos-are-available-but-spending":         "wait until the wallet's transactions are confirmed; with several coins, it need not spend unconfirmed ones",
		"wl-fundrawtransaction-http403":                                                      "allow this machine and the method on the node: rpcallowip, rpcwhitelist",
		"d5e-signrawtransactionwithwallet-error-13-error-please-enter-the-wallet-passphrase": "unlock the wallet, then run the command again: bitcoin-cli -stdinwalletpassphrase walletpassphrase 600",
		"probe-sendrawtransaction-min-relay-fee":                                             "use another fee rate: --fee-rate SAT_VB",
		"v29-probe-sendrawtransaction-replaced":                                              "use another fee rate: --fee-rate SAT_VB",
		"probe-sendrawtransaction-inputs-spent":                                              "check the node's policy, and that no other transaction spends the same coins",
	} {
		r := bitcointest.OneRecorded(t, name)
		calls, _ := r.Calls()
		p.wallet.Replace(calls[0].Method, &r)
		_, stderr := p.run(t, exit.Failed, p.args()...)
		p.wallet.Replace(calls[0].Method, nil)
		var refused struct{ Error btcjson.RPCError }
		_ = json.Unmarshal([]byte(r.Response), &refused)
		require.Regexp(t, "^ailee_create_anchor: error: .*"+regexp.QuoteMeta(refused.Error.Message)+"\nailee_create_anchor: hint: "+regexp.QuoteMeta(hint)+"\n$", stderr, name)
		p.unchanged(t)
	}
}

// TestBroadcastTrustsNoWallet: the wallet's transaction is sent only if it is the one that was
// asked for.
func TestBroadcastTrustsNoWallet(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	p := payer.place(t)
	const fund, sign = "fundrawtransaction", "signrawtransactionwithwallet"
	for _, c := range []struct {
		at, words string
		spoil     func(tx *wire.MsgTx)
	}{
		{fund, "output 2 was not asked for", func(tx *wire.MsgTx) { tx.AddTxOut(wire.NewTxOut(1000, []byte{0x51})) }},
		{fund, "2 outputs with the commitment", func(tx *wire.MsgTx) { tx.AddTxOut(tx.TxOut[0]) }},
		{fund, "output 0 was not asked for", func(tx *wire.MsgTx) { tx.TxOut[0].Value = 1 }},
		{fund, "output 0 was not asked for", func(tx *wire.MsgTx) { tx.TxOut[0].PkScript = []byte{0x6a, 1, 1} }},
		{fund, "cannot be replaced", func(tx *wire.MsgTx) { tx.TxIn[0].Sequence = wire.MaxTxInSequenceNum }},
		{fund, "a fee of", func(tx *wire.MsgTx) { tx.TxOut[1].Value -= 1000 }},
		{sign, "cannot sign", func(tx *wire.MsgTx) { tx.TxIn[0].SignatureScript = nil }},
		{sign, "another transaction", func(tx *wire.MsgTx) { tx.TxOut[1].PkScript = []byte{0x51} }},
		{sign, "would refuse the transaction", func(tx *wire.MsgTx) { tx.TxIn[0].SignatureScript[10] ^= 1 }},
	} {
		p.wallet.Spoil(func(method string, tx *wire.MsgTx) {
			if method == c.at {
				c.spoil(tx)
			}
		})
		_, stderr := p.run(t, exit.Failed, p.args()...)
		require.Contains(t, stderr, c.words)
		p.unchanged(t)
	}
	require.NotContains(t, p.wallet.Methods(), "sendrawtransaction")
}

// TestBroadcastLocked: a running node is detected before the Bitcoin node is asked for
// anything.
func TestBroadcastLocked(t *testing.T) {
	t.Parallel()
	payer := &payer{bitcointest.StartNode(t, false), nil}
	payer.wallet = bitcointest.NewWallet(t, payer.node, "")
	p := payer.place(t)
	stop, err := reorgtest.StartNode(filepath.Join(p.dir, "reorg_db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, stop()) }()
	for _, args := range [][]string{p.args(), p.args("--dry-run"), p.with("--yes", "--bump", strings.Repeat("ab", 32))} {
		_, stderr := p.run(t, exit.Failed, args...)
		require.Contains(t, stderr, "is in use by")
		require.Contains(t, stderr, "systemctl stop ailee-node")
	}
	require.Empty(t, p.wallet.Methods())
}

// killer kills the tool when the node receives a call or has carried it out.
type killer struct {
	mu  sync.Mutex
	cmd *exec.Cmd
}

func (k *killer) start(t *testing.T, args ...string) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cmd = exec.Command(createanchor.Name, args...)
	require.NoError(t, k.cmd.Start())
}

func (k *killer) at(at string) func(string) error {
	return func(method string) error {
		if method != at {
			return nil
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		_ = k.cmd.Process.Kill()
		return bitcointest.ErrCut
	}
}

// TestBroadcastKilledAtEveryCall kills the run before and after each call that it
// makes. A second run ends with one transaction, one record and one snapshot.
func TestBroadcastKilledAtEveryCall(t *testing.T) {
	clitest.SkipUnderRace(t)
	t.Parallel()
	payer := newPayer(t, "")
	p := payer.place(t)
	p.run(t, exit.OK, p.args()...)
	p.mined()
	methods := map[string]bool{}
	for _, method := range p.wallet.Methods() {
		methods[method] = true
	}
	require.Contains(t, methods, "sendrawtransaction")
	for method := range methods {
		for _, after := range []bool{false, true} {
			// After the send, also with the transaction mined in between.
			for _, mine := range []bool{false, true} {
				if mine && !(after && method == "sendrawtransaction") {
					continue
				}
				p := payer.place(t)
				var k killer
				if after {
					p.wallet.On(nil, k.at(method))
				} else {
					p.wallet.On(k.at(method), nil)
				}
				k.start(t, p.args()...)
				_ = k.cmd.Wait()
				p.wallet.On(nil, nil)
				sent := map[string]*wire.MsgTx{}
				if mine {
					sent = p.mined()
				}
				p.run(t, exit.OK, p.args()...)
				for txid, tx := range p.node.Mempool() {
					sent[txid] = tx
				}
				p.complete(t, sent)
				p.mined()
			}
		}
	}
}

// TestBroadcastKilledTwice kills the second run as well.
func TestBroadcastKilledTwice(t *testing.T) {
	clitest.SkipUnderRace(t)
	t.Parallel()
	payer := newPayer(t, "")
	for _, method := range []string{"gettransaction", "getrawtransaction", "sendrawtransaction"} {
		for _, after := range []bool{false, true} {
			p := payer.place(t)
			var k killer
			p.wallet.On(k.at("sendrawtransaction"), nil)
			k.start(t, p.args()...)
			_ = k.cmd.Wait()
			if after {
				p.wallet.On(nil, k.at(method))
			} else {
				p.wallet.On(k.at(method), nil)
			}
			p.wallet.Methods()
			k.start(t, p.args()...)
			_ = k.cmd.Wait()
			require.Contains(t, p.wallet.Methods(), method)
			p.wallet.On(nil, nil)
			p.run(t, exit.OK, p.args()...)
			p.complete(t, p.node.Mempool())
			p.mined()
		}
	}
}

// TestBroadcastKilled kills the run at random moments between the last call that
// changes nothing and its end.
func TestBroadcastKilled(t *testing.T) {
	clitest.SkipUnderRace(t)
	t.Parallel()
	payer := newPayer(t, "")
	rng := rand.New(rand.NewSource(3))
	took := time.Hour
	stages := map[string]int{}
	for i := range clitest.Kills(60) + 2 {
		p := payer.place(t)
		funded := make(chan time.Time, 1)
		p.wallet.On(nil, func(method string) error {
			if method == "testmempoolaccept" {
				funded <- time.Now()
			}
			return nil
		})
		cmd := exec.Command(createanchor.Name, p.args()...)
		require.NoError(t, cmd.Start())
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		var start time.Time
		select {
		case start = <-funded:
		case err := <-ended:
			t.Fatal("it ended early: ", err)
		}
		if i > 0 {
			// This is the moment of the crash, not a way to wait for something.
			time.Sleep(time.Duration(rng.Int63n(int64(took))))
			_ = cmd.Process.Kill()
		}
		if <-ended == nil {
			took = min(took, time.Since(start))
		}
		p.wallet.On(nil, nil)
		stages[fmt.Sprintf("sent %d, %d record(s), files %v", len(p.node.Mempool()), len(p.anchors(t)), clitest.Names(t, p.dir))]++
		p.run(t, exit.OK, p.args()...)
		p.complete(t, p.node.Mempool())
		p.mined()
	}
	for stage, times := range stages {
		t.Logf("%s: %d times", stage, times)
	}
}

// TestBroadcastLeftAtEveryStep reproduces what a crash leaves between any two steps that
// change something.
func TestBroadcastLeftAtEveryStep(t *testing.T) {
	clitest.SkipUnderRace(t)
	t.Parallel()
	payer := newPayer(t, "")
	for step, leave := range map[string]func(p *place, pending string, text []byte){
		"pending file written": func(p *place, _ string, _ []byte) {
			p.update(t, func(u *reorgdb.Update, a reorgdb.Anchor) { u.DeleteAnchor(a.Hash) })
		},
		"record written": func(*place, string, []byte) {},
		"record written, and marked as orphaned by a node since": func(p *place, _ string, _ []byte) {
			p.update(t, func(u *reorgdb.Update, a reorgdb.Anchor) {
				a.Status, a.BroadcastTime = reorgdb.FailedOrphaned, 1
				require.NoError(t, u.Anchor(a))
			})
		},
		"half of the snapshot appended": func(p *place, pending string, text []byte) {
			p.run(t, exit.OK, p.args()...)
			path := filepath.Join(p.dir, "l2_snapshots.dat")
			require.NoError(t, os.Truncate(path, clitest.FileSize(t, path)-100))
			require.NoError(t, os.WriteFile(pending, text, 0o600))
		},
		"snapshot appended": func(p *place, pending string, text []byte) {
			p.run(t, exit.OK, p.args()...)
			require.NoError(t, os.WriteFile(pending, text, 0o600))
		},
	} {
		p := payer.place(t)
		p.cutSend(false)
		p.run(t, exit.Failed, p.args()...)
		p.wallet.On(nil, nil)
		pending := filepath.Join(p.dir, ".reorg_db.anchor-pending")
		text, err := os.ReadFile(pending)
		require.NoError(t, err)
		leave(p, pending, text)
		p.run(t, exit.OK, p.args()...)
		data, err := os.ReadFile(filepath.Join(p.dir, "l2_snapshots.dat"))
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(string(data), p.anchors(t)[0].Hash+"\"\nEND_SNAPSHOT"), step)
		if !strings.HasPrefix(step, "half") {
			p.complete(t, p.node.Mempool())
		}
		require.Len(t, p.mined(), 1, step)
	}
}

// TestBroadcastPendingFileDamaged: nothing is paid while it is unknown what an earlier run has
// begun.
func TestBroadcastPendingFileDamaged(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	p := payer.place(t)
	p.cutSend(false)
	p.run(t, exit.Failed, p.args()...)
	p.wallet.On(nil, nil)
	pending := filepath.Join(p.dir, ".reorg_db.anchor-pending")
	text, err := os.ReadFile(pending)
	require.NoError(t, err)
	for _, damaged := range []string{"", "{}", string(text[:50]), strings.Replace(string(text), `btc_height=1`, `btc_height=2`, 1), strings.Replace(string(text), `"raw_transaction":"0`, `"raw_transaction":"`, 1)} {
		require.NoError(t, os.WriteFile(pending, []byte(damaged), 0o600))
		_, stderr := p.run(t, exit.Failed, p.args()...)
		require.Contains(t, stderr, ".reorg_db.anchor-pending")
		require.Contains(t, stderr, "ailee_reorg_show --db-path "+filepath.Join(p.dir, "reorg_db")+" anchors --status pending\n")
	}
	require.Empty(t, p.node.Mempool())
	require.NoError(t, os.WriteFile(pending, text, 0o600))
	_, stderr := p.run(t, exit.Failed, p.with("--yes", "--bump", p.anchors(t)[0].Hash)...)
	require.Contains(t, stderr, "is not finished")
	p.run(t, exit.OK, p.args()...)
	p.complete(t, p.node.Mempool())
}

func (p *place) cutSend(after bool) {
	cut := func(method string) error {
		if method == "sendrawtransaction" {
			return bitcointest.ErrCut
		}
		return nil
	}
	if after {
		p.wallet.On(nil, cut)
	} else {
		p.wallet.On(cut, nil)
	}
}

// TestBroadcastOutcomeUnknown: if the answer to the send is lost, the record stays, and the
// next run finds out what happened.
func TestBroadcastOutcomeUnknown(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	for _, arrived := range []bool{true, false} {
		p := payer.place(t)
		p.cutSend(arrived)
		_, stderr := p.run(t, exit.Failed, p.args()...)
		require.Contains(t, stderr, "is unknown")
		require.Contains(t, stderr, "hint: run the same command again")
		records := p.anchors(t)
		require.Len(t, records, 1)
		require.Equal(t, reorgdb.Pending, records[0].Status)
		require.Equal(t, []uint64{1}, clitest.Times(t, filepath.Join(p.dir, "l2_snapshots.dat")))
		if !arrived {
			require.Empty(t, p.node.Mempool())
			// The node is still unreachable.
			p.run(t, exit.Failed, p.args()...)
			require.Equal(t, records, p.anchors(t))
		}
		p.wallet.On(nil, nil)
		// The anchor is the one of the first run, even if the chain has grown.
		p.run(t, exit.OK, p.args("--dry-run")...)
		p.run(t, exit.OK, p.args()...)
		require.Equal(t, records[0].BitcoinTxID, p.complete(t, p.node.Mempool()))
		p.mined()
	}
}

// TestBroadcastOfAnotherState: a run for another state first finishes what an earlier run
// left.
func TestBroadcastOfAnotherState(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	p := payer.place(t)
	p.cutSend(true)
	p.run(t, exit.Failed, p.args()...)
	p.wallet.On(nil, nil)
	first := p.anchors(t)
	require.Len(t, first, 1)
	p.mined()
	p.state = clitest.StateFile(t, 3_000_000, 7)
	_, stderr := p.run(t, exit.OK, p.args()...)
	require.Contains(t, stderr, first[0].Hash)
	require.Len(t, p.anchors(t), 2)
	require.Len(t, p.node.Mempool(), 1)
	require.Equal(t, []uint64{1, 3_000_000}, clitest.Times(t, filepath.Join(p.dir, "l2_snapshots.dat")))
}

// TestBroadcastSpentElsewhere: a transaction that never arrived is given up once it can no
// longer be mined, and not before.
func TestBroadcastSpentElsewhere(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	p, other := payer.place(t), payer.place(t)
	p.cutSend(false)
	p.run(t, exit.Failed, p.args()...)
	p.wallet.On(nil, nil)
	other.run(t, exit.OK, other.args()...) // spends the same coin
	_, stderr := p.run(t, exit.Failed, p.args("--fee-rate", "20")...)
	require.Contains(t, stderr, "it may still be mined")
	require.Len(t, p.anchors(t), 1)
	p.mined()
	_, stderr = p.run(t, exit.Failed, p.args()...)
	require.Contains(t, stderr, "can never be mined")
	p.unchanged(t)
	p.run(t, exit.OK, p.args()...)
	p.complete(t, p.node.Mempool())
}

// TestBroadcastDead: an anchor whose transaction can never be mined is not mistaken for one
// that is on its way, and the state can be anchored again.
func TestBroadcastDead(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	p := payer.place(t)
	p.run(t, exit.OK, p.args()...)
	record := p.anchors(t)[0]
	foreign := p.wallet.DoubleSpend(record.BitcoinTxID)
	_, stderr := p.run(t, exit.OK, p.args()...)
	require.Contains(t, stderr, "neither in the mempool nor in the chain: bring the record up to date with ailee_resync_blocks --anchors")
	require.Contains(t, p.mined(), foreign)
	p.wallet.Methods()
	dead := "transaction " + record.BitcoinTxID + " can never be mined: " + foreign + " in the chain spends its inputs"
	for _, args := range [][]string{p.args(), p.with("--yes", "--bump", record.Hash)} {
		stdout, stderr := p.run(t, exit.Failed, args...)
		require.Empty(t, stdout)
		require.Contains(t, stderr, dead)
		require.Contains(t, stderr, "hint: anchor the state again, with another time: --broadcast --timestamp-ms N")
	}
	require.Equal(t, []reorgdb.Anchor{record}, p.anchors(t))
	require.Empty(t, p.node.Mempool())
	stdout, stderr := clitest.RunProcess(t, exit.OK, resyncblocks.Name, "--db-path", filepath.Join(p.dir, "reorg_db"), "--bitcoin-rpc", p.url(), "--anchors")
	require.Contains(t, stderr, "warning: anchor "+record.Hash+", PENDING: transaction "+record.BitcoinTxID+" is neither in the active chain nor in the mempool, and can never be mined: "+foreign+" in the chain spends its inputs")
	require.Contains(t, stderr, "hint: replace an anchor that can never be mined with one of a new time: ailee_create_anchor --broadcast --timestamp-ms N")
	require.Contains(t, stdout, "Anchors: 1 followed, 0 changed")

	p.run(t, exit.OK, p.args("--timestamp-ms", "7")...)
	require.Len(t, p.anchors(t), 2)
	require.Len(t, p.node.Mempool(), 1)
}

// TestBroadcastFailedByTheClock: a node marks an anchor as failed after an hour. If its
// transaction is still in the mempool, it is not paid for again.
func TestBroadcastFailedByTheClock(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	p := payer.place(t)
	p.run(t, exit.OK, p.args()...)
	p.update(t, func(u *reorgdb.Update, a reorgdb.Anchor) {
		a.Status = reorgdb.FailedOrphaned
		require.NoError(t, u.Anchor(a))
	})
	failed := p.anchors(t)[0]
	_, stderr := p.run(t, exit.Failed, p.args()...)
	require.Contains(t, stderr, "the anchor "+failed.Hash+" of the same state is FAILED_ORPHANED, but its transaction "+failed.BitcoinTxID+" is in the mempool or in the chain")
	require.Contains(t, stderr, "hint: bring the record up to date with ailee_resync_blocks --anchors")
	require.Equal(t, []reorgdb.Anchor{failed}, p.anchors(t))
	require.Equal(t, []string{failed.BitcoinTxID}, p.node.Waiting())
	p.wallet.DoubleSpend(failed.BitcoinTxID)
	p.mined()
	p.run(t, exit.OK, p.args()...)
	require.Len(t, p.anchors(t), 2)
	require.Len(t, p.node.Waiting(), 1)
}

// TestBroadcastNotPaidForAgain: an anchor that a node marked as failed, or as invalidated by a
// reorg, is not paid for again while its transaction waits or is in a block, whoever sent it.
func TestBroadcastNotPaidForAgain(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	unknown := bitcointest.OneRecorded(t, "probe-gettransaction-unknown")
	for _, status := range []reorgdb.AnchorStatus{reorgdb.FailedOrphaned, reorgdb.InvalidatedReorg} {
		p := payer.place(t)
		p.run(t, exit.OK, p.args()...)
		p.update(t, func(u *reorgdb.Update, a reorgdb.Anchor) {
			a.Status = status
			require.NoError(t, u.Anchor(a))
		})
		record := p.anchors(t)[0]
		same := func(words string, mempool int) {
			t.Helper()
			_, stderr := p.run(t, exit.Failed, p.args()...)
			require.Contains(t, stderr, "the anchor "+record.Hash+" of the same state is "+status.String()+", but "+words)
			require.Contains(t, stderr, "or give the new anchor another time with --timestamp-ms")
			require.Equal(t, []reorgdb.Anchor{record}, p.anchors(t))
			require.Len(t, p.node.Waiting(), mempool)
		}
		const there = "is in the mempool or in the chain"
		same("its transaction "+record.BitcoinTxID+" "+there, 1)
		p.mined()
		same("its transaction "+record.BitcoinTxID+" "+there, 0)
		// Another wallet sent it.
		p.wallet.Replace("gettransaction", &unknown)
		same("its transaction "+record.BitcoinTxID+" "+there, 0)
		p.wallet.On(func(method string) error {
			if method == "getblock" {
				return btcjson.NewRPCError(-1, "Block not available (pruned data)")
			}
			return nil
		}, nil)
		same("the state of its transaction "+record.BitcoinTxID+" could not be determined: the node does not return the block at height ", 0)
		p.wallet.On(nil, nil)
		// The transaction is nowhere.
		p.update(t, func(u *reorgdb.Update, a reorgdb.Anchor) {
			a.BitcoinTxID = strings.Repeat("cd", 32)
			u.DeleteAnchor(a.Hash)
			a.Hash = strings.Repeat("ab", 32)
			require.NoError(t, u.Anchor(a))
		})
		p.run(t, exit.OK, p.args()...)
		p.wallet.Replace("gettransaction", nil)
		require.Len(t, p.anchors(t), 2)
		require.Len(t, p.mined(), 1)
	}
}

// TestBroadcastReplacedByHand: the operator has replaced the transaction of an interrupted run.
// The anchor is recorded with the replacement, and is not paid for again.
func TestBroadcastReplacedByHand(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	for _, confirmed := range []bool{false, true} {
		for _, mined := range []bool{false, true} {
			p := payer.place(t)
			p.cutSend(true)
			p.run(t, exit.Failed, p.args()...)
			p.wallet.On(nil, nil)
			first := p.anchors(t)[0]
			node, err := bitcoin.Open(bitcoin.Options{URL: p.url()}, t.Logf)
			require.NoError(t, err)
			var by struct{ TxID string }
			require.NoError(t, node.Send(t.Context(), "bumpfee", []any{first.BitcoinTxID, map[string]any{"fee_rate": 20}}, &by))
			sent := p.node.Mempool()
			if mined {
				require.Contains(t, p.mined(), by.TxID)
			}
			if confirmed { // a resync has followed it, and the wallet no longer knows it
				unknown := bitcointest.OneRecorded(t, "probe-gettransaction-unknown")
				p.wallet.Replace("gettransaction", &unknown)
				p.update(t, func(u *reorgdb.Update, a reorgdb.Anchor) {
					a.BitcoinTxID, a.Status, a.Confirmations = by.TxID, reorgdb.Confirmed, reorgdb.ConfirmedAt
					require.NoError(t, u.Anchor(a))
				})
			}
			stdout, stderr := p.run(t, exit.OK, p.args()...)
			p.wallet.Replace("gettransaction", nil)
			require.Contains(t, stdout, "Transaction: "+by.TxID+", from an earlier run\n")
			if confirmed {
				p.update(t, func(u *reorgdb.Update, a reorgdb.Anchor) {
					a.Status, a.Confirmations = reorgdb.Pending, 0
					require.NoError(t, u.Anchor(a))
				})
			} else {
				require.Contains(t, stderr, "the anchor is in transaction "+by.TxID+" instead of "+first.BitcoinTxID)
			}
			require.Equal(t, by.TxID, p.complete(t, sent))
			p.mined()
		}
	}
}

// TestBroadcastOneOfSeveralWallets: if only one wallet was loaded at first, a run that continues
// can be told which one it was.
func TestBroadcastOneOfSeveralWallets(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	p := payer.place(t)
	p.cutSend(true)
	p.run(t, exit.Failed, p.args()...)
	p.wallet.On(nil, nil)
	args := p.args()
	p.wallet.Rename("hot")
	_, stderr := p.run(t, exit.Failed, args...)
	require.Contains(t, stderr, "name one of them with --wallet NAME")
	p.run(t, exit.OK, append(args, "--wallet", "hot")...)
	p.complete(t, p.node.Mempool())
}

// TestBroadcastWalletWithoutName: if several wallets are loaded, an empty name means the
// unnamed one, also for a run that continues.
func TestBroadcastWalletWithoutName(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	payer.wallet.Several = true
	p := payer.place(t)
	_, stderr := p.run(t, exit.Failed, p.args()...)
	require.Contains(t, stderr, "name one of them with --wallet NAME")
	p.unchanged(t)
	p.cutSend(false)
	p.run(t, exit.Failed, p.args("--wallet", "")...)
	p.wallet.On(nil, nil)
	p.run(t, exit.OK, p.args("--wallet=")...)
	first := p.complete(t, p.node.Mempool())
	p.run(t, exit.OK, p.with("--yes", "--bump", p.anchors(t)[0].Hash, "--wallet", "")...)
	second := p.anchors(t)[0].BitcoinTxID
	require.NotEqual(t, first, second)
	require.Equal(t, []string{second}, p.node.Waiting())
}

// TestBroadcastRefusedInVain: the node has the transaction although the answer was a refusal.
// If it is not certain that the refusal came from the node, or the node cannot be asked, nothing
// is removed.
func TestBroadcastRefusedInVain(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	send := func(err error) func(string) error {
		return func(method string) error {
			if method == "sendrawtransaction" {
				return err
			}
			return nil
		}
	}
	p := payer.place(t)
	p.wallet.On(nil, send(btcjson.NewRPCError(-26, "txn-mempool-conflict")))
	_, stderr := p.run(t, exit.OK, p.args()...)
	require.Contains(t, stderr, "even though it was refused: ")
	p.wallet.On(nil, nil)
	p.complete(t, p.node.Mempool())
	p.mined()

	for _, sent := range []bool{false, true} {
		for code, words := range map[btcjson.RPCErrorCode]string{-32000: "upstream timed out", -32603: "Internal error", 0: "timeout", -26: "min relay fee not met"} {
			p := payer.place(t)
			refuse := send(btcjson.NewRPCError(code, words))
			if sent {
				p.wallet.On(nil, refuse)
			} else {
				p.wallet.On(refuse, nil)
			}
			if code == -26 {
				gone := bitcointest.OneRecorded(t, "d3-fundrawtransaction-error-18-requested-wallet-does-not-exist-or")
				p.wallet.Replace("gettransaction", &gone)
			}
			_, stderr := p.run(t, exit.Failed, p.args()...)
			require.Contains(t, stderr, words)
			require.Contains(t, stderr, "; the anchor stays PENDING")
			require.Len(t, p.anchors(t), 1)
			require.Equal(t, sent, len(p.node.Waiting()) == 1)
			p.wallet.On(nil, nil)
			p.wallet.Replace("gettransaction", nil)
			p.run(t, exit.OK, p.args()...)
			p.complete(t, p.node.Mempool())
			p.mined()
		}
	}
}

// TestBumpRefused: what the record names must be a transaction of the wallet.
func TestBumpRefused(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	p := payer.place(t)
	p.run(t, exit.OK, p.args()...)
	for txid, words := range map[string]string{
		strings.Repeat("cd", 32): "the wallet does not know the transaction " + strings.Repeat("cd", 32) + "\nailee_create_anchor: hint: name the wallet that sent it: --wallet NAME\n",
		"TX":                     "names no transaction: \"TX\"\nailee_create_anchor: hint: anchor the state again, with another time: --broadcast --timestamp-ms N\n",
	} {
		p.update(t, func(u *reorgdb.Update, a reorgdb.Anchor) {
			a.BitcoinTxID = txid
			require.NoError(t, u.Anchor(a))
		})
		record := p.anchors(t)
		p.wallet.Methods()
		_, stderr := p.run(t, exit.Failed, p.with("--yes", "--bump", record[0].Hash)...)
		require.Contains(t, stderr, words)
		require.NotContains(t, p.wallet.Methods(), "bumpfee")
		require.Equal(t, record, p.anchors(t))
	}
}

// TestBumpNotMarked: what the wallet says about its replacement is reported, and the new
// transaction is found even if the old one was not marked.
func TestBumpNotMarked(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	payer.wallet.NotMarked = "Created new bumpfee transaction but could not mark the original transaction as replaced"
	p := payer.place(t)
	p.run(t, exit.OK, p.args()...)
	first := p.anchors(t)[0]
	bump := p.with("--yes", "--bump", first.Hash)
	p.wallet.On(nil, func(method string) error {
		if method == "bumpfee" {
			return bitcointest.ErrCut
		}
		return nil
	})
	p.run(t, exit.Failed, bump...)
	p.wallet.On(nil, nil)
	p.wallet.Methods()
	p.run(t, exit.OK, bump...)
	require.NotContains(t, p.wallet.Methods(), "bumpfee")
	second := p.anchors(t)[0]
	require.Equal(t, []string{second.BitcoinTxID}, p.node.Waiting())
	_, stderr := p.run(t, exit.OK, bump...)
	third := p.anchors(t)[0]
	require.Contains(t, stderr, "warning: the wallet says about transaction "+third.BitcoinTxID+": "+payer.wallet.NotMarked+"\n")
	require.Equal(t, []string{third.BitcoinTxID}, p.node.Waiting())
	require.EqualValues(t, 2, third.RetryCount)
}

// TestOriginalMined: the original is mined after a bump that succeeded. The anchor is in the
// chain, and is neither paid for again nor marked as failed.
func TestOriginalMined(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "hot") // there is no wallet at path /
	p := payer.place(t)
	p.run(t, exit.OK, p.args()...)
	first := p.anchors(t)[0]
	p.wallet.KeepUnsent(true) // other nodes still have the original
	refused := bitcointest.OneRecorded(t, "probe-sendrawtransaction-min-relay-fee")
	p.wallet.Replace("sendrawtransaction", &refused)
	p.run(t, exit.Failed, p.with("--yes", "--bump", first.Hash)...)
	p.wallet.Replace("sendrawtransaction", nil)
	p.wallet.KeepUnsent(false)
	bumped := p.wallet.ReplacedBy(first.BitcoinTxID)
	long := uint64(time.Now().Add(-2 * time.Hour).UnixMilli()) // long enough to be marked as failed
	p.update(t, func(u *reorgdb.Update, a reorgdb.Anchor) {
		a.BitcoinTxID, a.BroadcastTime = bumped, long
		require.NoError(t, u.Anchor(a))
	})
	require.Contains(t, p.mined(), first.BitcoinTxID)

	_, stderr := p.run(t, exit.OK, p.args()...)
	require.Contains(t, stderr, "the anchor is in transaction "+first.BitcoinTxID+" instead of "+bumped)
	require.Empty(t, p.node.Mempool())
	follow := func() string {
		stdout, stderr := clitest.RunProcess(t, exit.OK, resyncblocks.Name, "--quiet", "--db-path", filepath.Join(p.dir, "reorg_db"), "--bitcoin-rpc", p.url(), "--anchors", "--json", "--wallet", "hot")
		require.Empty(t, stderr)
		return stdout
	}
	require.Contains(t, follow(), `"found_txid": "`+first.BitcoinTxID+`"`)
	record := p.anchors(t)[0]
	require.Equal(t, first.BitcoinTxID, record.BitcoinTxID)
	require.Equal(t, reorgdb.Pending, record.Status)
	require.EqualValues(t, 111, record.BitcoinHeight)
	require.EqualValues(t, 1, record.Confirmations)
	require.NotContains(t, follow(), "found_txid")
}

// TestBroadcastAsReorgVerifySays: an anchor that was made without --broadcast has no record.
// After doing what ailee_reorg_verify says about it, there is nothing left to report.
func TestBroadcastAsReorgVerifySays(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	p := payer.place(t)
	p.run(t, exit.OK, "--data-dir", p.dir, "--l2-state-file", p.state)
	path := filepath.Join(p.dir, "reorg_db")
	verify := []string{"--db-path", path, "--snapshot", filepath.Join(p.dir, "l2_snapshots.dat")}
	_, stderr := clitest.RunProcess(t, exit.Wrong, reorgverify.Name, verify...)
	require.Contains(t, stderr, "error: the latest snapshot's anchor has no record: ")
	_, command, found := strings.Cut(stderr, ": "+createanchor.Name+" ")
	require.True(t, found, stderr)
	p.run(t, exit.OK, append(strings.Fields(command), "--bitcoin-rpc", p.url(), "--yes", "--fee-rate", "10")...)
	clitest.RunProcess(t, exit.OK, reorgverify.Name, verify...)
	require.Len(t, p.node.Waiting(), 1)
}

// TestBroadcastOnAnotherChain: with block hashes of another chain, nothing is paid, and no
// record is marked as failed.
func TestBroadcastOnAnotherChain(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	p := payer.place(t)
	path := filepath.Join(p.dir, "reorg_db")
	record := reorgdb.Anchor{Hash: strings.Repeat("ab", 32), BitcoinTxID: strings.Repeat("cd", 32), BroadcastTime: 1, Status: reorgdb.Pending, L2StateRoot: strings.Repeat("ef", 32)}
	store := func(blocks ...reorgdb.Block) {
		t.Helper()
		require.NoError(t, os.RemoveAll(path))
		db, err := reorgdb.Create(path)
		require.NoError(t, err)
		require.NoError(t, db.Update(func(u *reorgdb.Update) error {
			for _, b := range blocks {
				u.SetBlock(b)
			}
			return u.Anchor(record)
		}))
		require.NoError(t, db.Close())
	}
	other := bitcointest.NewChain(900_000)
	row := func(from, to uint64) (blocks []reorgdb.Block) {
		for height := from; height <= to; height++ {
			blocks = append(blocks, reorgdb.Block{Height: height, Hash: other.Hash(int64(height))})
		}
		return blocks
	}
	genesis := reorgdb.Block{Hash: p.node.Hash(0)}
	for name, c := range map[string]struct {
		blocks []reorgdb.Block
		code   int
		words  string
	}{
		"below the tip":             {row(50, 110), exit.Wrong, "none of the stored hashes that were compared is in the chain regtest"},
		"one":                       {row(109, 109), exit.Wrong, "none of the stored hashes"},
		"above the tip":             {row(840_000, 840_010), exit.Failed, "all stored block hashes are above the tip of the Bitcoin node's chain regtest, at height 110"},
		"below and above":           {row(100, 120), exit.Wrong, "none of the stored hashes"},
		"with the same first block": {append(row(1, 20), genesis), exit.Wrong, "none of the stored hashes"},
	} {
		store(c.blocks...)
		for _, args := range [][]string{p.args(), p.args("--dry-run"), p.with("--yes", "--bump", record.Hash)} {
			_, stderr := p.run(t, c.code, args...)
			require.Contains(t, stderr, c.words, name)
			require.Contains(t, stderr, "hint: check that ", name)
		}
		for _, args := range [][]string{{"--anchors"}, {"--anchors", "--start-height", "0"}, {"--anchors", "--start-height", "0", "--dry-run"}} {
			clitest.RunProcess(t, c.code, resyncblocks.Name, append(args, "--db-path", path, "--bitcoin-rpc", p.url())...)
		}
		require.Equal(t, []reorgdb.Anchor{record}, p.anchors(t))
	}
	asked := p.wallet.Methods()
	for _, method := range []string{"fundrawtransaction", "bumpfee", "sendrawtransaction", "gettransaction"} {
		require.NotContains(t, asked, method)
	}

	// The latest block was replaced; then, all blocks are stored at counts.
	replaced := p.node.Hash(110)
	p.node.InvalidateBlock(replaced)
	p.node.Generate(1)
	for name, blocks := range map[string][]reorgdb.Block{
		"a reorg": {{Height: 109, Hash: p.node.Hash(109)}, {Height: 110, Hash: replaced}},
		"counts":  {{Height: 1, Hash: p.node.Hash(101)}, {Height: 2, Hash: p.node.Hash(102)}},
	} {
		store(blocks...)
		stdout, _ := p.run(t, exit.OK, p.args("--dry-run")...)
		require.Contains(t, stdout, "not sent", name)
	}
}

// TestBroadcastAppendFails: the next run does what is left to do after the send.
func TestBroadcastAppendFails(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	p := payer.place(t)
	path := filepath.Join(p.dir, "l2_snapshots.dat")
	aside := path + ".aside"
	p.wallet.On(nil, func(method string) error {
		if method == "sendrawtransaction" {
			require.NoError(t, os.Rename(path, aside))
			require.NoError(t, os.Mkdir(path, 0o700))
		}
		return nil
	})
	_, stderr := p.run(t, exit.Failed, p.args()...)
	require.Contains(t, stderr, "without paying again")
	p.wallet.On(nil, nil)
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Rename(aside, path))
	p.run(t, exit.OK, p.args()...)
	p.complete(t, p.node.Mempool())
}

// TestBroadcastToFile writes the snapshot to a separate file.
func TestBroadcastToFile(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	p := payer.place(t)
	out := filepath.Join(t.TempDir(), "anchored.dat")
	p.cutSend(true)
	p.run(t, exit.Failed, p.args("--output", out)...)
	require.NoFileExists(t, out)
	p.wallet.On(nil, nil)
	for range 2 {
		p.run(t, exit.OK, p.args("--output", out)...)
		require.Equal(t, []uint64{placeState}, clitest.Times(t, out))
		require.Len(t, p.node.Mempool(), 1)
	}
	require.Equal(t, []uint64{1}, clitest.Times(t, filepath.Join(p.dir, "l2_snapshots.dat")))
}

// TestBump replaces a stuck transaction, once each time it is asked to.
func TestBump(t *testing.T) {
	t.Parallel()
	for _, noPSBT := range []bool{false, true} {
		t.Run(fmt.Sprintf("without psbtbumpfee %v", noPSBT), func(t *testing.T) {
			t.Parallel()
			payer := newPayer(t, "")
			payer.wallet.NoPSBT = noPSBT
			p := payer.place(t)
			p.run(t, exit.OK, p.args()...)
			first := p.anchors(t)[0]
			hash := first.Hash
			same := func() {
				t.Helper()
				require.Equal(t, []reorgdb.Anchor{first}, p.anchors(t))
				require.Contains(t, p.node.Mempool(), first.BitcoinTxID)
			}
			bump := func(more ...string) []string { return p.with(append([]string{"--yes", "--bump", hash}, more...)...) }

			_, stderr := p.run(t, exit.Failed, bump("--max-fee", "2000")...)
			require.Contains(t, stderr, "--max-fee")
			same()
			_, stderr = p.run(t, exit.Failed, bump("--fee-rate", "10.5")...)
			require.Contains(t, stderr, "Insufficient total fee")
			same()
			_, stderr = p.run(t, exit.Failed, p.with("--bump", hash)...)
			require.Contains(t, stderr, "--yes")
			stdout, _ := p.run(t, exit.OK, bump("--dry-run")...)
			require.Contains(t, stdout, "Would record")
			same()
			_, stderr = p.run(t, exit.Failed, p.with("--yes", "--bump", strings.Repeat("ab", 32))...)
			require.Contains(t, stderr, "has no anchor")
			require.Contains(t, stderr, "hint: list the anchors: ailee_reorg_show --db-path "+filepath.Join(p.dir, "reorg_db")+" anchors\n")

			bumped := func(retries uint32) {
				t.Helper()
				r := p.anchors(t)[0]
				require.Len(t, p.node.Mempool(), 1)
				require.Contains(t, p.node.Mempool(), r.BitcoinTxID)
				require.NotEqual(t, first.BitcoinTxID, r.BitcoinTxID)
				require.GreaterOrEqual(t, r.BroadcastTime, first.BroadcastTime)
				want := first
				want.BitcoinTxID, want.RetryCount, want.BroadcastTime = r.BitcoinTxID, retries, r.BroadcastTime
				require.Equal(t, want, r)
				first = r
			}
			p.run(t, exit.OK, bump()...)
			bumped(1)
			stdout, _ = p.run(t, exit.OK, bump("--fee-rate", "40", "--json")...)
			require.Contains(t, stdout, `"retry_count": 2`)
			bumped(2)

			// The call is lost, then the answer.
			cut := func(method string) error {
				if method == "bumpfee" {
					return bitcointest.ErrCut
				}
				return nil
			}
			p.wallet.On(cut, nil)
			_, stderr = p.run(t, exit.Failed, bump()...)
			require.Contains(t, stderr, "is unknown")
			same()
			p.wallet.On(nil, cut)
			_, stderr = p.run(t, exit.Failed, bump()...)
			require.Contains(t, stderr, "is unknown")
			require.Equal(t, []reorgdb.Anchor{first}, p.anchors(t))
			p.wallet.On(nil, nil)
			p.wallet.Methods()
			_, stderr = p.run(t, exit.OK, bump()...)
			require.Contains(t, stderr, "was already replaced")
			bumped(3)
			require.NotContains(t, p.wallet.Methods(), "bumpfee")

			// Killed before and after bumpfee.
			for i, after := range []bool{false, true} {
				var k killer
				if after {
					p.wallet.On(nil, k.at("bumpfee"))
				} else {
					p.wallet.On(k.at("bumpfee"), nil)
				}
				k.start(t, bump()...)
				_ = k.cmd.Wait()
				p.wallet.On(nil, nil)
				p.run(t, exit.OK, bump()...)
				bumped(4 + uint32(i))
			}

			require.Contains(t, p.mined(), first.BitcoinTxID)
			_, stderr = p.run(t, exit.Failed, bump()...)
			require.Contains(t, stderr, "is in the chain")
			require.Equal(t, []reorgdb.Anchor{first}, p.anchors(t))
			p.update(t, func(u *reorgdb.Update, a reorgdb.Anchor) {
				a.Confirmations, a.Status = reorgdb.ConfirmedAt, reorgdb.Confirmed
				require.NoError(t, u.Anchor(a))
			})
			p.wallet.Methods()
			_, stderr = p.run(t, exit.Failed, bump()...)
			require.Contains(t, stderr, "is already confirmed")
			require.Empty(t, p.wallet.Methods())
		})
	}
}

// TestBumpNotSent: a wallet answers bumpfee the same way if nothing was sent. The record names
// the new transaction only once the node has it, and there is never a third one.
func TestBumpNotSent(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	bump := func(p *place, hash string, more ...string) []string {
		return p.with(append([]string{"--yes", "--bump", hash}, more...)...)
	}
	count := func(p *place, methods ...string) {
		t.Helper()
		counted := map[string]int{}
		for _, method := range p.wallet.Methods() {
			counted[method]++
		}
		for _, method := range []string{"bumpfee", "sendrawtransaction"} {
			want := 0
			for _, m := range methods {
				if m == method {
					want++
				}
			}
			require.Equal(t, want, counted[method], method)
		}
	}
	begin := func() (*place, reorgdb.Anchor) {
		payer.wallet.KeepUnsent(false)
		p := payer.place(t)
		p.run(t, exit.OK, p.args()...)
		p.wallet.Methods()
		p.wallet.KeepUnsent(true)
		return p, p.anchors(t)[0]
	}
	ended := func(p *place, first reorgdb.Anchor) {
		t.Helper()
		record := p.anchors(t)[0]
		require.NotEqual(t, first.BitcoinTxID, record.BitcoinTxID)
		require.EqualValues(t, 1, record.RetryCount)
		sent := p.mined()
		require.Len(t, sent, 1)
		require.Contains(t, sent, record.BitcoinTxID)
	}
	t.Run("the node takes it", func(t *testing.T) {
		p, first := begin()
		stdout, _ := p.run(t, exit.OK, bump(p, first.Hash)...)
		require.Contains(t, stdout, "Fee: ")
		count(p, "bumpfee", "sendrawtransaction")
		ended(p, first)
	})
	t.Run("the node refuses it", func(t *testing.T) {
		p, first := begin()
		refused := bitcointest.OneRecorded(t, "probe-sendrawtransaction-min-relay-fee")
		p.wallet.Replace("sendrawtransaction", &refused)
		for i, methods := range [][]string{{"bumpfee", "sendrawtransaction"}, {"sendrawtransaction"}} {
			_, stderr := p.run(t, exit.Failed, bump(p, first.Hash)...)
			require.Contains(t, stderr, "sendrawtransaction: -26: min relay fee not met, 1 < 16")
			require.Contains(t, stderr, "hint: the old transaction may still be mined")
			require.Equal(t, i > 0, strings.Contains(stderr, "but has not sent it"))
			require.Equal(t, []reorgdb.Anchor{first}, p.anchors(t))
			require.Equal(t, []string{first.BitcoinTxID}, p.node.Waiting())
			count(p, methods...)
		}
		p.wallet.Replace("sendrawtransaction", nil)
		_, stderr := p.run(t, exit.Failed, bump(p, first.Hash, "--max-fee", "1")...)
		require.Contains(t, stderr, "above the 1 sat of --max-fee")
		_, stderr = p.run(t, exit.Failed, p.with("--bump", first.Hash)...)
		require.Contains(t, stderr, "--yes")
		stdout, _ := p.run(t, exit.OK, bump(p, first.Hash, "--dry-run")...)
		require.Contains(t, stdout, "Would record")
		count(p)
		require.Equal(t, []reorgdb.Anchor{first}, p.anchors(t))
		p.run(t, exit.OK, bump(p, first.Hash)...)
		count(p, "sendrawtransaction")
		ended(p, first)
	})
	t.Run("the answer is lost", func(t *testing.T) {
		for _, arrived := range []bool{false, true} {
			p, first := begin()
			p.cutSend(arrived)
			_, stderr := p.run(t, exit.Failed, bump(p, first.Hash)...)
			require.Contains(t, stderr, "is unknown")
			require.Equal(t, []reorgdb.Anchor{first}, p.anchors(t))
			p.wallet.On(nil, nil)
			count(p, "bumpfee", "sendrawtransaction")
			p.run(t, exit.OK, bump(p, first.Hash)...)
			if arrived {
				count(p)
			} else {
				count(p, "sendrawtransaction")
			}
			ended(p, first)
		}
	})
	t.Run("the old one is mined", func(t *testing.T) {
		p, first := begin()
		refused := bitcointest.OneRecorded(t, "probe-sendrawtransaction-min-relay-fee")
		p.wallet.Replace("sendrawtransaction", &refused)
		p.run(t, exit.Failed, bump(p, first.Hash)...)
		p.wallet.Replace("sendrawtransaction", nil)
		require.Contains(t, p.mined(), first.BitcoinTxID)
		_, stderr := p.run(t, exit.Failed, bump(p, first.Hash)...)
		require.Contains(t, stderr, "is in the chain")
		require.Equal(t, []reorgdb.Anchor{first}, p.anchors(t))
	})
	t.Run("it carries something else", func(t *testing.T) {
		p, first := begin()
		p.wallet.Spoil(func(method string, tx *wire.MsgTx) {
			if method == "bumpfee" {
				tx.TxOut = tx.TxOut[1:]
			}
		})
		_, stderr := p.run(t, exit.Failed, bump(p, first.Hash)...)
		p.wallet.Spoil(nil)
		require.Contains(t, stderr, "does not carry the anchor")
		require.Equal(t, []reorgdb.Anchor{first}, p.anchors(t))
		count(p, "bumpfee")
	})
}

// TestBumpRecorded plays what a real Bitcoin Core said with -walletbroadcast=0: before the
// bump, after it, and when the old transaction was mined in spite of it.
func TestBumpRecorded(t *testing.T) {
	const seq = "seq-walletbroadcast0-bump-"
	stages := [][]string{
		{seq + "1-getrawtransaction-old", seq + "2-gettransaction-old", seq + "3-psbtbumpfee", seq + "4-bumpfee"},
		{seq + "5-getrawtransaction-new", seq + "6-gettransaction-new", seq + "7-gettransaction-old", seq + "8-getrawtransaction-old"},
		{seq + "9-gettransaction-new-after-old-is-mined", seq + "10-gettransaction-old-is-mined"},
	}
	var bumped, mined struct {
		TxID, BlockHash string
		BlockHeight     int64
	}
	bitcointest.OneRecorded(t, seq+"4-bumpfee").Result(t, &bumped)
	bitcointest.OneRecorded(t, seq+"10-gettransaction-old-is-mined").Result(t, &mined)
	old, hash := mined.TxID, strings.Repeat("05", 32)
	first := reorgdb.Anchor{Hash: hash, BitcoinTxID: old, BroadcastTime: 1, Status: reorgdb.Pending, L2StateRoot: strings.Repeat("ab", 32)}
	for name, accepts := range map[string]bool{"the node accepts it": true, "the node refuses it": false} {
		t.Run(name, func(t *testing.T) {
			chain := bitcointest.NewChain(mined.BlockHeight)
			chain.Methods = map[string]func([]json.RawMessage) (any, error){
				"sendrawtransaction": func([]json.RawMessage) (any, error) {
					if accepts {
						return bumped.TxID, nil
					}
					return nil, btcjson.NewRPCError(-26, "datacarrier")
				},
				"getblockheader": func(params []json.RawMessage) (any, error) {
					if string(params[0]) == `"`+mined.BlockHash+`"` {
						return map[string]any{"hash": mined.BlockHash, "height": mined.BlockHeight, "previousblockhash": chain.Hash(mined.BlockHeight - 1), "time": 1, "confirmations": 1}, nil
					}
					return chain.Header(params)
				},
			}
			node := bitcointest.NewReplay(t, chain, stages...)
			path := filepath.Join(t.TempDir(), "reorg_db")
			db, err := reorgdb.Create(path)
			require.NoError(t, err)
			require.NoError(t, db.Update(func(u *reorgdb.Update) error { return u.Anchor(first) }))
			require.NoError(t, db.Close())
			common := []string{"--db-path", path, "--bitcoin-rpc", node.URL, "--rpc-wait", "0s", "--wallet", "anchors"}
			bump := append([]string{"--fee-rate", "20", "--yes", "--bump", hash}, common...)
			record := func() reorgdb.Anchor {
				db, err := reorgdb.OpenReadOnly(path)
				require.NoError(t, err)
				defer db.Close()
				r, ok, err := db.Anchor(hash)
				require.NoError(t, err)
				require.True(t, ok)
				return r
			}
			want := first
			if accepts {
				stdout, _ := clitest.RunProcess(t, exit.OK, createanchor.Name, bump...)
				require.Contains(t, stdout, "Transaction: "+bumped.TxID+"\nFee: 2960 sat\n")
				want.BitcoinTxID, want.RetryCount, want.BroadcastTime = bumped.TxID, 1, record().BroadcastTime
			} else {
				_, stderr := clitest.RunProcess(t, exit.Failed, createanchor.Name, bump...)
				require.Contains(t, stderr, "the wallet made transaction "+bumped.TxID+" to replace "+old+", but the node does not accept it")
				require.Contains(t, stderr, "-26: datacarrier")
			}
			require.Equal(t, want, record())

			// Whatever the record names, the anchor is where the old transaction is mined.
			node.Next()
			stdout, stderr := clitest.RunProcess(t, exit.OK, resyncblocks.Name, append([]string{"--anchors", "--start-height", "9200"}, common...)...)
			require.Empty(t, stderr)
			where := old
			if accepts {
				where += ", in place of " + bumped.TxID + ","
			}
			require.Contains(t, stdout, "Anchor "+hash+": PENDING at height 9212 with 1 confirmation(s), was PENDING: transaction "+where+" is in the block at height 9212, 1 confirmation(s)\n")
			want.BitcoinTxID, want.BitcoinHeight, want.Confirmations = old, 9212, 1
			require.Equal(t, want, record())
			_, stderr = clitest.RunProcess(t, exit.Failed, createanchor.Name, bump...)
			require.Contains(t, stderr, "the transaction "+old+" is in the chain, with 1 confirmation(s)")
			require.Equal(t, want, record())
			sent := map[string]int{}
			for _, call := range node.Asked() {
				sent[call.Method]++
			}
			require.Equal(t, []int{1, 1}, []int{sent["bumpfee"], sent["sendrawtransaction"]})
		})
	}
}

// TestBroadcastAsks plays an operator on a terminal.
func TestBroadcastAsks(t *testing.T) {
	t.Parallel()
	payer := newPayer(t, "")
	p := payer.place(t)
	args := p.with("--broadcast", "--fee-rate", "10", "--l2-state-file", p.state)
	for _, answer := range []string{"n\n", "\n", "y\n"} {
		terminal, tty := clitest.OpenTerminal(t)
		cmd := exec.Command(createanchor.Name, args...)
		var out bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, &out, tty
		require.NoError(t, cmd.Start())
		require.NoError(t, tty.Close())
		shown := clitest.ReadUntil(t, terminal, "[y/N] ")
		require.Regexp(t, regexp.MustCompile(`Transaction: [0-9a-f]{64}\r\nAmount: 0 sat .*change\r\nFee: \d+ sat .*\r\nSend it\? \[y/N\] $`), shown)
		require.Empty(t, p.anchors(t))
		_, err := terminal.WriteString(answer)
		require.NoError(t, err)
		if answer == "y\n" {
			require.NoError(t, cmd.Wait())
			require.Contains(t, shown, p.complete(t, p.node.Mempool()))
			continue
		}
		require.EqualError(t, cmd.Wait(), "exit status 1")
		p.unchanged(t)
	}
}

// TestAnchorNamesTheTip: without a broadcast, naming the tip needs no wallet and no database.
func TestAnchorNamesTheTip(t *testing.T) {
	t.Parallel()
	chain := bitcointest.NewChain(840_000)
	url := chain.Serve(t)
	state := clitest.StateFile(t, 1, 1)
	for given, want := range map[string]string{
		"":        "btc_height=840000,btc_hash=" + chain.Hash(840_000),
		"why=\"a": "why=\"a,btc_height=840000,btc_hash=" + chain.Hash(840_000),
	} {
		stdout, _ := clitest.RunProcess(t, exit.OK, createanchor.Name, "--json", "--dry-run", "--l2-state-file", state, "--recovery-metadata", given, "--bitcoin-rpc", url, "--data-dir", t.TempDir())
		var doc struct {
			Metadata string `json:"metadata"`
		}
		require.NoError(t, json.Unmarshal([]byte(stdout), &doc))
		require.Equal(t, want, doc.Metadata)
	}
}
