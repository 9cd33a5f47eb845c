package monitor_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/backup"
	"ailee-recovery/internal/command/initnode"
	"ailee-recovery/internal/command/monitor"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/internal/golden"
	"ailee-recovery/reorgdb"
)

// TestBesideANode: a snapshot that a node is writing is not a torn tail, and the node's open
// database is not a problem.
func TestBesideANode(t *testing.T) {
	dir := watched(t)
	stop, err := reorgtest.StartNode(filepath.Join(dir, "reorg_db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, stop()) }()
	file := filepath.Join(dir, "l2_snapshots.dat")
	before := clitest.FileSize(t, file)
	appending := exec.Command("appender", file, "1", "1000000", "1ms")
	require.NoError(t, appending.Start())
	defer func() { _ = appending.Process.Kill(); _ = appending.Wait() }()
	clitest.WaitFor(t, appending, func() bool { return clitest.FileSize(t, file) > before })
	for range 3 {
		quiet(t, start, monitor.Tool(), "--data-dir", dir, "--max-snapshot-age", "1000000", "--max-orphaned", "1000")
	}
}

// TestLeftoverOfAPrune: what a killed prune left is reported until the prune is completed, but not
// while a prune is running.
func TestLeftoverOfAPrune(t *testing.T) {
	dir := watched(t)
	file := filepath.Join(dir, "l2_snapshots.dat")
	left(2*time.Hour)(t, dir)
	found, err := filepath.Glob(filepath.Join(dir, ".l2_snapshots.dat.ailee-old-*"))
	require.NoError(t, err)
	for range 2 {
		code, _, stderr := watch(start, "--data-dir", dir)
		require.Equal(t, 2, code)
		require.Equal(t, "ailee-monitor: warning: an earlier prune was killed and left "+found[0]+"\n"+
			"ailee-monitor: hint: ailee-doctor --data-dir "+dir+"\n", stderr)
	}
	// A running prune has locked it.
	running, err := os.Open(found[0])
	require.NoError(t, err)
	require.NoError(t, unix.Flock(int(running.Fd()), unix.LOCK_EX))
	quiet(t, start, monitor.Tool(), "--data-dir", dir)
	require.NoError(t, running.Close())

	clitest.RunTool(t, 0, prunesnapshots.Tool(), "--in-place", "--keep", "all", "--file", file)
	_, _, stderr := watch(start, "--data-dir", dir)
	require.NotContains(t, stderr, "an earlier prune")
}

// TestQuiet: with --quiet, alarms and errors are printed, but hints and other warnings are not.
func TestQuiet(t *testing.T) {
	dir := watched(t)
	state := filepath.Join(dir, monitor.StateName)
	require.NoError(t, os.WriteFile(state, []byte("5 7\n"), 0o600))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "reorg_db")))
	code, stdout, stderr := watch(start, "--quiet", "--data-dir", dir)
	require.Equal(t, 2, code)
	require.Equal(t, "ailee-monitor: warning: there is no "+dir+"/reorg_db\n", stderr)
	require.Empty(t, stdout)
	require.NoError(t, os.WriteFile(state, []byte("5 7\n"), 0o600))
	_, _, stderr = watch(start, "--data-dir", dir)
	require.Equal(t, "ailee-monitor: warning: "+state+" is started over: it is damaged: growth and lost counts are noticed from now on\n"+
		"ailee-monitor: warning: there is no "+dir+"/reorg_db\nailee-monitor: hint: ailee-doctor --data-dir "+dir+"\n", stderr)
}

// TestNoDirectory: without a data directory nothing is checked, and nothing is written there.
func TestNoDirectory(t *testing.T) {
	none, prom := filepath.Join(t.TempDir(), "none"), filepath.Join(t.TempDir(), "p.prom")
	code, stdout, stderr := watch(start, "--json", "--data-dir", none, "--prometheus", prom)
	require.Equal(t, 1, code)
	require.Equal(t, 1, parsed(t, stdout).ExitCode)
	require.Empty(t, parsed(t, stdout).Alarms)
	require.Equal(t, "ailee-monitor: error: there is no folder "+none+"\n"+
		"ailee-monitor: hint: mount its disk, or name the data directory of the node with --data-dir\n", stderr)
	require.NoFileExists(t, none)
	text := clitest.Read(t, prom)
	require.Contains(t, text, "\nailee_fact_state{fact=\"data-dir\"} 2\n")
	require.NotContains(t, text, "\nailee_snapshot_verified")
}

// TestCouldNotLook: what cannot be checked has no verdict, whatever the reason. Everything else
// has one.
func TestCouldNotLook(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		env   map[string]string
		says  string
		torn  bool
	}{
		"no TMPDIR":      {env: map[string]string{"TMPDIR": "/nonexistent"}, says: `error: could not check reorg_db: .*\n.*hint: the folder for temporary files, /nonexistent, is missing: make it, or name another: export TMPDIR=/var/tmp\n`},
		"peg-outs":       {spoil: pegOuts, says: `error: could not check the peg-outs of the latest snapshot: anchors that peg-outs name were not found anywhere, .*\n.*hint: this does not mean that it is damaged: ailee-doctor `},
		"peg-outs, torn": {spoil: all(pegOuts, appended("SNAPSHOT v1\nbal")), torn: true, says: `error: could not check the peg-outs `},
		"no Bitcoin":     {env: map[string]string{"BITCOIN_RPC_URL": "http://127.0.0.1:9"}, says: `error: could not check Bitcoin: `},
	} {
		t.Run(name, func(t *testing.T) {
			dir := watched(t)
			if c.spoil != nil {
				c.spoil(t, dir)
			}
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			prom := filepath.Join(t.TempDir(), "p.prom")
			code, stdout, stderr := watch(start, "--data-dir", dir, "--rpc-wait", "0", "--max-snapshot-age", "1000000", "--prometheus", prom, "--json")
			want := 1
			if c.torn {
				want = 2
			}
			require.Equal(t, want, code, stderr)
			require.Regexp(t, c.says, stderr)
			require.NotContains(t, stderr, "does not verify")
			require.Equal(t, c.torn, strings.Contains(stderr, "warning: "))
			require.Equal(t, want, parsed(t, stdout).ExitCode)
			if name == "no TMPDIR" {
				// What is not known has no sample, and is never 0.
				text := clitest.Read(t, prom)
				require.Contains(t, text, "\nailee_fact_state{fact=\"db-damage\"} 1\n")
				require.Contains(t, text, "\nailee_snapshot_verified 1\n")
				for _, unknown := range []string{"ailee_reorg_db_verified", "ailee_anchors_pending", "ailee_blocks", "ailee_reorg_events"} {
					require.NotContains(t, text, unknown)
				}
				require.Equal(t, "null", string(parsed(t, stdout).Metrics["reorg_db_verified"]))
			}
		})
	}
}

// pegOuts ends the file with a snapshot whose peg-outs name anchors that do not exist.
func pegOuts(t *testing.T, dir string) {
	text := clitest.Read(t, filepath.Join(golden.Dir(), "verify", "pegout_other_anchor.dat"))
	appended(text)(t, dir)
}

// stream returns a file to use as standard error, and its name in JOURNAL_STREAM.
func stream(t *testing.T) (f *os.File, name string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "errs"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	var stat syscall.Stat_t
	require.NoError(t, syscall.Fstat(int(f.Fd()), &stat))
	return f, fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// TestOpenFiles: in the journal, the error has a priority and the hint names the unit's setting.
func TestOpenFiles(t *testing.T) {
	clitest.SkipUnderRace(t) // which opens its own files
	dir := watched(t)
	errs, stream := stream(t)
	for i := range 60 {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "reorg_db", fmt.Sprintf("%06d.sst", 900+i)), nil, 0o600))
	}
	for _, journal := range []bool{true, false} {
		require.NoError(t, errs.Truncate(0))
		cmd := exec.Command("sh", "-c", `ulimit -n 10; exec ailee-monitor --data-dir "$1" --max-snapshot-age 1000000 --max-backup-age 1000000`, "sh", dir)
		cmd.Stderr = errs
		if journal {
			cmd.Env = append(os.Environ(), "JOURNAL_STREAM="+stream)
		}
		_ = cmd.Run()
		text := clitest.Read(t, errs.Name())
		require.Equal(t, 1, cmd.ProcessState.ExitCode(), text)
		if journal {
			require.Regexp(t, `(?m)^<4>ailee-monitor: error: could not check .*: too many open files \(10\)\n<4>ailee-monitor: hint: systemctl edit ailee-monitor, and add under [[]Service]: LimitNOFILE=4096$`, text)
		} else {
			require.Regexp(t, `(?m)^ailee-monitor: error: could not check .*: too many open files \(10\)\nailee-monitor: hint: raise the limit on open files: ulimit -n `, text)
		}
	}
}

// TestPriorities: in the journal, each alarm has its own priority.
func TestPriorities(t *testing.T) {
	dir := watched(t)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "reorg_db")))
	errs, stream := stream(t)
	cmd := exec.Command(monitor.Name, "--data-dir", dir, "--max-backup-age", "1000000")
	cmd.Stderr = errs
	cmd.Env = append(os.Environ(), "JOURNAL_STREAM="+stream)
	_ = cmd.Run()
	require.Equal(t, 2, cmd.ProcessState.ExitCode())
	require.Regexp(t, `^<4>ailee-monitor: warning: the latest snapshot in .* is [0-9]+ h old, limit 24 h
<4>ailee-monitor: hint: check that the node is still anchoring: journalctl -u ailee-node
<3>ailee-monitor: warning: there is no .*/reorg_db
<3>ailee-monitor: hint: ailee-doctor --data-dir .*
$`, clitest.Read(t, errs.Name()))
}

// TestInTurn: each run reads the newest backup of each kind and the least recently read one of the
// others, which counts for all names of the same file. A wrong backup is reported until it is
// sound again.
func TestInTurn(t *testing.T) {
	dir := watched(t)
	folder := filepath.Join(dir, "backups")
	at := start
	for range 3 {
		at = at.Add(time.Hour)
		require.NoError(t, os.Chtimes(filepath.Join(dir, "reorg_db", "CURRENT"), time.Now(), time.Now()))
		appendAt(t, dir, at)
		quiet(t, at, backup.Tool(), "--data-dir", dir)
	}
	oldest := filepath.Join(folder, "reorg_db_20250215_000000.tar.gz")
	good := clitest.Read(t, oldest)
	spoil(t, oldest)
	firstSaid, reads := 0, 0
	for i := range 12 {
		at = at.Add(time.Minute)
		code, _, stderr := watch(at, "--data-dir", dir)
		if code == 0 {
			require.Empty(t, stderr)
			require.Zero(t, firstSaid, "it is reported on every run")
			continue
		}
		require.Equal(t, 2, code)
		require.Regexp(t, `^ailee-monitor: warning: the backup reorg_db_20250215_000000.tar.gz does not verify: .*\nailee-monitor: hint: ailee-backup verify --all --data-dir .*\n$`, stderr)
		if firstSaid == 0 {
			firstSaid = i + 1
		}
		reads++
	}
	// Six backups are not the newest of their kind.
	require.LessOrEqual(t, firstSaid, 6)
	require.Positive(t, reads)
	_, stdout, _ := watch(at, "--data-dir", dir, "--json")
	require.JSONEq(t, `{"snapshots": {"sound": 4, "wrong": 0, "unread": 0, "held": 0}, "database": {"sound": 3, "wrong": 1, "unread": 0, "held": 0}}`, string(parsed(t, stdout).Metrics["backups"]))
	// Each was read within 6 runs.
	require.GreaterOrEqual(t, metric(t, stdout, "backup_verified_timestamp_seconds", "snapshots"), at.Add(-7*time.Minute).Unix())

	info, err := os.Stat(oldest)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(oldest, []byte(good), 0o640))
	require.NoError(t, os.Chtimes(oldest, info.ModTime(), info.ModTime()))
	for i := 0; ; i++ {
		at = at.Add(time.Minute)
		if code, _, _ := watch(at, "--data-dir", dir); code == 0 {
			break
		}
		require.Less(t, i, 6, "it is read again when its turn comes")
	}
	quiet(t, at, monitor.Tool(), "--data-dir", dir)
}

// TestPipeForABackup: a pipe is not a backup, and does not block the monitor.
func TestPipeForABackup(t *testing.T) {
	dir := watched(t)
	at := start.Add(time.Hour)
	appendAt(t, dir, at)
	quiet(t, at, backup.Tool(), "--data-dir", dir)
	oldest := filepath.Join(dir, "backups", "l2_snapshots_20250215_000000.dat.bak")
	require.NoError(t, os.Remove(oldest))
	require.NoError(t, unix.Mkfifo(oldest, 0o600))
	code, _, stderr := watch(at, "--data-dir", dir)
	require.Equal(t, 2, code, stderr)
	require.Contains(t, stderr, "warning: 1 backup is missing that no run has deleted: l2_snapshots_20250215_000000.dat.bak\n")
}

// metric returns a metric in the JSON output, by its labels.
func metric(t *testing.T, stdout, name string, labels ...string) int64 {
	t.Helper()
	text := string(parsed(t, stdout).Metrics[name])
	for _, label := range labels {
		found := regexp.MustCompile(`"` + regexp.QuoteMeta(label) + `":\s*([^,}]*)`).FindStringSubmatch(text)
		require.NotNil(t, found, "%s of %s", label, text)
		text = found[1]
	}
	var n int64
	_, err := fmt.Sscan(text, &n)
	require.NoError(t, err, text)
	return n
}

// TestStateFile: the state is carried from run to run, and starts over if it cannot be used.
func TestStateFile(t *testing.T) {
	dir := watched(t)
	state := filepath.Join(dir, monitor.StateName)
	runs := func(args ...string) document {
		t.Helper()
		code, stdout, stderr := watch(start, append([]string{"--data-dir", dir, "--json"}, args...)...)
		require.Zero(t, code, stderr)
		return parsed(t, stdout)
	}
	for i := range 3 {
		d := runs()
		require.Equal(t, i+2, d.State.Runs)
		require.Empty(t, d.State.Begun)
		require.EqualValues(t, i+2, metric(t, encoded(t, d), "monitor_runs_total"))
		require.Equal(t, "0", string(d.Metrics["snapshot_file_growth_bytes"]))
	}
	info, err := os.Stat(state)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	other := strings.Replace(clitest.Read(t, state), dir, "/elsewhere", 1)
	for _, c := range []struct{ text, begun string }{
		{"", "it is damaged"}, {"123 456\n", "it is damaged"}, {"{}", "it is damaged"}, {"null", "it is damaged"},
		{strings.Replace(clitest.Read(t, state), `"version": 1`, `"version": 2`, 1), "it is damaged"},
		{clitest.Read(t, state)[:100], "it is damaged"},
		{other, "it belongs to another data directory, /elsewhere"},
	} {
		require.NoError(t, os.WriteFile(state, []byte(c.text), 0o600))
		d := runs()
		require.Equal(t, c.begun, d.State.Begun)
		require.Equal(t, 1, d.State.Runs)
		require.Equal(t, "null", string(d.Metrics["snapshot_file_growth_bytes"]))
		require.Len(t, d.Warnings, 1)
		require.Contains(t, d.Warnings[0].Message, state+" is started over: "+c.begun)
		require.Equal(t, 2, runs().State.Runs)
	}
	// A missing state file is mentioned only in the JSON output.
	require.NoError(t, os.Remove(state))
	d := runs()
	require.Equal(t, "there is none", d.State.Begun)
	require.Empty(t, d.Warnings)
	// A state file elsewhere, and none.
	elsewhere := filepath.Join(t.TempDir(), "state")
	require.Equal(t, 1, runs("--state-file", elsewhere).State.Runs)
	require.FileExists(t, elsewhere)
	require.NoError(t, os.Remove(state))
	d = runs("--state-file=")
	require.Empty(t, d.State.File)
	require.Equal(t, "null", string(d.Metrics["monitor_runs_total"]))
	require.NoFileExists(t, state)
	// A user who may only read can still watch everything else.
	code, _, stderr := watch(start, "--data-dir", dir, "--state-file", filepath.Join(dir, "none", "state"))
	require.Zero(t, code)
	require.Regexp(t, `^ailee-monitor: warning: .*/none/state cannot be written: no such file or directory: growth and lost counts are not watched; name another file with --state-file, or '' for none\n$`, stderr)
	require.Equal(t, []string{"backups", "l2_snapshots.dat", "reorg_db"}, clitest.Names(t, dir))
}

func encoded(t *testing.T, d document) string {
	t.Helper()
	return `{"metrics": {"monitor_runs_total": ` + string(d.Metrics["monitor_runs_total"]) + `}}`
}

// TestShrunkUntilAccepted: a decrease in anchors is reported on every run, even when there is one
// more again, until the loss is accepted.
func TestShrunkUntilAccepted(t *testing.T) {
	dir := watched(t)
	lost(t, dir)
	at := start.Add(2 * time.Hour)
	quietOf := func() []string {
		_, stdout, _ := watch(at, "--data-dir", dir, "--json")
		return parsed(t, stdout).codes()
	}
	require.Equal(t, []string{"backup-failed", "backup-loss"}, quietOf(), "the monitor has never seen the anchor")
	putAnchors(t, dir, 3, at)
	require.Equal(t, []string{"backup-failed", "backup-loss"}, quietOf())
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "reorg_db")))
	clitest.RunTool(t, 0, initnode.Tool(), "--data-dir", dir, "--if-missing")
	putAnchors(t, dir, 1, at)
	for range 2 {
		require.Equal(t, []string{"backup-failed", "backup-loss", "shrunk"}, quietOf())
	}
	code, _, stderr := runTool(at.Add(time.Minute), backup.Tool(), "--data-dir", dir, "--accept-loss")
	require.Zero(t, code, stderr)
	at = at.Add(time.Minute)
	require.Empty(t, quietOf())
	putAnchors(t, dir, 1, at.Add(time.Minute))
	require.Empty(t, quietOf())
}

// TestBitcoin: if a Bitcoin node is named, heights that are a count of blocks are detected, and a
// usable node is not a problem.
func TestBitcoin(t *testing.T) {
	dir := watched(t)
	chain := bitcointest.NewChain((start.Unix() - bitcointest.GenesisTime) / bitcointest.BlockSpacing)
	url := chain.Serve(t)
	t.Setenv("BITCOIN_RPC_USER", "u")
	t.Setenv("BITCOIN_RPC_PASSWORD", "p")
	for _, counted := range []bool{false, true} {
		update(t, dir, func(u *reorgdb.Update) {
			for i := range int64(20) {
				height := 800 + i
				if counted {
					height = 1 + i
				}
				u.SetBlock(reorgdb.Block{Height: uint64(height), Hash: chain.Hash(800 + i)})
			}
		})
		_, stdout, stderr := watch(start, "--data-dir", dir, "--json", "--bitcoin-rpc", url, "--rpc-wait", "0")
		d := parsed(t, stdout)
		require.Equal(t, counted, slices.Contains(d.codes(), "db-wrong"), stderr)
		require.Equal(t, counted, strings.Contains(stderr, "20 blocks are stored at a count instead of their height, starting at 1"), stderr)
	}
}

// TestNoCatalogue: backups of an earlier version have no catalogue. They are read, but nothing is
// known of runs of ailee-backup.
func TestNoCatalogue(t *testing.T) {
	dir := watched(t)
	require.NoError(t, os.Remove(filepath.Join(dir, "backups", backups.CatalogueName)))
	prom := filepath.Join(t.TempDir(), "p.prom")
	quiet(t, start, monitor.Tool(), "--data-dir", dir, "--prometheus", prom)
	text := clitest.Read(t, prom)
	require.Contains(t, text, fmt.Sprintf("\nailee_snapshot_backup_timestamp_seconds %d\n", start.Unix()))
	require.Contains(t, text, "\nailee_backups{kind=\"database\",state=\"sound\"} 1\n")
	require.Contains(t, text, "\nailee_backup_anchors 0\n")
	for _, name := range []string{"backup_last_status", "backup_loss_open", "backup_runs_total"} {
		require.NotContains(t, text, name)
	}
}

// TestReadOnly: the monitor writes nothing except for its state file.
func TestReadOnly(t *testing.T) {
	dir := watched(t)
	before := clitest.Contents(t, dir)
	for range 3 {
		quiet(t, start, monitor.Tool(), "--data-dir", dir)
	}
	after := clitest.Contents(t, dir)
	delete(before, monitor.StateName)
	delete(after, monitor.StateName)
	require.Equal(t, before, after)
}

// TestWritesAsTheirUsers: root writes each file as the owner of its folder.
func TestWritesAsTheirUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	dir := watched(t)
	top := clitest.ForNobody(t)
	require.NoError(t, exec.Command("cp", "-a", dir, top).Run())
	dir = filepath.Join(top, "ailee")
	require.NoError(t, exec.Command("chown", "-R", "64100:64100", dir).Run())
	metrics := filepath.Join(top, "metrics")
	require.NoError(t, os.Mkdir(metrics, 0o755))
	require.NoError(t, os.Chown(metrics, clitest.Nobody, clitest.Nobody))
	for range 2 {
		_, _, stderr := watch(start, "--data-dir", dir, "--prometheus", filepath.Join(metrics, "p.prom"))
		require.NotContains(t, stderr, "cannot be written")
		for path, uid := range map[string]uint32{filepath.Join(dir, monitor.StateName): 64100, filepath.Join(metrics, "p.prom"): clitest.Nobody} {
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.Equal(t, uid, info.Sys().(*syscall.Stat_t).Uid, path)
		}
	}
	require.Zero(t, os.Geteuid())
}
