package monitor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/backup"
	"ailee-recovery/internal/command/initnode"
	"ailee-recovery/internal/command/monitor"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// TestMain puts all folders in memory: no test here is about the disk.
func TestMain(m *testing.M) {
	_ = os.Setenv("TMPDIR", clitest.Memory())
	clitest.Main(m, reorgtest.Programs, monitor.Tool(), backup.Tool(), initnode.Tool(), prunesnapshots.Tool())
}

func TestUsageErrors(t *testing.T) { clitest.UsageErrors(t, monitor.Tool()) }

func TestScripts(t *testing.T) { reorgtest.Scripts(t) }

// start is the time of the latest snapshot and of the first backup in most tests.
var start = time.Date(2025, time.February, 15, 0, 0, 0, 0, time.UTC)

// runTool runs a tool in this process, with the clock at a given time.
func runTool(now time.Time, tool cli.Tool, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = cli.Execute(context.Background(), tool, append([]string{tool.Name}, args...),
		cli.Streams{Out: &out, Err: &errs, Now: func() time.Time { return now }})
	if err := clitest.Record(tool.Name, args, out.String()); err != nil {
		panic(err)
	}
	return code, out.String(), errs.String()
}

// watch runs the monitor with the clock at a given time.
func watch(now time.Time, args ...string) (code int, stdout, stderr string) {
	return runTool(now, monitor.Tool(), args...)
}

// quiet asserts that a tool succeeded and printed nothing.
func quiet(t *testing.T, now time.Time, tool cli.Tool, args ...string) {
	t.Helper()
	code, stdout, stderr := runTool(now, tool, args...)
	require.Zero(t, code, "%s%s", stdout, stderr)
	require.Empty(t, stdout+stderr)
}

// appendAt appends a snapshot with a given time.
func appendAt(t *testing.T, dir string, at time.Time) {
	t.Helper()
	st := snapshot.State{TimestampMs: uint64(at.UnixMilli())}
	st.Anchor = snapshot.NewAnchor(snapshot.Root(&st), st.TimestampMs, "m")
	f, err := os.OpenFile(filepath.Join(dir, "l2_snapshots.dat"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	require.NoError(t, errors.Join(snapshot.Encode(f, &st), f.Close()))
}

// update changes the database of a node.
func update(t *testing.T, dir string, change func(u *reorgdb.Update)) {
	t.Helper()
	db, err := reorgdb.Open(filepath.Join(dir, "reorg_db"))
	require.NoError(t, err)
	require.NoError(t, db.Update(func(u *reorgdb.Update) error {
		change(u)
		return nil
	}))
	require.NoError(t, db.Close())
}

// putAnchors records n anchors that have been pending since a given time.
func putAnchors(t *testing.T, dir string, n int, since time.Time) {
	t.Helper()
	update(t, dir, func(u *reorgdb.Update) {
		for i := range n {
			hash := fmt.Sprintf("%064x", since.Unix()<<8+int64(i))
			require.NoError(t, u.Anchor(reorgdb.Anchor{Hash: hash, BitcoinTxID: hash, BroadcastTime: uint64(since.UnixMilli()), Status: reorgdb.Pending, L2StateRoot: hash}))
		}
	})
}

// watched returns a data directory that gives no alarms at the time start.
func watched(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ailee")
	clitest.RunTool(t, 0, initnode.Tool(), "--data-dir", dir)
	require.NoError(t, os.Truncate(filepath.Join(dir, "l2_snapshots.dat"), 0))
	appendAt(t, dir, start)
	age(t, dir)
	quiet(t, start, backup.Tool(), "--data-dir", dir)
	quiet(t, start, monitor.Tool(), "--data-dir", dir)
	return dir
}

// age sets the snapshot file's modification time to that of its latest snapshot.
func age(t *testing.T, dir string) {
	t.Helper()
	require.NoError(t, os.Chtimes(filepath.Join(dir, "l2_snapshots.dat"), start, start))
}

// document holds the parts of the JSON output that tests read.
type document struct {
	Alarms []struct {
		Alarm    string
		Priority int
		Message  string
		Hint     string
	}
	Facts   []struct{ Code, State, Text string }
	Metrics map[string]json.RawMessage
	State   struct {
		File  string
		Runs  int
		Begun string
	}
	Warnings, Errors []struct{ Message, Hint string }
	ExitCode         int `json:"exit_code"`
}

// codes returns the codes of the alarms in order, each once.
func (d document) codes() []string {
	list := []string{}
	for _, a := range d.Alarms {
		if len(list) == 0 || list[len(list)-1] != a.Alarm {
			list = append(list, a.Alarm)
		}
	}
	return list
}

func parsed(t *testing.T, stdout string) (d document) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(stdout), &d), stdout)
	return d
}

// putBlock records a block hash.
func putBlock(t *testing.T, dir string) {
	t.Helper()
	update(t, dir, func(u *reorgdb.Update) {
		require.NoError(t, u.Put(reorgdb.DefaultFamily, fmt.Appendf(nil, "block:%020d", 847000), []byte(strings.Repeat("a", 64))))
	})
}
