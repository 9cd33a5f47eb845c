package test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcointest"
	"ailee-recovery/internal/golden"
	"ailee-recovery/internal/snapshotblock"
	"ailee-recovery/internal/tool"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// appendAnchored appends a valid snapshot to a file and returns its anchor.
func appendAnchored(path string, timestampMs uint64, metadata string) (snapshot.Anchor, error) {
	st := snapshot.State{TimestampMs: timestampMs, Ledger: snapshot.Ledger{Balances: []snapshot.Balance{{PeerID: "peer", Balance: 1}}}}
	root := snapshot.Root(&st)
	payload := snapshot.Payload(root, timestampMs, metadata)
	st.Anchor = &snapshot.Anchor{L2StateRoot: root, TimestampMs: timestampMs, RecoveryMetadata: metadata, Payload: payload, Hash: snapshot.AnchorHash(payload)}
	_, err := snapshot.Append(path, &st, 0o644)
	return *st.Anchor, err
}

// anchored FILE TIME METADATA appends a valid snapshot of that time in Unix
// milliseconds, and sets ANCHOR and ROOT.
func anchored(ts *testscript.TestScript, _ bool, args []string) {
	ms, err := strconv.ParseUint(args[1], 10, 64)
	ts.Check(err)
	anchor, err := appendAnchored(ts.MkAbs(args[0]), ms, args[2])
	ts.Check(err)
	ts.Setenv("ANCHOR", anchor.Hash)
	ts.Setenv("ROOT", anchor.L2StateRoot)
}

// recorded DB HEIGHT STATUS HASH makes a database, where there is none, records the
// snapshot of the last "anchored" with that height and status, and HASH for the
// block.
func recorded(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	height, err := strconv.ParseUint(args[1], 10, 64)
	ts.Check(err)
	status, err := strconv.ParseInt(args[2], 10, 32)
	ts.Check(err)
	open := reorgdb.Open
	if _, err := os.Stat(path); err != nil {
		open = func(path string) (*reorgdb.DB, error) { return reorgdb.Create(path) }
	}
	db, err := open(path)
	ts.Check(err)
	u, err := db.NewUpdate()
	ts.Check(err)
	ts.Check(u.Anchor(reorgdb.Anchor{Hash: ts.Getenv("ANCHOR"), BitcoinTxID: "tx", BitcoinHeight: height,
		Status: reorgdb.AnchorStatus(status), L2StateRoot: ts.Getenv("ROOT")}))
	_, _, err = u.Block(context.Background(), reorgdb.Block{Height: height, Hash: args[3]}, 0)
	ts.Check(err)
	ts.Check(u.Commit())
	u.Close()
	ts.Check(db.Close())
}

// chain TIP [syncing] serves a chain in memory until the script ends and sets CHAIN
// to its URL.
func chain(ts *testscript.TestScript, _ bool, args []string) {
	tip, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	c := bitcointest.NewChain(tip)
	c.Syncing = len(args) > 1
	server := httptest.NewServer(c)
	ts.Defer(server.Close)
	ts.Setenv("CHAIN", server.URL)
}

// TestSnapshotBlockAsksLittle: the search over the whole of Bitcoin's chain takes a
// few dozen requests.
func TestSnapshotBlockAsksLittle(t *testing.T) {
	chain := bitcointest.NewChain(900_000)
	url := chain.Serve(t)
	for _, height := range []uint64{0, 1, 123_456, 899_998, 899_999, 900_000} {
		path := filepath.Join(t.TempDir(), "l2_snapshots.dat")
		// The time of a block is the median time of the one five later.
		_, err := appendAnchored(path, (1231006505+600*height)*1000+999, "")
		require.NoError(t, err)
		before := chain.Requests()
		code, stdout, stderr := run(snapshotblock.Tool(), "--bitcoin-rpc", url, path)
		require.Zero(t, code, stderr)
		require.Empty(t, stderr)
		if height > 10 {
			require.Equal(t, fmt.Sprintf("%d\n", min(height+5, 900_000)), stdout)
		}
		require.LessOrEqual(t, chain.Requests()-before, int64(48))
	}
}

// TestSnapshotBlockOfARealNode compares with a plain scan of btcd's blocks, which
// says no median times.
func TestSnapshotBlockOfARealNode(t *testing.T) {
	t.Parallel()
	node := bitcointest.StartNode(t, false)
	hashes := node.Generate(40)
	password := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(password, []byte(bitcointest.Password), 0o600))
	_ = hashes
	_ = tool.OK
	_ = golden.Dir
}
