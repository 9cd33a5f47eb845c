package test

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/internal/command/extractsnapshots"
	"ailee-recovery/internal/command/getsnapshotblock"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/internal/command/reorgshow"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/command/resyncblocks"
	"ailee-recovery/internal/exit"
)

// TestLoadResyncBesideAReader fills a database while another process reads it over and over:
// the reader always sees the start of the chain without a gap.
func TestLoadResyncBesideAReader(t *testing.T) {
	clitest.InMemory(t)
	heights := int64(60_000)
	if clitest.UnderLoad() {
		heights = 900_000
	}
	chain := bitcointest.NewChain(heights - 1)
	server := httptest.NewServer(chain)
	defer server.Close()
	t.Setenv("BITCOIN_RPC_USER", "u")
	t.Setenv("BITCOIN_RPC_PASSWORD", "p")
	db := filepath.Join(t.TempDir(), "db")
	clitest.RunTool(t, exit.OK, initreorgdb.Tool(), "--path", db)
	filling := exec.Command(resyncblocks.Name, "--db-path", db, "--bitcoin-rpc", server.URL)
	began := time.Now()
	require.NoError(t, filling.Start())
	var filled atomic.Bool
	var fillErr error
	ended := make(chan struct{})
	go func() {
		fillErr = filling.Wait()
		filled.Store(true)
		close(ended)
	}()
	reads := 0
	for !filled.Load() {
		code, stdout, stderr := outcomeOf(reorgverify.Name, "--db-path", db)
		require.Zero(t, code, "%s%s", stdout, stderr)
		reads++
	}
	<-ended
	require.NoError(t, fillErr)
	took := time.Since(began)
	code, stdout, _ := outcomeOf(reorgverify.Name, "--db-path", db)
	require.Zero(t, code)
	require.Contains(t, stdout, fmt.Sprintf("Blocks: %d, heights 0 to %d without a gap", heights, heights-1))
	t.Logf("%d heights in %.1f s during %d reads", heights, took.Seconds(), reads)
}

// outcomeOf runs a command as a process.
func outcomeOf(name string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// TestLoadPruning prunes in place over and over while another process appends without a pause.
// After each run the snapshots follow one another, and those of the run before: none is lost,
// duplicated or out of order.
func TestLoadPruning(t *testing.T) {
	clitest.InMemory(t)
	swaps := 8
	switch {
	case clitest.UnderLoad():
		swaps = 1000
	case testing.Short():
		swaps = 2
	}
	const keep = 20_000 // usually more than is appended during one run
	path := clitest.History(t, keep)
	appending := exec.Command("appender", path, fmt.Sprint(keep+1), "1000000000")
	require.NoError(t, appending.Start())
	t.Cleanup(func() { _ = appending.Process.Kill(); _ = appending.Wait() })
	last, appended, refused := uint64(keep), 0, 0
	began := time.Now()
	for done := 0; done < swaps; {
		code, stdout, stderr := clitest.Run(prunesnapshots.Tool(), "--watch=20ms", "--file", path, "--keep", fmt.Sprint(keep), "--in-place")
		if strings.Contains(stderr, "writers come too often") {
			refused++ // the machine is too busy: the prune gives up before it replaces anything
			require.Less(t, refused, 10+swaps, "%s", stderr)
		} else {
			require.Zero(t, code, "%s%s", stdout, stderr)
			done++
		}
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		first, next := timesIn(t, data)
		require.LessOrEqual(t, first, max(last+1, next-keep))
		require.GreaterOrEqual(t, next-1, last)
		appended += int(next - 1 - last)
		last = next - 1
	}
	took := time.Since(began)
	_ = appending.Process.Kill()
	_ = appending.Wait()
	require.Positive(t, appended)
	clitest.RunTool(t, exit.OK, prunesnapshots.Tool(), "--file", path, "--keep", "100", "--in-place")
	require.Len(t, clitest.Times(t, path), 100)
	t.Logf("%d runs in %.1f s, and %d that gave up, %d snapshots appended", swaps, took.Seconds(), refused, appended)
}

// timesIn returns the time of the first complete snapshot, and the one that would follow the
// last. Each must follow the one before.
func timesIn(t *testing.T, data []byte) (first, next uint64) {
	t.Helper()
	for part := range bytes.SplitAfterSeq(data, []byte("\nEND_SNAPSHOT\n")) {
		line, _, _ := bytes.Cut(bytes.TrimPrefix(part, []byte("SNAPSHOT v1\ntimestamp_ms ")), []byte("\n"))
		if !bytes.HasSuffix(part, []byte("\nEND_SNAPSHOT\n")) {
			break // being written
		}
		ms, err := strconv.ParseUint(string(line), 10, 64)
		require.NoError(t, err, "bytes between snapshots")
		if first == 0 {
			first, next = ms, ms
		}
		require.Equal(t, next, ms)
		next++
	}
	return first, next
}

// TestLoadTenAtOnce runs ten tools at once on one data directory, again and again, while a
// process appends: each succeeds or says which process is in its way.
func TestLoadTenAtOnce(t *testing.T) {
	clitest.InMemory(t)
	rounds := 2
	if clitest.UnderLoad() {
		rounds = 50
	}
	dir := nodeDir(t, 50)
	f, db := filepath.Join(dir, "l2_snapshots.dat"), filepath.Join(dir, "reorg_db")
	next := 51
	outcomes := map[int]int{}
	for round := range rounds {
		out := filepath.Join(t.TempDir(), fmt.Sprint(round))
		require.NoError(t, os.Mkdir(out, 0o755))
		appending := exec.Command("appender", f, fmt.Sprint(next), "20")
		next += 20
		require.NoError(t, appending.Start())
		var all sync.WaitGroup
		var mu sync.Mutex
		for _, args := range [][]string{
			{l2verify.Name, "--snapshot", f}, {l2verify.Name, "--all", "--snapshot", f}, {extractsnapshots.Name, f, filepath.Join(out, "a")},
			{extractsnapshots.Name, f, filepath.Join(out, "a")}, {prunesnapshots.Name, "--file", f, "--keep", "100000", "--in-place"},
			{prunesnapshots.Name, "--file", f, "--keep", "5", "--output", filepath.Join(out, "p")}, {createanchor.Name, "--l2-state-file", f, "--output", filepath.Join(out, "s")},
			{reorgverify.Name, "--db-path", db}, {reorgshow.Name, "--db-path", db, "anchors"}, {initreorgdb.Name, "--path", filepath.Join(out, "db"), "--copy-from", db}, {getsnapshotblock.Name, f},
		} {
			all.Add(1)
			go func() {
				defer all.Done()
				code, stdout, stderr := outcomeOf(args[0], args[1:]...)
				mu.Lock()
				defer mu.Unlock()
				outcomes[code]++
				// May fail: one of the two that extract to the same folder, and the one that looks
				// for a height that no source has.
				if args[0] != extractsnapshots.Name && args[0] != getsnapshotblock.Name && code != exit.OK {
					t.Errorf("%q: %d %s%s", args, code, stdout, stderr)
				}
			}()
		}
		all.Wait()
		require.NoError(t, appending.Wait())
	}
	clitest.RunTool(t, exit.OK, prunesnapshots.Tool(), "--file", f, "--keep", "all", "--in-place")
	all := clitest.Times(t, f)
	require.Len(t, all, next-1)
	for i, ms := range all {
		require.EqualValues(t, i+1, ms)
	}
	require.Equal(t, []string{"l2_snapshots.dat", "reorg_db"}, clitest.Names(t, dir))
	t.Logf("%v", outcomes)
}

// TestLoadDay is a day of cron in minutes: a backup each hour and a check of the node each day,
// while the node keeps appending.
func TestLoadDay(t *testing.T) {
	clitest.InMemory(t)
	hours := 3
	if clitest.UnderLoad() {
		hours = 24
	}
	dir := nodeDir(t, 3)
	backups := filepath.Join(t.TempDir(), "backups")
	require.NoError(t, os.Mkdir(backups, 0o700))
	began := time.Now()
	for hour := range hours {
		now := int64(start + hour*3600)
		_, err := clitest.AppendAnchored(filepath.Join(dir, "l2_snapshots.dat"), uint64(now)*1000, "m")
		require.NoError(t, err)
		quiet(t, now, "ailee-backup", "--data-dir", dir, "--backup-dir", backups, "--keep", "24")
		if hour%24 == hours-1 {
			code, stdout, stderr := runAt(t, now, "ailee-monitor", "--data-dir", dir, "--backup-dir", backups)
			require.Contains(t, []int{exit.OK, exit.Wrong}, code, "%s%s", stdout, stderr)
		}
	}
	took := time.Since(began)
	require.Equal(t, 2*hours+1, requireRestorable(t, backups))
	t.Logf("%d hours in %.1f s", hours, took.Seconds())
}
