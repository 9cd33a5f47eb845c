package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/initnode"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// appendAt appends a snapshot of the given time in Unix seconds.
func appendAt(t *testing.T, dir string, at int64) {
	t.Helper()
	st := snapshot.State{TimestampMs: uint64(at) * 1000}
	st.Anchor = snapshot.NewAnchor(snapshot.Root(&st), st.TimestampMs, "m")
	f, err := os.OpenFile(filepath.Join(dir, "l2_snapshots.dat"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	require.NoError(t, errors.Join(snapshot.Encode(f, &st), f.Close()))
}

// putAnchors records n anchors that are pending since the given time.
func putAnchors(t *testing.T, dir string, n int, since time.Time) {
	t.Helper()
	db, err := reorgdb.Open(filepath.Join(dir, "reorg_db"))
	require.NoError(t, err)
	require.NoError(t, db.Update(func(u *reorgdb.Update) error {
		for i := range n {
			hash := fmt.Sprintf("%064x", since.Unix()<<8+int64(i))
			require.NoError(t, u.Anchor(reorgdb.Anchor{Hash: hash, BitcoinTxID: hash, BroadcastTime: uint64(since.UnixMilli()), Status: reorgdb.Pending, L2StateRoot: hash}))
		}
		return nil
	}))
	require.NoError(t, db.Close())
}

// watched is a data directory of which there is nothing to say at the time start.
func watched(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ailee")
	clitest.RunTool(t, exit.OK, initnode.Tool(), "--data-dir", dir)
	appendAt(t, dir, start)
	quiet(t, start, "ailee-backup", "--data-dir", dir)
	quiet(t, start, "ailee-monitor", "--data-dir", dir)
	return dir
}

// grow puts n bytes in front of the snapshots, which are none of a snapshot.
func grow(t *testing.T, dir string, n int64) {
	t.Helper()
	path := filepath.Join(dir, "l2_snapshots.dat")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	f, err := os.Create(path)
	require.NoError(t, err)
	_, err = f.WriteAt(append([]byte("\n"), data...), n-1)
	require.NoError(t, errors.Join(err, f.Close()))
}

// TestMonitorThresholds: each limit, on both sides.
func TestMonitorThresholds(t *testing.T) {
	clitest.InMemory(t)
	const hour = 3600
	for i, c := range []struct {
		name  string
		spoil func(t *testing.T, dir string)
		now   int64
		args  string
		code  int
		says  []string // one pattern for each warning or error
	}{
		{"file of just 1 MB", func(t *testing.T, dir string) {
			grow(t, dir, 1<<20-clitest.FileSize(t, filepath.Join(dir, "l2_snapshots.dat")))
		}, 0, "--max-snapshot-size 1", 0, nil},
		{"file of 1 MB and a byte", func(t *testing.T, dir string) {
			grow(t, dir, 1<<20-clitest.FileSize(t, filepath.Join(dir, "l2_snapshots.dat"))+1)
		}, 0, "--max-snapshot-size 1", 2, []string{`l2_snapshots.dat is 2 MB, more than 1 MB: consider pruning`}},
		{"the guide's limit of the file", func(t *testing.T, dir string) { grow(t, dir, 5000<<20) },
			0, "", 2, []string{`l2_snapshots.dat is 5001 MB, more than 5000 MB: consider pruning`}},
		{"database", nil, 0, "--max-db-size 1", 0, nil},
		{"large database", nil, 0, "--max-db-size 0", 2, []string{`reorg_db is 1 MB, more than 0 MB: consider pruning`}},
		{"growth", func(t *testing.T, dir string) { grow(t, dir, 2<<20) }, 0, "--max-growth 2", 0, nil},
		{"large growth", func(t *testing.T, dir string) { grow(t, dir, 2<<20+1) }, 0, "--max-growth 2", 2,
			[]string{`l2_snapshots.dat grew by 3 MB since the last run, more than 2 MB`}},
		{"growth of the database", func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "reorg_db", "LOG.old.1"), make([]byte, 1<<20), 0o600))
		}, 0, "--max-growth 2", 0, nil},
		{"large growth of the database", func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "reorg_db", "LOG.old.1"), make([]byte, 2<<20+4096), 0o600))
		}, 0, "--max-growth 2", 2, []string{`reorg_db grew by 3 MB since the last run, more than 2 MB`}},
		{"snapshot of a time to come", nil, -hour, "--max-backup-age 100", 0, nil},
		{"snapshot and backups of a time to come", nil, -hour - 1, "", 2, []string{`the latest snapshot in .* is from a time to come`,
			`/l2_snapshots_20250215_000000.dat.bak is from a time to come`, `has no backup of the snapshots`,
			`/reorg_db_20250215_000000.tar.gz is from a time to come`, `has no backup of the database`}},
		{"older backups, and one of a time to come", func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "backups", "l2_snapshots_20990101_000000.dat.bak"), nil, 0o600))
		}, 3*hour + 1, "", 2, []string{`/l2_snapshots_20990101_000000.dat.bak is from a time to come`,
			`the newest backup of the snapshots, .*_20250215_000000.dat.bak, is 3 hours old`, `the newest backup of the database, .*, is 3 hours old`}},
		{"snapshot of a day ago", nil, 24 * hour, "--max-backup-age 100", 0, nil},
		{"older snapshot", nil, 24*hour + 1, "--max-backup-age 100", 2, []string{`the latest snapshot in .* is 24 hours old, more than 24`}},
		{"snapshot of a limit", nil, 2*hour + 1, "--max-snapshot-age 2", 2, []string{`the latest snapshot in .* is 2 hours old, more than 2`}},
		{"backups of three hours ago", nil, 3 * hour, "", 0, nil},
		{"older backups", nil, 3*hour + 1, "", 2, []string{`the newest backup of the snapshots, .*, is 3 hours old`, `the newest backup of the database, .*, is 3 hours old`}},
		{"no backups", func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(filepath.Join(dir, "backups"))) },
			0, "", 2, []string{`has no backup of the snapshots`, `has no backup of the database`}},
		{"torn tail", func(t *testing.T, dir string) {
			f, err := os.OpenFile(filepath.Join(dir, "l2_snapshots.dat"), os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.WriteString("SNAPSHOT v1\nbal")
			require.NoError(t, errors.Join(err, f.Close()))
		}, 0, "", 2, []string{`ends in an unfinished snapshot or line, at byte [0-9]+: .*\n.*hint: ailee_prune_snapshots --in-place --keep all`}},
		{"wrong root", func(t *testing.T, dir string) {
			path := filepath.Join(dir, "l2_snapshots.dat")
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			at := strings.LastIndex(string(data), "balances 0\n")
			require.NoError(t, os.WriteFile(path, []byte(string(data[:at])+"balance \"a\" 1\n"+string(data[at:])), 0o644))
		}, 0, "", 2, []string{`does not verify: state root mismatch\n.*hint: .* ailee_l2_verify --all`}},
		{"damaged database", func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "reorg_db", "CURRENT")))
		}, 0, "", 2, []string{`reorg_db does not verify: `}},
		{"pending", func(t *testing.T, dir string) { putAnchors(t, dir, 3, time.Now()) }, 0, "--max-pending 3", 0, nil},
		{"many pending", func(t *testing.T, dir string) { putAnchors(t, dir, 3, time.Now()) }, 0, "--max-pending 2", 2,
			[]string{`3 anchors are pending, more than 2\n.*hint: .*: ailee_reorg_show --db-path [^ ]*reorg_db anchors --status pending\n`}},
		{"orphaned", func(t *testing.T, dir string) { putAnchors(t, dir, 2, time.Now().Add(-2*time.Hour)) }, 0, "", 2,
			[]string{`2 pending anchors are orphaned, more than 0`}},
		{"orphaned within the limit", func(t *testing.T, dir string) { putAnchors(t, dir, 2, time.Now().Add(-2*time.Hour)) }, 0, "--max-orphaned 2", 0, nil},
		{"no snapshot file", func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "l2_snapshots.dat"))) },
			0, "", 1, []string{`l2_snapshots.dat cannot be read`}},
		{"no database", func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(filepath.Join(dir, "reorg_db"))) },
			0, "", 1, []string{`reorg_db is not a directory`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && i%3 > 0 {
				t.Skip("a sample is enough in short mode")
			}
			dir := watched(t)
			if c.spoil != nil {
				c.spoil(t, dir)
			}
			args := append([]string{"--data-dir", dir}, strings.Fields(c.args)...)
			code, stdout, stderr := runScript(t, start+c.now, "ailee-monitor", args...)
			require.Equal(t, c.code, code, stderr)
			require.Empty(t, stdout)
			for _, pattern := range c.says {
				require.Regexp(t, pattern, stderr)
			}
			require.Equal(t, len(c.says), strings.Count(stderr, ": warning: ")+strings.Count(stderr, ": error: "), stderr)
		})
	}
}

// TestMonitorBesideANode: what a node is just writing is no torn tail.
func TestMonitorBesideANode(t *testing.T) {
	t.Parallel()
	dir := watched(t)
	appending := exec.Command("appender", filepath.Join(dir, "l2_snapshots.dat"), "1", "1000000")
	require.NoError(t, appending.Start())
	defer func() { _ = appending.Process.Kill(); _ = appending.Wait() }()
	for range 5 {
		quiet(t, start, "ailee-monitor", "--data-dir", dir, "--max-snapshot-age", "1000000")
	}
}

// TestMonitorMetrics: the same numbers for Prometheus and as JSON, and a file that is
// never half written.
func TestMonitorMetrics(t *testing.T) {
	t.Parallel()
	dir := watched(t)
	putAnchors(t, dir, 2, time.Now())
	appendAt(t, dir, start+60)
	folder := t.TempDir()
	prom := filepath.Join(folder, "ailee.prom")
	code, stdout, stderr := runScript(t, start+120, "ailee-monitor", "--data-dir", dir, "--prometheus", prom, "--json")
	require.Zero(t, code, stderr)
	require.Empty(t, stderr)
	var doc struct {
		Metrics map[string]*int64 `json:"metrics"`
		Errors  []any             `json:"errors"`
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &doc))
	require.EqualValues(t, start+60, *doc.Metrics["snapshot_timestamp_seconds"])
	require.EqualValues(t, start, *doc.Metrics["snapshot_backup_timestamp_seconds"])
	require.EqualValues(t, clitest.FileSize(t, filepath.Join(dir, "l2_snapshots.dat")), *doc.Metrics["snapshot_file_bytes"])
	require.Positive(t, *doc.Metrics["snapshot_file_growth_bytes"])
	require.EqualValues(t, 2, *doc.Metrics["anchors_pending"])
	require.EqualValues(t, 1, *doc.Metrics["reorg_db_verified"])
	require.Empty(t, doc.Errors)
	text, err := os.ReadFile(prom)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	require.Len(t, lines, 3*len(doc.Metrics))
	for i := 0; i < len(lines); i += 3 {
		require.Regexp(t, `^# HELP ailee_[a-z_]+ [A-Z1].*\.$`, lines[i])
		require.Regexp(t, `^# TYPE ailee_[a-z_]+ gauge$`, lines[i+1])
		name, value, _ := strings.Cut(strings.TrimPrefix(lines[i+2], "ailee_"), " ")
		require.Equal(t, fmt.Sprint(*doc.Metrics[name]), value)
	}
	info, err := os.Stat(prom)
	require.NoError(t, err)
	require.EqualValues(t, 0o644, info.Mode().Perm(), "node_exporter is another user")
	require.Equal(t, []string{"ailee.prom"}, clitest.Names(t, folder))

	require.NoError(t, errors.Join(os.Remove(filepath.Join(dir, "l2_snapshots.dat")), os.RemoveAll(filepath.Join(dir, "reorg_db"))))
	code, _, _ = runScript(t, start+120, "ailee-monitor", "--data-dir", dir, "--prometheus", prom)
	require.Equal(t, 1, code)
	text, err = os.ReadFile(prom)
	require.NoError(t, err)
	require.Contains(t, string(text), "\nailee_snapshot_verified 0\n", "what is missing is to raise the alarm as well")
	require.Contains(t, string(text), "\nailee_reorg_db_verified 0\n")

	code, _, stderr = runScript(t, start+120, "ailee-monitor", "--data-dir", dir, "--prometheus", filepath.Join(folder, "missing", "ailee.prom"))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "ailee.prom cannot be written: ")
}
