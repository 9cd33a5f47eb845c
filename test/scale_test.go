package test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/backup"
	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/monitor"
	"ailee-recovery/internal/command/reorgshow"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/command/resyncblocks"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
)

// large is a database that is large in one way.
type large struct {
	name string
	// size is its size with make test, fullSize with make hostile.
	size, fullSize int
	make           func(t *testing.T, path string, size int)
	// damage forces the tools to read the files one by one, without RocksDB.
	damage func(t *testing.T, path string)
}

// anchorAt returns an anchor of a large database. All anchors have different states.
func anchorAt(i int) reorgdb.Anchor {
	digest := func(kind string) string {
		sum := sha256.Sum256(fmt.Append(nil, kind, i))
		return hex.EncodeToString(sum[:])
	}
	return reorgdb.Anchor{Hash: digest("anchor"), BitcoinTxID: digest("transaction"), BitcoinHeight: uint64(i), Confirmations: 6,
		BroadcastTime: 1739577600000, Status: reorgdb.Confirmed, L2StateRoot: digest("root")}
}

func anchorValue(a reorgdb.Anchor) string {
	return fmt.Sprintf("%s|%s|%d|%d|%d|%d|%d|%s", a.Hash, a.BitcoinTxID, a.BitcoinHeight, a.Confirmations, a.BroadcastTime, a.RetryCount, a.Status, a.L2StateRoot)
}

const largeBlocks, tableBlocks = 1000, 100

// largeChain has the blocks of all large databases.
var largeChain = bitcointest.NewChain(1_100_000)

func makeBlocks(t *testing.T, path string, more iter.Seq2[reorgdb.Record, error]) {
	t.Helper()
	db, err := reorgdb.Create(path)
	require.NoError(t, err)
	require.NoError(t, db.BulkLoad(reorgdb.DefaultFamily, func(yield func(reorgdb.Record, error) bool) {
		for height := range largeBlocks {
			if !yield(blockRecord(height), nil) {
				return
			}
		}
		for r, err := range more {
			if !yield(r, err) {
				return
			}
		}
	}))
	require.NoError(t, db.Sync())
	require.NoError(t, db.Close())
}

func blockRecord(height int) reorgdb.Record {
	return reorgdb.Record{Key: fmt.Appendf(nil, "block:%020d", height), Value: []byte(largeChain.Hash(int64(height)))}
}

func noRecords(func(reorgdb.Record, error) bool) {}

var larges = []large{
	{
		name: "edits", size: 1000, fullSize: 100_000,
		make: func(t *testing.T, path string, size int) {
			makeBlocks(t, path, noRecords)
			reorgtest.AddEdits(t, path, size)
		},
		damage: cutLastLog,
	},
	{
		name: "tables", size: 100, fullSize: 10_000,
		make: func(t *testing.T, path string, size int) {
			makeBlocks(t, path, noRecords)
			reorgtest.AddTables(t, path, size, func(table int) (records []string) {
				for i := range tableBlocks {
					r := blockRecord(largeBlocks + tableBlocks*table + i)
					records = append(records, string(r.Key), string(r.Value))
				}
				return records
			})
		},
		damage: cutLastLog,
	},
	{
		// In MiB: more than RocksDB is allowed to keep in memory.
		name: "log", size: 40, fullSize: 4 << 10,
		make: func(t *testing.T, path string, size int) {
			db, err := reorgdb.Create(path)
			require.NoError(t, err)
			require.NoError(t, db.Close())
			n := 0
			reorgtest.FillLog(t, path, int64(size)<<20, func() (key, value string) {
				n++
				if n <= largeBlocks {
					r := blockRecord(n - 1)
					return string(r.Key), string(r.Value)
				}
				// This is what a node writes as the confirmations of its anchors grow.
				a := anchorAt((n - largeBlocks - 1) % 1_000_000)
				a.Confirmations += uint64(n / 1_000_000)
				return string(reorgdb.AnchorKey(a.Hash)), anchorValue(a)
			})
		},
		damage: func(t *testing.T, path string) {
			logs, err := filepath.Glob(filepath.Join(path, "*.log"))
			require.NoError(t, err)
			require.NoError(t, os.Truncate(logs[0], clitest.FileSize(t, logs[0])-1))
		},
	},
	{
		name: "records", size: 1000, fullSize: 1_000_000,
		make: func(t *testing.T, path string, size int) {
			makeBlocks(t, path, func(yield func(reorgdb.Record, error) bool) {
				for i := range size {
					a := anchorAt(i)
					event := fmt.Appendf(nil, "%d|%s|%s|%d|1|%s", i, a.BitcoinTxID, a.L2StateRoot, 1739577600+i, a.Hash)
					if !yield(reorgdb.Record{Key: reorgdb.AnchorKey(a.Hash), Value: []byte(anchorValue(a))}, nil) ||
						!yield(reorgdb.Record{Key: reorgdb.EventKey(uint64(i)), Value: event}, nil) {
						return
					}
				}
				yield(reorgdb.Record{Key: []byte(reorgdb.CounterKey), Value: fmt.Append(nil, size)}, nil)
			})
		},
		damage: cutLastLog,
	},
}

// cutLastLog removes the log that every database has.
func cutLastLog(t *testing.T, path string) {
	logs, err := filepath.Glob(filepath.Join(path, "*.log"))
	require.NoError(t, err)
	require.NotEmpty(t, logs)
	require.NoError(t, os.Remove(logs[len(logs)-1]))
}

// paysOn serves a chain, and for all other calls a wallet that does not know its blocks.
func paysOn(t *testing.T, chain *bitcointest.Chain, wallet *bitcointest.Wallet) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if status, answer := chain.Answer(body); status != http.StatusNotFound {
			w.WriteHeader(status)
			_, _ = w.Write(answer)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		wallet.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	both, err := url.Parse(server.URL)
	require.NoError(t, err)
	login, err := url.Parse(wallet.LoginURL())
	require.NoError(t, err)
	both.User = login.User
	return both.String()
}

// TestScale: each command that uses a database takes a bounded amount of memory, however large the
// database is, and with make hostile also time in proportion.
func TestScale(t *testing.T) {
	clitest.SkipUnderRace(t)
	node := bitcointest.StartNode(t, false)
	node.Generate(110)
	wallet := paysOn(t, largeChain, bitcointest.NewWallet(t, node, "w"))
	chain := largeChain.Serve(t)
	t.Setenv("BITCOIN_RPC_USER", "u")
	t.Setenv("BITCOIN_RPC_PASSWORD", "p")
	for _, l := range larges {
		t.Run(l.name, func(t *testing.T) {
			sizes := []int{l.size}
			if clitest.Hostile() {
				sizes = []int{l.fullSize / 10, l.fullSize}
			}
			var took [2]map[string]time.Duration // by command
			for i, size := range sizes {
				took[i] = map[string]time.Duration{}
				l.try(t, size, chain, wallet, took[i])
			}
			for name, small := range took[0] {
				if large, ok := took[1][name]; ok {
					// Both include the time that a process takes to start.
					require.Less(t, large, 15*(small+100*time.Millisecond), name)
				}
			}
		})
	}
}

// TestMonitorMemory: the monitor checks as much data as a node has in 64 MiB, and a hundred times as
// much in little more. The long form measures the tool itself: the tests' own binary, which has all
// tools, takes 10 MiB more.
func TestMonitorMemory(t *testing.T) {
	clitest.SkipUnderRace(t)
	clitest.InMemory(t)
	records, count, program := 10_000, 20_000, monitor.Name
	if testing.Short() {
		count = 2000
	} else {
		program = filepath.Join(t.TempDir(), monitor.Name)
		said, err := exec.Command("go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", program, "../cmd/"+monitor.Name).CombinedOutput()
		require.NoError(t, err, string(said))
	}
	limit := int64(64 << 20)
	if clitest.Hostile() {
		records, count, limit = 1_000_000, 500_000, 96<<20
	}
	dir := t.TempDir()
	larges[len(larges)-1].make(t, filepath.Join(dir, "reorg_db"), records)
	f, err := os.Create(filepath.Join(dir, "l2_snapshots.dat"))
	require.NoError(t, err)
	defer f.Close()
	text := clitest.Numbered(7)
	for range count {
		_, err := f.WriteString(text)
		require.NoError(t, err)
	}
	for range 2 {
		clitest.RunProcess(t, exit.OK, backup.Name, "--data-dir", dir, "--compress", "zstd")
	}
	m := measure(t, program, "--data-dir", dir, "--max-snapshot-age", "1000000")
	require.Zero(t, m.code, m.stderr)
	t.Logf("%d snapshots, %d anchors: %.2f s, %d MiB", count, records, m.took.Seconds(), m.peak>>20)
	require.Less(t, m.peak, limit)
}

func (l large) blockCount(size int) int {
	if l.name == "tables" {
		return largeBlocks + tableBlocks*size
	}
	return largeBlocks
}

func (l large) try(t *testing.T, size int, chain, wallet string, took map[string]time.Duration) {
	dir, err := os.MkdirTemp("", "scale-")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	db := filepath.Join(dir, "reorg_db")
	l.make(t, db, size)
	run := func(name string, want int, args ...string) {
		t.Helper()
		m := measure(t, args...)
		require.Equal(t, want, m.code, "%s: %s", name, m.stderr)
		took[name] = m.cpu
		t.Logf("%d %s: %s: %.2f s, %.2f s of processor time, %d MiB", size, l.name, name, m.took.Seconds(), m.cpu.Seconds(), m.peak>>20)
		require.Less(t, m.peak, int64(128<<20), name)
	}
	run("verify", exit.OK, reorgverify.Name, "--db-path", db)
	run("show anchors", exit.OK, reorgshow.Name, "--db-path", db, "anchors")
	run("show an anchor", l.withAnchors(exit.OK, exit.Failed), reorgshow.Name, "--db-path", db, "anchor", anchorAt(0).Hash)
	run("show events", exit.OK, reorgshow.Name, "--db-path", db, "events")
	run("show the last events", exit.OK, reorgshow.Name, "--db-path", db, "events", "--last", "3")
	run("show families", exit.OK, reorgshow.Name, "--db-path", db, "families")
	run("compare", exit.OK, resyncblocks.Name, "--check", "--db-path", db, "--bitcoin-rpc", chain, "--end-height", fmt.Sprint(l.blockCount(size)-1))
	run("copy", exit.OK, initreorgdb.Name, "--copy-from", db, "--path", filepath.Join(dir, "copy"))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "copy")))
	state := clitest.StateFile(t, 1, 5)
	run("anchor", exit.OK, createanchor.Name, "--broadcast", "--dry-run", "--yes", "--fee-rate", "10", "--l2-state-file", state, "--output", filepath.Join(dir, "anchored"),
		"--db-path", db, "--bitcoin-rpc", wallet, "--wallet", "w")
	run("anchor and record", exit.OK, createanchor.Name, "--broadcast", "--yes", "--fee-rate", "10", "--l2-state-file", state, "--output", filepath.Join(dir, "anchored"),
		"--db-path", db, "--bitcoin-rpc", wallet, "--wallet", "w")
	run("resync", exit.OK, resyncblocks.Name, "--db-path", db, "--bitcoin-rpc", chain, "--end-height", fmt.Sprint(l.blockCount(size)+99))
	require.NoError(t, os.RemoveAll(db))
	l.make(t, db, size)
	l.damage(t, db)
	run("verify a damaged one", exit.Wrong, reorgverify.Name, "--db-path", db)
	run("copy a damaged one", exit.Wrong, initreorgdb.Name, "--copy-from", db, "--path", filepath.Join(dir, "copy"))
}

func (l large) withAnchors(with, without int) int {
	if l.name == "log" || l.name == "records" {
		return with
	}
	return without
}
