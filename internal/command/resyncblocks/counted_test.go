package resyncblocks_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/command/resyncblocks"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/golden"
	"ailee-recovery/reorgdb"
)

func storedKey(height int64) string { return fmt.Sprintf("default/block:%020d", height) }

// listened makes a database of a node whose block listener stores counts as heights: under
// each count is the block of the given height.
func listened(t *testing.T, chain *bitcointest.Chain, heights map[int64]int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "reorg_db")
	db, err := reorgdb.Create(path)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(u *reorgdb.Update) error {
		for count, height := range heights {
			u.SetBlock(reorgdb.Block{Height: uint64(count), Hash: chain.Hash(height)})
		}
		return u.Anchor(reorgdb.Anchor{Hash: "a", BitcoinTxID: "t", BitcoinHeight: 5000, Status: reorgdb.InvalidatedReorg, L2StateRoot: "r"})
	}))
	require.NoError(t, db.Close())
	return path
}

// row adds consecutive counts for consecutive heights.
func row(into map[int64]int64, from, to, height int64) map[int64]int64 {
	for count := from; count <= to; count++ {
		into[count] = height + count - from
	}
	return into
}

// document runs the command with --json and returns what it prints.
func document(t *testing.T, want int, args ...string) (doc struct {
	Differing int              `json:"differing"`
	Counted   []map[string]int `json:"counted_heights"`
	Moved     int              `json:"moved"`
	Present   int              `json:"already_there"`
	Other     int              `json:"left_to_resync"`
	Removed   int              `json:"no_longer_in_chain"`
}) {
	t.Helper()
	code, stdout, stderr := clitest.Run(resyncblocks.Tool(), append(args, "--json")...)
	require.Equal(t, want, code, "%s%s", stdout, stderr)
	require.NoError(t, json.Unmarshal([]byte(stdout), &doc), stdout)
	return doc
}

// TestGoldenListenerHeights: the database that such a node left, on the chain that it
// followed. After a restart it was notified of the last two blocks again.
func TestGoldenListenerHeights(t *testing.T) {
	path := golden.Database(t, "listener-heights")
	chain := bitcointest.NewChain(20_000)
	before := reorgtest.Records(t, path)
	heights := row(row(map[int64]int64{}, 3, 41, 19_933), 1, 2, 19_970)
	// The chain has other hashes: each is replaced by the one that is stored.
	var stored, chains []string
	want := maps.Clone(before)
	for count, height := range heights {
		hash := before[storedKey(count)]
		stored = append(stored, hash, chain.Hash(height))
		chains = append(chains, chain.Hash(height), hash)
		delete(want, storedKey(count))
		want[storedKey(height)] = hash
	}
	toChain, toStored := strings.NewReplacer(stored...), strings.NewReplacer(chains...)
	chain.Misbehave = func(_ int64, w http.ResponseWriter, _ *http.Request, body []byte) bool {
		status, answer := chain.Answer([]byte(toChain.Replace(string(body))))
		w.WriteHeader(status)
		_, _ = w.Write([]byte(toStored.Replace(string(answer))))
		return true
	}
	url := chain.Serve(t)

	// Every command that compares names them, with both heights.
	const first, second = "what is stored at heights 1 to 2 is at heights 19970 to 19971 of the chain", "what is stored at heights 3 to 41 is at heights 19933 to 19971 of the chain"
	const why = ": the node stored the number of blocks that it had seen in place of the height\n"
	repair := "hint: stop the node and move the hashes to their heights: ailee_resync_blocks --repair-heights --db-path " + path + "\n"
	code, stdout, stderr := clitest.Run(reorgverify.Tool(), "--db-path", path, "--bitcoin-rpc", url)
	require.Equal(t, exit.Wrong, code)
	require.Contains(t, stdout, "41 block hash(es) compared, 41 differ")
	require.Equal(t, "ailee_reorg_verify: error: "+first+why+"ailee_reorg_verify: error: "+second+why+"ailee_reorg_verify: "+repair, stderr)

	code, stdout, stderr = clitest.Run(resyncblocks.Tool(), "--check", "--end-height", "50", "--db-path", path, "--bitcoin-rpc", url)
	require.Equal(t, exit.Wrong, code)
	require.Equal(t, "Heights 1 to 50 of main: 0 equal, 0 different, 9 missing, 41 belonging to other heights\n", stdout)
	require.Contains(t, stderr, "error: "+first+why)
	require.Contains(t, stderr, "error: "+second+why)
	require.Contains(t, stderr, repair)
	doc := document(t, exit.Wrong, "--check", "--db-path", path, "--bitcoin-rpc", url)
	require.Zero(t, doc.Differing)
	ranges := []map[string]int{{"from": 1, "to": 2, "chain_from": 19_970, "chain_to": 19_971}, {"from": 3, "to": 41, "chain_from": 19_933, "chain_to": 19_971}}
	require.Equal(t, ranges, doc.Counted)

	// Nothing is written on top of them.
	for _, args := range [][]string{{}, {"--dry-run"}, {"--start-height", "30", "--max-reorg-depth", "100000"}} {
		code, _, stderr = clitest.Run(resyncblocks.Tool(), append(args, "--db-path", path, "--bitcoin-rpc", url)...)
		require.Equal(t, exit.Wrong, code, args)
		require.Contains(t, stderr, "is at height")
		require.Contains(t, stderr, repair)
		require.NotContains(t, stderr, "network")
	}
	require.Equal(t, before, reorgtest.Records(t, path))

	doc = document(t, exit.OK, "--repair-heights", "--dry-run", "--db-path", path, "--bitcoin-rpc", url)
	require.Equal(t, ranges, doc.Counted)
	require.Equal(t, 39, doc.Moved)
	require.Equal(t, before, reorgtest.Records(t, path))
	code, stdout, stderr = clitest.Run(resyncblocks.Tool(), "--repair-heights", "--db-path", path, "--bitcoin-rpc", url)
	require.Equal(t, exit.OK, code, stderr)
	require.Contains(t, stdout, second)
	require.Contains(t, stdout, "39 hash(es) moved, 2 already there, 0 left to a resync, 0 no longer in the chain\n")
	require.Contains(t, stderr, "ailee_resync_blocks --anchors --db-path")
	require.Equal(t, want, reorgtest.Records(t, path), "anchors, events and the counter are as they were")

	clitest.RunTool(t, exit.OK, reorgverify.Tool(), "--db-path", path, "--bitcoin-rpc", url)
	code, stdout, _ = clitest.Run(resyncblocks.Tool(), "--repair-heights", "--db-path", path, "--bitcoin-rpc", url)
	require.Equal(t, exit.OK, code)
	require.Equal(t, "No stored height is a block count: nothing to move\n", stdout)
	clitest.RunTool(t, exit.OK, resyncblocks.Tool(), "--db-path", path, "--bitcoin-rpc", url)
}

func TestRepairHeights(t *testing.T) {
	const tip = 6000
	for _, test := range []struct {
		name    string
		heights map[int64]int64                // what is stored at a height is the block of another height
		reorg   func(chain *bitcointest.Chain) // after the database was made
		want    map[int64]int64                // the same, afterwards; -1 for one that is no longer in the chain
		doc     [4]int                         // moved, already there, left, no longer in the chain
		ranges  int
	}{
		{name: "one block", heights: map[int64]int64{1: 5000}, want: map[int64]int64{5000: 5000}, doc: [4]int{1, 0, 0, 0}, ranges: 1},
		{name: "blocks that it missed", heights: row(row(map[int64]int64{}, 1, 10, 5000), 11, 20, 5050),
			want: row(row(map[int64]int64{}, 5000, 5009, 5000), 5050, 5059, 5050), doc: [4]int{20, 0, 0, 0}, ranges: 2},
		{name: "more than are asked for at a time", heights: row(map[int64]int64{}, 1, 2500, 3000), want: row(map[int64]int64{}, 3000, 5499, 3000), doc: [4]int{2500, 0, 0, 0}, ranges: 1},
		{name: "beside right ones", heights: row(row(map[int64]int64{}, 1, 10, 5000), 4000, 4100, 4000),
			want: row(row(map[int64]int64{}, 5000, 5009, 5000), 4000, 4100, 4000), doc: [4]int{10, 0, 0, 0}, ranges: 1},
		{name: "some are there already", heights: row(row(map[int64]int64{}, 1, 10, 5000), 5005, 5100, 5005),
			want: row(map[int64]int64{}, 5000, 5100, 5000), doc: [4]int{5, 5, 0, 0}, ranges: 1},
		{name: "another hash is there", heights: row(map[int64]int64{5003: 100}, 1, 10, 5000),
			want: map[int64]int64{5000: 5000, 5001: 5001, 5002: 5002, 5003: 100, 5004: 5004, 5005: 5005, 5006: 5006, 5007: 5007, 5008: 5008, 5009: 5009}, doc: [4]int{9, 0, 1, 0}, ranges: 1},
		{name: "one block twice", heights: row(row(map[int64]int64{}, 1, 3, 5002), 4, 6, 5000), want: row(map[int64]int64{}, 5000, 5004, 5000), doc: [4]int{5, 1, 0, 0}, ranges: 2},
		{name: "their heights are counts as well", heights: row(map[int64]int64{}, 1, 40, 21), want: row(map[int64]int64{}, 21, 60, 21), doc: [4]int{40, 0, 0, 0}, ranges: 1},
		{name: "the last are no longer in the chain", heights: row(map[int64]int64{}, 1, 10, 5991), reorg: func(chain *bitcointest.Chain) { chain.Reorganise(5998, tip) },
			want: row(map[int64]int64{}, 5991, 5997, 5991), doc: [4]int{7, 0, 0, 3}, ranges: 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			chain := bitcointest.NewChain(tip)
			path := listened(t, chain, test.heights)
			want := reorgtest.Records(t, path)
			for count := range test.heights {
				delete(want, storedKey(count))
			}
			for height, block := range test.want {
				want[storedKey(height)] = chain.Hash(block)
			}
			if test.reorg != nil {
				test.reorg(chain)
			}
			url := chain.Serve(t)
			code, _, stderr := clitest.Run(reorgverify.Tool(), "--db-path", path, "--bitcoin-rpc", url)
			require.Equal(t, exit.Wrong, code, stderr)
			require.Contains(t, stderr, "--repair-heights")
			for _, args := range [][]string{{"--repair-heights", "--dry-run"}, {"--repair-heights"}} {
				doc := document(t, exit.OK, append(args, "--db-path", path, "--bitcoin-rpc", url)...)
				require.Equal(t, test.doc, [4]int{doc.Moved, doc.Present, doc.Other, doc.Removed})
				require.Len(t, doc.Counted, test.ranges)
			}
			require.Equal(t, want, reorgtest.Records(t, path))
			require.Zero(t, document(t, exit.OK, "--repair-heights", "--db-path", path, "--bitcoin-rpc", url).Moved)
		})
	}
}

// TestOtherNetworksAreNoCounts: hashes that the Bitcoin node does not know, a reorg, and
// values that are not hashes are named as before, and not touched.
func TestOtherNetworksAreNoCounts(t *testing.T) {
	chain := bitcointest.NewChain(6000)
	stale := bitcointest.NewChain(6000)
	stale.Reorganise(1, 6000)
	path := listened(t, stale, row(map[int64]int64{}, 1, 40, 5000))
	before := reorgtest.Records(t, path)
	url := chain.Serve(t)
	doc := document(t, exit.OK, "--repair-heights", "--db-path", path, "--bitcoin-rpc", url)
	require.Empty(t, doc.Counted)
	code, stdout, stderr := clitest.Run(resyncblocks.Tool(), "--repair-heights", "--db-path", path, "--bitcoin-rpc", url)
	require.Equal(t, exit.OK, code)
	require.Equal(t, "No stored height is a block count: nothing to move\n", stdout)
	require.Contains(t, stderr, "40 other stored hash(es) are not the chain's")
	require.Equal(t, 40, document(t, exit.Wrong, "--check", "--db-path", path, "--bitcoin-rpc", url).Differing)
	code, _, stderr = clitest.Run(resyncblocks.Tool(), "--db-path", path, "--bitcoin-rpc", url)
	require.Equal(t, exit.Wrong, code)
	require.Contains(t, stderr, "another network")
	code, _, stderr = clitest.Run(reorgverify.Tool(), "--db-path", path, "--bitcoin-rpc", url)
	require.Equal(t, exit.Wrong, code)
	require.Contains(t, stderr, "check that --bitcoin-rpc is a node on the network of the AILEE node")
	require.Equal(t, before, reorgtest.Records(t, path))

	// One block at the height of another, but at a height where counts begin.
	path = listened(t, chain, row(map[int64]int64{50: 51}, 100, 104, 100))
	require.Equal(t, 1, document(t, exit.Wrong, "--check", "--db-path", path, "--bitcoin-rpc", url).Differing)

	// A reorg below the tip.
	path = listened(t, chain, row(map[int64]int64{}, 5900, 6000, 5900))
	chain.Reorganise(5998, 6001)
	require.Equal(t, 3, document(t, exit.Wrong, "--check", "--db-path", path, "--bitcoin-rpc", url).Differing)
	require.Empty(t, document(t, exit.OK, "--repair-heights", "--db-path", path, "--bitcoin-rpc", url).Counted)
}
