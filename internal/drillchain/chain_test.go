package drillchain_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/drillchain"
)

// TestMain runs this binary as the program by whose name it is called.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "bitcoind":
		bitcointest.Bitcoind()
	default:
		os.Exit(m.Run())
	}
}

// onPath sets PATH to a folder with only these programs.
func onPath(t *testing.T, programs map[string]string) {
	t.Helper()
	bin := t.TempDir()
	for name, target := range programs {
		require.NoError(t, os.Symlink(target, filepath.Join(bin, name)))
	}
	t.Setenv("PATH", bin)
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	require.NoError(t, err)
	return path
}

// start starts a chain, which must give exactly these warnings.
func start(t *testing.T, warnings ...string) (drillchain.Chain, *bitcoin.Client) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bitcoin")
	var said []string
	chain, err := drillchain.Start(t.Context(), dir, func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) })
	require.NoError(t, err)
	t.Cleanup(chain.Close)
	require.Len(t, said, len(warnings), "%q", said)
	for i, warning := range warnings {
		require.Regexp(t, warning, said[i])
	}
	password, err := os.ReadFile(filepath.Join(dir, "password"))
	require.NoError(t, err)
	require.Equal(t, []string{"BITCOIN_RPC_USER=drill", "BITCOIN_RPC_PASSWORD_FILE=" + filepath.Join(dir, "password")}, drillchain.Login(dir))
	client, err := bitcoin.Open(bitcoin.Options{URL: chain.URL(), User: "drill", Password: string(password)}, t.Logf)
	require.NoError(t, err)
	return chain, client
}

// active returns the headers of the active chain, each of which names the one before it.
func active(t *testing.T, client *bitcoin.Client) (all []bitcoin.Header) {
	t.Helper()
	info, err := client.ChainInfo(t.Context())
	require.NoError(t, err)
	require.False(t, info.InitialBlockDownload)
	require.NoError(t, client.BlockHeaders(t.Context(), 0, info.Blocks, func(h bitcoin.Header) error {
		if len(all) > 0 {
			require.Equal(t, all[len(all)-1].Hash, h.PreviousBlockHash)
		}
		all = append(all, h)
		return nil
	}))
	require.Equal(t, info.BestBlockHash, all[len(all)-1].Hash)
	return all
}

// TestChains: each kind mines blocks, and replaces them with others, repeatedly.
func TestChains(t *testing.T) {
	for _, c := range []struct {
		kind     drillchain.Kind
		programs map[string]string
	}{
		{drillchain.MadeUp, nil},
		{drillchain.Btcd, map[string]string{"btcd": bitcointest.Binary(t)}},
		{drillchain.Bitcoind, map[string]string{"bitcoind": self(t), "btcd": "/missing"}},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			onPath(t, c.programs)
			chain, client := start(t)
			require.Equal(t, c.kind, chain.Kind())
			require.NoError(t, chain.Mine(t.Context(), 20))
			before := active(t, client)
			require.Len(t, before, 21)
			require.Error(t, chain.Replace(t.Context(), 21), "the genesis block stays")
			known, latest := map[string]bool{}, int64(0)
			for _, depth := range []int64{1, 3, 20} {
				for _, h := range before {
					known[h.Hash], latest = true, max(latest, h.Time)
				}
				require.NoError(t, chain.Replace(t.Context(), depth))
				after := active(t, client)
				require.Len(t, after, len(before)+1)
				fork := int64(len(before)) - depth
				require.Equal(t, before[fork-1].Hash, after[fork-1].Hash)
				for _, h := range after[fork:] {
					require.False(t, known[h.Hash], h.Hash)
					require.True(t, c.kind != drillchain.Bitcoind || h.Time > latest, "%d is not after %d", h.Time, latest)
				}
				stale, err := client.FindBlocks(t.Context(), []string{before[fork].Hash})
				require.NoError(t, err)
				require.True(t, stale[0] == nil || stale[0].Confirmations < 1, "%v", stale[0])
				before = after
			}
			chain.Close()
			_, err := net.Dial("tcp", chain.URL()[len("http://"):])
			require.Error(t, err, "the server must not be running")
		})
	}
}

// TestBrokenNodes: a warning names a node that does not start, and the next one is tried.
func TestBrokenNodes(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	require.NoError(t, os.WriteFile(script, []byte("#!/missing/interpreter\n"), 0o700))
	onPath(t, map[string]string{"bitcoind": script, "btcd": "/bin/false"})
	chain, client := start(t, "^bitcoind does not start: .*no such file", "^btcd does not start: it has ended, see .*/bitcoin/output$")
	require.Equal(t, drillchain.MadeUp, chain.Kind())
	require.NoError(t, chain.Mine(t.Context(), 5))
	require.Len(t, active(t, client), 6)
}
