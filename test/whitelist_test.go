package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
)

// whitelist is a Bitcoin node that refuses a method as Bitcoin Core does with rpcwhitelist.
type whitelist struct {
	*bitcointest.Wallet
	mu      sync.Mutex
	refused string
	asked   map[string]bool
}

func (w *whitelist) refuse(method string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused, w.asked = method, map[string]bool{}
}

func (w *whitelist) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	calls, _ := bitcointest.Recorded{Request: body}.Calls()
	refused := false
	w.mu.Lock()
	for _, c := range calls {
		w.asked[c.Method] = true
		refused = refused || c.Method == w.refused
	}
	w.mu.Unlock()
	if refused {
		rw.WriteHeader(http.StatusForbidden)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	w.Wallet.ServeHTTP(rw, r)
}

// documented returns the methods in docs/bitcoin.md by command: those that must be allowed, those
// that must be allowed for what a run rarely needs, and those that are used if allowed.
func documented(t *testing.T) (must, seldom, may map[string][]string) {
	t.Helper()
	text, err := os.ReadFile("../docs/bitcoin.md")
	require.NoError(t, err)
	must, seldom, may = map[string][]string{}, map[string][]string{}, map[string][]string{}
	word := regexp.MustCompile("`([^`]+)`")
	methods := func(cell string) (all []string) {
		for _, m := range word.FindAllStringSubmatch(cell, -1) {
			all = append(all, m[1])
		}
		return all
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `(ailee_[^`]+)` \\|([^|]*)\\|([^|]*)\\|$").FindAllStringSubmatch(string(text), -1) {
		always, rest, _ := strings.Cut(row[2], ";")
		must[row[1]], seldom[row[1]], may[row[1]] = methods(always), methods(rest), methods(row[3])
	}
	return must, seldom, may
}

// TestWhitelist refuses one method at a time to each command. If docs/bitcoin.md says that the
// method must be allowed, the command names it; without any other method the command succeeds.
func TestWhitelist(t *testing.T) {
	clitest.SkipUnderRace(t)
	t.Parallel()
	node := bitcointest.StartNode(t, false)
	node.Generate(130)
	server := &whitelist{Wallet: bitcointest.NewWallet(t, node, "anchors"), asked: map[string]bool{}}
	listening := httptest.NewServer(server)
	t.Cleanup(listening.Close)
	url := strings.Replace(listening.URL, "://", fmt.Sprintf("://%s:%s@", bitcointest.User, bitcointest.Password), 1)
	rpc := []string{"--bitcoin-rpc", url, "--rpc-wait", "0s"}
	run := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		return clitest.RunProcess(t, want, args[0], slices.Concat(rpc, args[1:])...)
	}

	// A node with a confirmed anchor, whose latest snapshot has a different anchor.
	dir := filepath.Dir(clitest.History(t, 1))
	db, file, state := filepath.Join(dir, "reorg_db"), filepath.Join(dir, "l2_snapshots.dat"), clitest.StateFile(t, 2_000_000, 5)
	created, err := reorgdb.Create(db)
	require.NoError(t, err)
	require.NoError(t, created.Close())
	run(exit.OK, "ailee_resync_blocks", "--quiet", "--start-height", "0", "--db-path", db)
	stdout, _ := run(exit.OK, "ailee_create_anchor", "--broadcast", "--yes", "--fee-rate", "10", "--wallet", "anchors", "--data-dir", dir, "--l2-state-file", state, "--json")
	var sent struct {
		AnchorHash  string `json:"anchor_hash"`
		Transaction struct{ TxID string }
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &sent))
	node.Generate(reorgdb.ConfirmedAt)
	run(exit.OK, "ailee_resync_blocks", "--quiet", "--anchors", "--wallet", "anchors", "--db-path", db)

	copied := func() string {
		to := t.TempDir()
		require.NoError(t, os.CopyFS(to, os.DirFS(dir)))
		return to
	}
	// waiting broadcasts an anchor from a copy of the directory, and leaves it in the mempool.
	waiting := func(in string) string {
		server.refuse("")
		stdout, _ := run(exit.OK, "ailee_create_anchor", "--broadcast", "--yes", "--fee-rate", "10", "--wallet", "anchors", "--data-dir", in, "--l2-state-file", state, "--timestamp-ms", "9", "--json")
		var waits struct {
			AnchorHash string `json:"anchor_hash"`
		}
		require.NoError(t, json.Unmarshal([]byte(stdout), &waits))
		return waits.AnchorHash
	}
	commands := map[string]func(in string) []string{
		"ailee_resync_blocks": func(in string) []string {
			return []string{"--db-path", filepath.Join(in, "reorg_db"), "--start-height", "100"}
		},
		"ailee_resync_blocks --anchors": func(in string) []string {
			return []string{"--db-path", filepath.Join(in, "reorg_db"), "--wallet", "anchors"}
		},
		"ailee_reorg_verify": func(in string) []string {
			return []string{"--db-path", filepath.Join(in, "reorg_db"), "--wallet", "anchors"}
		},
		"ailee_get_snapshot_block": func(in string) []string {
			// Its block is known only from its time, which is that of no block, and before the last.
			path := filepath.Join(in, "of_2020.dat")
			_, err := clitest.AppendAnchored(path, uint64(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()), "")
			require.NoError(t, err)
			return []string{"--max-divergence", "1000", path}
		},
		"ailee_l2_verify --anchor-tx": func(in string) []string {
			return []string{sent.Transaction.TxID, "--snapshot", file, "--wallet", "anchors"}
		},
		"ailee_create_anchor": func(in string) []string {
			return []string{"--l2-state-file", state, "--output", filepath.Join(in, "out.dat")}
		},
		"ailee_create_anchor --broadcast": func(in string) []string {
			return []string{"--yes", "--fee-rate", "10", "--wallet", "anchors", "--data-dir", in, "--l2-state-file", state, "--timestamp-ms", "8"}
		},
		"ailee_create_anchor --bump": func(in string) []string {
			return []string{waiting(in), "--yes", "--wallet", "anchors", "--data-dir", in}
		},
	}
	must, seldom, may := documented(t)
	require.Equal(t, slices.Sorted(maps.Keys(commands)), slices.Sorted(maps.Keys(must)))
	for name, args := range commands {
		words := strings.Fields(name)
		play := func(want int, refused string) (stderr string, asked map[string]bool) {
			in := copied()
			more := args(in)
			server.refuse(refused)
			_, stderr = run(want, append(slices.Clone(words), more...)...)
			asked = server.asked
			server.refuse("")
			node.Generate(1) // transactions in the mempool are mined
			return stderr, asked
		}
		_, asked := play(exit.OK, "")
		require.False(t, asked["getblock"], "%s: the named wallet knows the block", name)
		for method := range asked {
			require.Contains(t, slices.Concat(must[name], seldom[name], may[name]), method, name)
		}
		for _, method := range must[name] {
			require.True(t, asked[method], "%s does not call %s", name, method)
			stderr, _ := play(exit.Failed, method)
			require.Contains(t, stderr, method+": ", name)
			require.Contains(t, stderr, "HTTP status 403 Forbidden", name)
			require.Contains(t, stderr, "rpcwhitelist", name)
		}
		for _, method := range may[name] {
			play(exit.OK, method)
		}
	}
}
