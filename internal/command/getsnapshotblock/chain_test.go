package getsnapshotblock_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/getsnapshotblock"
	"ailee-recovery/internal/exit"
)

// firstBlock is the time of the first block of a bitcointest.Chain, whose blocks
// are 600 seconds apart, in Unix seconds.
const firstBlock = 1231006505

// TestSnapshotBlockAsksLittle: searching the whole Bitcoin chain takes a few dozen requests.
func TestSnapshotBlockAsksLittle(t *testing.T) {
	const tip = 900_000
	chain := bitcointest.NewChain(tip)
	url := chain.Serve(t)
	for _, height := range []uint64{5, 11, 12, 123_456, tip - 1, tip} {
		// The time of a block is the median time of the block five above it.
		path := filepath.Join(t.TempDir(), "l2_snapshots.dat")
		_, err := clitest.AppendAnchored(path, (firstBlock+600*(height-5))*1000+999, "")
		require.NoError(t, err)
		before := chain.Requests()
		code, stdout, stderr := clitest.Run(getsnapshotblock.Tool(), "--bitcoin-rpc", url, "--max-divergence", fmt.Sprint(tip), path)
		require.Zero(t, code, stderr)
		require.Regexp(t, "^ailee_get_snapshot_block: warning: the height is estimated .*\n$", stderr)
		if height > 10 { // below, the median goes over fewer blocks
			require.Equal(t, fmt.Sprintf("%d\n", height), stdout)
		}
		require.LessOrEqual(t, chain.Requests()-before, int64(48))
	}
}

// TestSnapshotBlockOfARealNode compares with a plain scan of btcd's blocks. btcd does not
// return median times, and blocks that are mined fast often have equal ones.
func TestSnapshotBlockOfARealNode(t *testing.T) {
	node := bitcointest.StartNode(t, false)
	node.Generate(30)
	t.Setenv("BITCOIN_RPC_URL", node.URL)
	t.Setenv("BITCOIN_RPC_USER", bitcointest.User)
	t.Setenv("BITCOIN_RPC_PASSWORD", bitcointest.Password)
	client, err := bitcoin.Open(bitcoin.Options{URL: node.URL, User: bitcointest.User, Password: bitcointest.Password}, t.Logf)
	require.NoError(t, err)
	var times, medians []int64
	require.NoError(t, client.BlockHeaders(t.Context(), 0, 30, func(h bitcoin.Header) error {
		times = append(times, h.Time)
		last := slices.Sorted(slices.Values(times[max(0, len(times)-11):]))
		medians = append(medians, last[len(last)/2])
		return nil
	}))
	path := filepath.Join(t.TempDir(), "l2_snapshots.dat")
	asked := append(slices.Compact(slices.Clone(medians)), medians[0]-1, medians[0]+1, medians[30]-1, medians[30]+1)
	for _, seconds := range asked {
		_, err := clitest.AppendAnchored(path, uint64(seconds)*1000, "m")
		require.NoError(t, err)
		code, stdout, stderr := clitest.Run(getsnapshotblock.Tool(), path)
		last := -1
		for height, median := range medians {
			if median <= seconds {
				last = height
			}
		}
		if last < 0 {
			require.Equal(t, exit.Failed, code)
			require.Contains(t, stderr, "is before the first block")
			continue
		}
		require.Zero(t, code, stderr)
		require.Equal(t, fmt.Sprintf("%d\n", last), stdout)
	}

	// A block that was replaced.
	tip := node.Hash(30)
	_, err = clitest.AppendAnchored(path, uint64(medians[30])*1000, "btc_height=30,btc_hash="+tip)
	require.NoError(t, err)
	code, stdout, stderr := clitest.Run(getsnapshotblock.Tool(), "--max-divergence", "0", path)
	require.Equal(t, []any{exit.OK, "30\n", ""}, []any{code, stdout, stderr})
	node.InvalidateBlock(tip)
	other := node.Generate(5)
	code, stdout, stderr = clitest.Run(getsnapshotblock.Tool(), "--max-divergence", "4", path)
	require.Equal(t, []any{exit.OK, "30\n"}, []any{code, stdout})
	require.Contains(t, stderr, "warning: the chain has another block at height 30: "+other[0]+"; the stored one is "+tip)
	require.NotContains(t, stderr, bitcointest.Password)
	code, stdout, _ = clitest.Run(getsnapshotblock.Tool(), "--max-divergence", "3", path)
	require.Equal(t, []any{exit.Wrong, "30\n"}, []any{code, stdout})
}

// TestSnapshotBlockOfANodeThatIsBehind: a node that knows of more blocks than it has cannot
// vouch for a small divergence. The tool waits for a block that is arriving.
func TestSnapshotBlockOfANodeThatIsBehind(t *testing.T) {
	chain := bitcointest.NewChain(100)
	comes := false
	var asked atomic.Int64
	chain.Methods = map[string]func([]json.RawMessage) (any, error){"getblockchaininfo": func([]json.RawMessage) (any, error) {
		blocks := 100
		if comes && asked.Add(1) > 1 {
			blocks = 150
		}
		return map[string]any{"chain": "main", "blocks": blocks, "headers": 150, "bestblockhash": chain.Hash(100), "mediantime": firstBlock}, nil
	}}
	url := chain.Serve(t)
	path := filepath.Join(t.TempDir(), "l2_snapshots.dat")
	_, err := clitest.AppendAnchored(path, 1, "btc_height=90")
	require.NoError(t, err)
	for limit, want := range map[string]int{"9": exit.Wrong, "10": exit.Failed, "59": exit.Failed, "60": exit.OK} {
		code, stdout, stderr := clitest.Run(getsnapshotblock.Tool(), "--bitcoin-rpc", url, "--rpc-wait", "0s", "--max-divergence", limit, path)
		require.Equal(t, want, code, stderr)
		require.Equal(t, "90\n", stdout)
	}
	comes = true
	for limit, want := range map[string]int{"59": exit.Wrong, "60": exit.OK} {
		asked.Store(0)
		code, _, stderr := clitest.Run(getsnapshotblock.Tool(), "--bitcoin-rpc", url, "--rpc-wait", "1h", "--max-divergence", limit, path)
		require.Equal(t, want, code, stderr)
	}
	// Without a limit, it makes no difference.
	asked.Store(0)
	code, _, stderr := clitest.Run(getsnapshotblock.Tool(), "--bitcoin-rpc", url, "--rpc-wait", "1h", path)
	require.Zero(t, code)
	require.Contains(t, stderr, "it has 100 of 150 blocks")
}
