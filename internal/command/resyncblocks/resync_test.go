package resyncblocks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/command/resyncblocks"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
)

// nodeModel is the records of a node, by their keys, as its block listener leaves them
// according to docs/formats.md. The times of events are left out.
type nodeModel map[string]string

func (m nodeModel) sees(height int64, hash string) {
	key := fmt.Sprintf("block:%020d", height)
	old, known := m[key]
	if known && old == hash {
		return
	}
	if known {
		var invalidated string
		count := 0
		for _, anchor := range slices.Sorted(maps.Keys(m)) {
			fields := strings.SplitN(m[anchor], "|", 8)
			if !strings.HasPrefix(anchor, "anchor:") || fields[6] == "2" {
				continue
			}
			if at, _ := strconv.ParseInt(fields[2], 10, 64); at < height {
				continue
			}
			fields[3], fields[6] = "0", "2"
			m[anchor] = strings.Join(fields, "|")
			invalidated += "|" + fields[0]
			count++
		}
		id, _ := strconv.Atoi(m["reorg_counter"])
		m[fmt.Sprintf("reorg:%020d", id)] = fmt.Sprintf("%d|%s|%s|TIME|%d%s", height, old, hash, count, invalidated)
		m["reorg_counter"] = strconv.Itoa(id + 1)
	}
	m[key] = hash
}

// anchor adds an anchor record.
func (m nodeModel) anchor(hash string, height int64, status int) {
	m["anchor:"+hash] = fmt.Sprintf("%s|tx%s|%d|3|1739578200000|1|%d|root", hash, hash, height, status)
}

// write makes a database from the model.
func (m nodeModel) write(t *testing.T, path string) {
	t.Helper()
	db, err := reorgdb.Create(path)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(u *reorgdb.Update) error {
		for key, value := range m {
			require.NoError(t, u.Put(reorgdb.DefaultFamily, []byte(key), []byte(value)))
		}
		return nil
	}))
	require.NoError(t, db.Close())
}

// requireModel asserts that the database has exactly the model's records, and that the
// times of its events are not before since.
func requireModel(t *testing.T, want nodeModel, path string, since time.Time) {
	t.Helper()
	got := nodeModel{}
	for key, value := range reorgtest.Records(t, path) {
		key = strings.TrimPrefix(key, reorgdb.DefaultFamily+"/")
		if strings.HasPrefix(key, "reorg:") {
			fields := strings.SplitN(value, "|", 5)
			if at, err := strconv.ParseInt(fields[3], 10, 64); err == nil {
				require.True(t, since.Unix() <= at && at <= time.Now().Unix(), "%s", value)
				fields[3] = "TIME"
			}
			value = strings.Join(fields, "|")
		}
		got[key] = value
	}
	// A diff of that many records must not be printed.
	if !maps.Equal(want, got) {
		shown := 0
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if want[key] != got[key] && shown < 10 {
				t.Errorf("%s: %q, want %q", key, got[key], want[key])
				shown++
			}
		}
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
}

// source is a chain, real or not.
type source interface{ Hash(height int64) string }

func (m nodeModel) seesAll(from, to int64, src source) {
	for height := from; height <= to; height++ {
		m.sees(height, src.Hash(height))
	}
}

func startBitcoin(t *testing.T) *bitcointest.Node {
	n := bitcointest.StartNode(t, false)
	t.Setenv("BITCOIN_RPC_USER", bitcointest.User)
	t.Setenv("BITCOIN_RPC_PASSWORD", bitcointest.Password)
	return n
}

// TestResyncWithBtcd: a new database, later blocks, and reorgs between the runs.
func TestResyncWithBtcd(t *testing.T) {
	n := startBitcoin(t)
	n.Generate(120)
	start := time.Now()
	path := filepath.Join(t.TempDir(), "reorg_db")
	model := nodeModel{}
	model.anchor("a105", 105, 1)
	model.anchor("a118", 118, 0)
	model.anchor("a119", 119, 3)
	model.anchor("a120", 120, 2)
	model.anchor("a130", 130, 1)
	model.write(t, path)
	resyncs := func(want int, args ...string) string {
		t.Helper()
		code, stdout, stderr := clitest.Run(resyncblocks.Tool(), append(args, "--db-path", path, "--bitcoin-rpc", n.URL)...)
		require.Equal(t, want, code, "%s%s", stdout, stderr)
		return stdout + stderr
	}

	require.Contains(t, resyncs(exit.OK), "Heights 0 to 120 of regtest: 121 written, 0 equal, 0 replaced")
	model.seesAll(0, 120, n)
	requireModel(t, model, path, start)

	n.Generate(5)
	require.Contains(t, resyncs(exit.OK), "Heights 20 to 125 of regtest: 5 written, 101 equal, 0 replaced")
	model.seesAll(0, 125, n)
	requireModel(t, model, path, start)

	for _, depth := range []int64{1, 3, 10} {
		tip := n.Height()
		n.InvalidateBlock(n.Hash(tip - depth + 1))
		n.Generate(uint32(depth) + 1)
		before := reorgtest.Records(t, path)
		require.Contains(t, resyncs(exit.OK, "--dry-run"), fmt.Sprintf("1 to write, %d equal, %d to replace", 101-depth, depth))
		require.Contains(t, resyncs(exit.Wrong, "--check"), fmt.Sprintf("%d equal, %d different, 1 missing", tip+1-depth, depth))
		require.Equal(t, before, reorgtest.Records(t, path))
		said := resyncs(exit.OK)
		require.Contains(t, said, fmt.Sprintf("1 written, %d equal, %d replaced", 101-depth, depth))
		require.Equal(t, depth > 6, strings.Contains(said, "a node halts"), said)
		model.seesAll(0, tip+1, n)
		requireModel(t, model, path, start)
		require.Contains(t, resyncs(exit.OK, "--check"), "Verification OK.")
	}
	require.Equal(t, "14", model["reorg_counter"])
}

// TestReorgWhileBtcdIsRead: a proxy changes the chain before one of the
// requests, each in turn.
func TestReorgWhileBtcdIsRead(t *testing.T) {
	n := startBitcoin(t)
	n.Generate(150)
	target, err := url.Parse(n.URL)
	require.NoError(t, err)
	forward := httputil.NewSingleHostReverseProxy(target)
	for at := int64(1); ; at++ {
		var count atomic.Int64
		fork := n.Height() - 2
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if count.Add(1) == at {
				n.InvalidateBlock(n.Hash(fork))
				n.Generate(4)
			}
			forward.ServeHTTP(w, r)
		}))
		path := filepath.Join(t.TempDir(), "reorg_db")
		before := nodeModel{}
		before.seesAll(0, n.Height(), n)
		nodeModel{}.write(t, path)
		start := time.Now()
		code, stdout, stderr := clitest.Run(resyncblocks.Tool(), "--start-height", "0", "--db-path", path, "--bitcoin-rpc", proxy.URL)
		proxy.Close()
		require.Zero(t, code, "%s%s", stdout, stderr)
		if count.Load() < at {
			break // it was done before that
		}
		if count.Load() == at && reorgtest.Records(t, path)["default/block:"+fmt.Sprintf("%020d", fork)] == before[fmt.Sprintf("block:%020d", fork)] {
			requireModel(t, before, path, start) // it was done except for this answer
			continue
		}
		// What it had seen of the old chain was stored as a node stores it.
		after := nodeModel{}
		after.seesAll(0, n.Height(), n)
		if strings.Contains(stdout, "3 replaced") {
			after = before
			after.seesAll(0, n.Height(), n)
		}
		requireModel(t, after, path, start)
	}
}

// TestReorgsWhileItRuns: the chain changes before each of the requests in turn, in each of
// the ways that it can.
func TestReorgsWhileItRuns(t *testing.T) {
	const tip = 3500
	for name, change := range map[string]func(*bitcointest.Chain){
		"grows":              func(c *bitcointest.Chain) { c.SetTip(tip + 3) },
		"one block":          func(c *bitcointest.Chain) { c.Reorganise(tip, tip) },
		"longer":             func(c *bitcointest.Chain) { c.Reorganise(tip-9, tip+5) },
		"shorter":            func(c *bitcointest.Chain) { c.Reorganise(tip-20, tip-10) },
		"there and back":     func(c *bitcointest.Chain) { c.SetTip(tip - 30) },
		"as deep as allowed": func(c *bitcointest.Chain) { c.Reorganise(tip-99, tip+1) },
	} {
		t.Run(name, func(t *testing.T) {
			step := int64(1)
			if testing.Short() {
				step = 2
			}
			for at := int64(1); ; at += step {
				c := bitcointest.NewChain(tip)
				c.Misbehave = func(number int64, _ http.ResponseWriter, _ *http.Request, _ []byte) bool {
					if number == at {
						change(c)
					} else if number > at && name == "there and back" { // two requests may be under way at once
						c.SetTip(tip)
					}
					return false
				}
				path := filepath.Join(t.TempDir(), "reorg_db")
				nodeModel{}.write(t, path)
				code, stdout, stderr := clitest.Run(resyncblocks.Tool(), "--start-height", "0", "--db-path", path, "--bitcoin-rpc", c.Serve(t))
				require.Zero(t, code, "%s%s", stdout, stderr)
				if c.Requests() < at {
					break // it was done before that
				}
				stored := reorgtest.Records(t, path)
				want := c
				if old := bitcointest.NewChain(tip); c.Requests() == at && stored[fmt.Sprintf("default/block:%020d", tip)] == old.Hash(tip) {
					want = old // it was done except for this answer
				}
				end := int64(tip)
				for ; stored[fmt.Sprintf("default/block:%020d", end+1)] != ""; end++ {
				}
				for height := range end + 1 {
					hash := stored[fmt.Sprintf("default/block:%020d", height)]
					if height > tip-10 && name == "shorter" && want == c {
						continue // above the tip: left, or never seen
					}
					require.Equal(t, want.Hash(height), hash, "request %d of %d, height %d: %s%s", at, c.Requests(), height, stdout, stderr)
				}
			}
		})
	}
}

// TestStaleHashAmongTheLast: a node that was asked just as its chain changed. The blocks
// do not form a chain, and nothing is taken from them.
func TestStaleHashAmongTheLast(t *testing.T) {
	const tip = 500
	c := bitcointest.NewChain(tip)
	stale := c.Hash(tip - 3)
	c.Reorganise(tip-3, tip)
	c.Misbehave = func(number int64, w http.ResponseWriter, _ *http.Request, body []byte) bool {
		if number != 4 {
			return false
		}
		require.Contains(t, string(body), "getblockhash")
		_, answer := c.Answer(body)
		_, _ = w.Write(bytes.ReplaceAll(answer, []byte(c.Hash(tip-3)), []byte(stale)))
		return true
	}
	path := filepath.Join(t.TempDir(), "reorg_db")
	nodeModel{}.write(t, path)
	clitest.RunTool(t, exit.OK, resyncblocks.Tool(), "--quiet", "--start-height", "0", "--db-path", path, "--bitcoin-rpc", c.Serve(t))
	want := nodeModel{}
	want.seesAll(0, tip, c)
	requireModel(t, want, path, time.Now())
}

// TestReorgTooDeepWhileItRuns: it is refused like one between two runs.
func TestReorgTooDeepWhileItRuns(t *testing.T) {
	c := bitcointest.NewChain(3500)
	c.Misbehave = func(number int64, _ http.ResponseWriter, _ *http.Request, _ []byte) bool {
		if number == 6 {
			c.Reorganise(3300, 3501)
		}
		return false
	}
	path := filepath.Join(t.TempDir(), "reorg_db")
	nodeModel{}.write(t, path)
	code, _, stderr := clitest.Run(resyncblocks.Tool(), "--start-height", "0", "--db-path", path, "--bitcoin-rpc", c.Serve(t))
	require.Equal(t, exit.Wrong, code, stderr)
	require.Contains(t, stderr, "a reorg 201 blocks deep, where --max-reorg-depth allows 100")
	require.Contains(t, stderr, "3501 block hash(es) were written before the error")
	code, _, stderr = clitest.Run(resyncblocks.Tool(), "--max-reorg-depth", "201", "--start-height", "3300", "--db-path", path, "--bitcoin-rpc", c.Serve(t))
	require.Zero(t, code, stderr)
	require.Equal(t, "201", reorgtest.Records(t, path)["default/reorg_counter"])
}

// TestRecordedRefusals: the answers of real Bitcoin Cores that are starting, are busy or refuse
// the login become one line of error and one hint, and nothing is written.
func TestRecordedRefusals(t *testing.T) {
	for name, c := range map[string]struct{ words, hint string }{
		"c4-getblockchaininfo-error-28-loading-banlist":  {"-28: Loading banlist…", "the node is starting: wait, or wait longer with --rpc-wait"},
		"c4-getblockchaininfo-error-28-verifying-blocks": {"-28: Verifying blocks…", "the node is starting: wait, or wait longer with --rpc-wait"},
		"probe-warming-up-single":                        {"-28: Loading wallet…", "the node is starting: wait, or wait longer with --rpc-wait"},
		"c6b-getblockchaininfo-http503":                  {"HTTP status 503 Service Unavailable", "the node is busy: wait longer with --rpc-wait, or raise its rpcworkqueue"},
		"probe-unauthorized-none":                        {"HTTP status 401 Unauthorized", "no credentials were found: give a cookie file with --rpc-cookie-file, or set BITCOIN_RPC_USER and BITCOIN_RPC_PASSWORD"},
		"probe-unknown-path":                             {"HTTP status 404 Not Found", "check the host, port and path of --bitcoin-rpc"},
		"wl-getrawtransaction-p1-http403":                {"HTTP status 403 Forbidden", "allow this machine and the method on the node: rpcallowip, rpcwhitelist"},
		"probe-parse-error":                              {"-32700: Parse error", ""},
	} {
		s := httptest.NewServer(bitcointest.OneRecorded(t, name))
		path := filepath.Join(t.TempDir(), "reorg_db")
		nodeModel{}.write(t, path)
		before := reorgtest.Records(t, path)
		code, stdout, stderr := clitest.Run(resyncblocks.Tool(), "--rpc-wait", "0s", "--start-height", "0", "--db-path", path, "--bitcoin-rpc", s.URL)
		s.Close()
		require.Equal(t, exit.Failed, code, name)
		require.Empty(t, stdout)
		lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
		require.Regexp(t, "^ailee_resync_blocks: error: Bitcoin RPC at http://[^ ]+: getblockchaininfo: "+regexp.QuoteMeta(c.words)+"( \\(waited .*\\))?$", lines[0])
		if c.hint == "" {
			require.Len(t, lines, 1)
		} else {
			require.Equal(t, []string{"ailee_resync_blocks: hint: " + c.hint}, lines[1:])
		}
		require.Equal(t, before, reorgtest.Records(t, path))
	}
}

// TestDeepReorgIsReplacedWhole: the run begins as deep as --max-reorg-depth allows. The
// message says "at least" if nothing further down was compared.
func TestDeepReorgIsReplacedWhole(t *testing.T) {
	const tip, depth = 1000, 120
	c := bitcointest.NewChain(tip)
	url := c.Serve(t)
	path := filepath.Join(t.TempDir(), "reorg_db")
	nodeModel{}.write(t, path)
	run := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		code, stdout, stderr := clitest.Run(resyncblocks.Tool(), append(args, "--db-path", path, "--bitcoin-rpc", url)...)
		require.Equal(t, want, code, stderr)
		return stdout, stderr
	}
	run(exit.OK, "--start-height", "0")
	c.Reorganise(tip-depth+1, tip+1)
	_, stderr := run(exit.Wrong)
	require.Contains(t, stderr, "a reorg at least 101 blocks deep, where --max-reorg-depth allows 100")
	_, stderr = run(exit.Wrong, "--max-reorg-depth", "118")
	require.Contains(t, stderr, "a reorg at least 119 blocks deep, where --max-reorg-depth allows 118")
	_, stderr = run(exit.Wrong, "--max-reorg-depth", "119")
	require.Contains(t, stderr, "a reorg 120 blocks deep, where --max-reorg-depth allows 119")
	_, stderr = run(exit.Wrong, "--max-reorg-depth", "119", "--start-height", "500")
	require.Contains(t, stderr, "a reorg 120 blocks deep, where --max-reorg-depth allows 119")
	stdout, stderr := run(exit.OK, "--max-reorg-depth", "200")
	require.Contains(t, stdout, "1 written, 81 equal, 120 replaced")
	require.NotContains(t, stderr, "outside the requested heights")
	run(exit.OK, "--check")
}

// TestRangesThatDiffer: differing heights are printed as one line if no right one is between
// them, and otherwise as one line each. reorg_verify groups adjacent stored heights.
func TestRangesThatDiffer(t *testing.T) {
	c := bitcointest.NewChain(60)
	m := nodeModel{}
	m.seesAll(0, 60, c)
	wrong := func(height int64) string { return fmt.Sprintf("%064x", 0xab00+height) }
	for _, height := range []int64{10, 11, 12, 14, 30, 31, 33, 60} {
		m[fmt.Sprintf("block:%020d", height)] = wrong(height)
	}
	delete(m, fmt.Sprintf("block:%020d", 32))
	path := filepath.Join(t.TempDir(), "reorg_db")
	m.write(t, path)
	common := []string{"--db-path", path, "--bitcoin-rpc", c.Serve(t)}
	says := func(tool cli.Tool, more ...string) (lines []string) {
		code, _, stderr := clitest.Run(tool, append(more, common...)...)
		require.Equal(t, exit.Wrong, code)
		for line := range strings.SplitSeq(stderr, "\n") {
			if _, text, found := strings.Cut(line, " error: "); found {
				lines = append(lines, text)
			}
		}
		return lines
	}
	first := func(height int64) string {
		return fmt.Sprintf("%s stored, in the chain %s", wrong(height), c.Hash(height))
	}
	require.Equal(t, []string{
		"heights 10 to 12: the first has " + first(10),
		"height 14: stored " + wrong(14) + ", in the chain " + c.Hash(14),
		"heights 30 to 33, 3 of them stored: the first has " + first(30),
		"height 60: stored " + wrong(60) + ", in the chain " + c.Hash(60),
	}, says(resyncblocks.Tool(), "--check"))
	one, several := "the block hash at height %d is %q, but %s in the active chain", "the block hashes at heights %d to %d are not those of the active chain: the first is %q, but %s in the active chain"
	require.Equal(t, []string{
		fmt.Sprintf(several, 10, 12, wrong(10), c.Hash(10)),
		fmt.Sprintf(one, 14, wrong(14), c.Hash(14)),
		fmt.Sprintf(several, 30, 31, wrong(30), c.Hash(30)),
		fmt.Sprintf(one, 33, wrong(33), c.Hash(33)),
		fmt.Sprintf(one, 60, wrong(60), c.Hash(60)),
	}, says(reorgverify.Tool()))
}

// TestBlockOfAHeaderIsWaitedFor: a header whose block is on its way is no reason to warn,
// not even if hashes are only compared.
func TestBlockOfAHeaderIsWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reorg_db")
	db, err := reorgdb.Create(path)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	for _, c := range []struct {
		tool cli.Tool
		args []string
	}{
		{resyncblocks.Tool(), []string{"--dry-run", "--start-height", "0"}},
		{resyncblocks.Tool(), []string{"--start-height", "0"}},
		{resyncblocks.Tool(), []string{"--check"}},
		{reorgverify.Tool(), nil},
	} {
		chain := bitcointest.NewChain(300)
		var asked atomic.Int64
		chain.Methods = map[string]func([]json.RawMessage) (any, error){"getblockchaininfo": func([]json.RawMessage) (any, error) {
			tip := int64(300)
			if asked.Add(1) > 2 {
				tip = 301
				chain.SetTip(tip)
			}
			return map[string]any{"chain": "main", "blocks": tip, "headers": 301, "bestblockhash": chain.Hash(tip), "time": time.Now().Unix(), "mediantime": time.Now().Unix()}, nil
		}}
		code, _, stderr := clitest.Run(c.tool, append(c.args, "--rpc-wait", "1h", "--db-path", path, "--bitcoin-rpc", chain.Serve(t))...)
		require.Zero(t, code, stderr)
		require.NotContains(t, stderr, "warning: ", "%s %s", c.tool.Name, c.args)
		require.Greater(t, asked.Load(), int64(2))
	}
}

// TestStaleHeadersWhileSettling: headers that form a chain, but have left the
// active chain, are not taken for it.
func TestStaleHeadersWhileSettling(t *testing.T) {
	const tip, end = 1000, 900
	c := bitcointest.NewChain(tip)
	path := filepath.Join(t.TempDir(), "reorg_db")
	nodeModel{}.write(t, path)
	stale := map[string]string{}
	for height := int64(end - 5); height <= end; height++ {
		stale[fmt.Sprint(height)] = c.Hash(height)
	}
	c.Reorganise(end-5, tip)
	rounds := 0
	c.Misbehave = func(_ int64, w http.ResponseWriter, _ *http.Request, body []byte) bool {
		// The node reorganises between the hashes and their headers, and back again.
		if !bytes.Contains(body, []byte(`"getblockhash"`)) || rounds == 2 {
			return false
		}
		rounds++
		_, answer := c.Answer(body)
		for height, hash := range stale {
			n, err := strconv.ParseInt(height, 10, 64)
			require.NoError(t, err)
			answer = bytes.ReplaceAll(answer, []byte(c.Hash(n)), []byte(hash))
		}
		_, _ = w.Write(answer)
		return true
	}
	clitest.RunTool(t, exit.OK, resyncblocks.Tool(), "--quiet", "--start-height", "0", "--end-height", fmt.Sprint(end), "--db-path", path, "--bitcoin-rpc", c.Serve(t))
	require.Equal(t, 2, rounds)
	c.Misbehave = nil
	clitest.RunTool(t, exit.OK, resyncblocks.Tool(), "--quiet", "--check", "--db-path", path, "--bitcoin-rpc", c.Serve(t))
}

// TestResyncKilled: wherever it ends, a second run completes it, and the result is
// what a node would have left.
func TestResyncKilled(t *testing.T) {
	clitest.SkipUnderRace(t)
	const before, after = 20_000, 50_000
	c := bitcointest.NewChain(before)
	rpc := c.Serve(t)
	old := nodeModel{}
	old.anchor("low", before-11, 1)
	old.anchor("high", before-3, 1)
	old.seesAll(0, before, c)
	c.Reorganise(before-9, after)
	want := maps.Clone(old)
	want.seesAll(0, after, c)
	t.Setenv("TMPDIR", t.TempDir())
	master := filepath.Join(t.TempDir(), "reorg_db")
	old.write(t, master)

	start := time.Now()
	dir := t.TempDir()
	path := filepath.Join(dir, "reorg_db")
	rng := rand.New(rand.NewSource(3))
	partial := 0
	for range max(clitest.Kills(40), 10) {
		require.NoError(t, os.RemoveAll(path))
		require.NoError(t, os.CopyFS(path, os.DirFS(master)))
		clitest.Kill(t, rng, 150*time.Millisecond, resyncblocks.Name, "--start-height", "100", "--db-path", path, "--bitcoin-rpc", rpc)
		db, err := reorgdb.OpenReadOnly(path)
		require.NoError(t, err)
		highest, _, err := db.HighestBlock()
		require.NoError(t, err)
		require.NoError(t, db.Close())
		if highest.Height > before && highest.Height < after {
			partial++
		}
		clitest.RunTool(t, exit.OK, resyncblocks.Tool(), "--quiet", "--db-path", path, "--bitcoin-rpc", rpc)
		requireModel(t, want, path, start)
		require.NoFileExists(t, filepath.Join(path, "000000.dbtmp"))
	}
	require.Empty(t, clitest.Names(t, os.Getenv("TMPDIR")), "what killed runs left is removed by the next")
	t.Logf("%d of the runs were killed between two batches", partial)
}

// TestResyncInterrupted: the error says how much was written, and the next run continues.
func TestResyncInterrupted(t *testing.T) {
	const tip = 120_000
	c := bitcointest.NewChain(tip)
	path := filepath.Join(t.TempDir(), "reorg_db")
	nodeModel{}.write(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	var interrupted atomic.Bool
	c.Misbehave = func(number int64, _ http.ResponseWriter, r *http.Request, _ []byte) bool {
		if number < 110 || interrupted.Load() {
			return false
		}
		// The first chunk is then in the database, since only a few are fetched ahead.
		for !stores(path) {
			if r.Context().Err() != nil {
				return true
			}
		}
		cancel()
		<-r.Context().Done()
		return true
	}
	var out, errs bytes.Buffer
	code := cli.Execute(ctx, resyncblocks.Tool(), []string{resyncblocks.Name, "--start-height", "0", "--db-path", path, "--bitcoin-rpc", c.Serve(t)},
		cli.Streams{Out: &out, Err: &errs})
	require.Equal(t, exit.Failed, code)
	require.Regexp(t, `error: interrupted: [0-9]+ block hash\(es\) were written\n.*hint: run the command again`, errs.String())
	interrupted.Store(true)
	clitest.RunTool(t, exit.OK, resyncblocks.Tool(), "--db-path", path, "--bitcoin-rpc", c.Serve(t))
	want := nodeModel{}
	want.seesAll(0, tip, c)
	requireModel(t, want, path, time.Now())
}

// stores reports whether the database has a table.
func stores(path string) bool {
	tables, _ := filepath.Glob(filepath.Join(path, "*.sst"))
	return len(tables) > 0
}

// TestBadAnswersLeaveNoWrongEntry: whatever the server answers, at whatever request.
func TestBadAnswersLeaveNoWrongEntry(t *testing.T) {
	const tip = 2500
	clitest.InMemory(t)
	step := int64(1)
	if testing.Short() {
		step = 5
	}
	zero := strings.Repeat("0", 64)
	replaced := func(old, replacement string) func(*bitcointest.Chain, http.ResponseWriter, []byte) {
		return func(c *bitcointest.Chain, w http.ResponseWriter, body []byte) {
			_, answer := c.Answer(body)
			_, _ = w.Write(bytes.ReplaceAll(answer, []byte(old), []byte(replacement)))
		}
	}
	says := func(status int, text string) func(*bitcointest.Chain, http.ResponseWriter, []byte) {
		return func(_ *bitcointest.Chain, w http.ResponseWriter, _ []byte) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(text))
		}
	}
	for name, answer := range map[string]func(*bitcointest.Chain, http.ResponseWriter, []byte){
		"401":             says(401, ""),
		"403":             says(403, ""),
		"404":             says(404, "not here"),
		"500":             says(500, "oops"),
		"503":             says(503, "Work queue depth exceeded"),
		"warming up":      says(500, `{"result":null,"error":{"code":-28,"message":"Loading"},"id":1}`),
		"HTML":            says(200, "<html>"),
		"an empty object": says(200, "{}"),
		"a message":       says(200, `{"message":"rate limited"}`),
		"an empty batch":  says(200, "[]"),
		"wrong ids":       replaced(`"id":`, `"id":9`),
		"short hashes":    replaced("0000000000000000", "00"),
		"no hex":          replaced("0000000000000000", "000000000000000x"),
		"null":            replaced(`"error":null`, `"error":{"code":-8,"message":"x"}`),
		"zero hash": func(c *bitcointest.Chain, w http.ResponseWriter, body []byte) {
			_, answer := c.Answer(body)
			_, _ = w.Write(bytes.ReplaceAll(answer, []byte(c.Hash(1200)), []byte(zero)))
		},
		"truncated": func(c *bitcointest.Chain, w http.ResponseWriter, body []byte) {
			_, answer := c.Answer(body)
			_, _ = w.Write(answer[:len(answer)/2])
		},
		"a reset": func(*bitcointest.Chain, http.ResponseWriter, []byte) { panic(http.ErrAbortHandler) },
		// A different chain for a single request.
		"another chain": func(_ *bitcointest.Chain, w http.ResponseWriter, body []byte) {
			other := bitcointest.NewChain(tip)
			other.Reorganise(tip-5, tip)
			_, answer := other.Answer(body)
			_, _ = w.Write(answer)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for at := int64(1); at <= 8; at += step {
				for _, lasting := range []bool{false, true} {
					c := bitcointest.NewChain(tip)
					c.Misbehave = func(number int64, w http.ResponseWriter, _ *http.Request, body []byte) bool {
						if number != at && !(lasting && number > at && name != "another chain") {
							return false
						}
						answer(c, w, body)
						return true
					}
					path := filepath.Join(t.TempDir(), "reorg_db")
					nodeModel{}.write(t, path)
					code, _, stderr := clitest.Run(resyncblocks.Tool(), "--start-height", "0", "--db-path", path, "--rpc-wait", "250ms", "--bitcoin-rpc", c.Serve(t))
					want := nodeModel{}
					want.seesAll(0, tip, c)
					if code == exit.OK && name != "another chain" {
						requireModel(t, want, path, time.Now())
						continue
					}
					for key, value := range reorgtest.Records(t, path) {
						if strings.HasPrefix(key, "default/block:") {
							require.Equal(t, want[strings.TrimPrefix(key, "default/")], value)
						}
					}
					if code != exit.OK {
						require.Equal(t, exit.Failed, code)
						require.Contains(t, stderr, "error: Bitcoin RPC at http://127.0.0.1:")
					}
				}
			}
		})
	}
}

// TestLockedDatabaseIsSaidAtOnce: before a Bitcoin node is asked anything.
func TestLockedDatabaseIsSaidAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reorg_db")
	nodeModel{}.write(t, path)
	stop, err := reorgtest.StartNode(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, stop()) }()
	c := bitcointest.NewChain(10)
	code, _, stderr := clitest.Run(resyncblocks.Tool(), "--db-path", path, "--bitcoin-rpc", c.Serve(t))
	require.Zero(t, c.Requests())
	require.Equal(t, exit.Failed, code)
	require.Regexp(t, `^ailee_resync_blocks: error: \S+ is in use by ailee_node \(pid [0-9]+\)\n`, stderr)
}
