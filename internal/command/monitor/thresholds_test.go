package monitor_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/backup"
	"ailee-recovery/internal/command/initnode"
	"ailee-recovery/internal/command/monitor"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// grow makes the snapshot file n bytes long, with bytes at the front that belong to no snapshot.
func grow(n int64) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		path := filepath.Join(dir, "l2_snapshots.dat")
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		f, err := os.Create(path)
		require.NoError(t, err)
		_, err = f.WriteAt(append([]byte("\n"), data...), n-int64(len(data))-1)
		require.NoError(t, errors.Join(err, f.Close()))
		age(t, dir)
	}
}

// appended appends a text to the snapshot file.
func appended(text string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		f, err := os.OpenFile(filepath.Join(dir, "l2_snapshots.dat"), os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.WriteString(text)
		require.NoError(t, errors.Join(err, f.Close()))
		age(t, dir)
	}
}

// removed removes something from the data directory.
func removed(name string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		require.NoError(t, os.RemoveAll(filepath.Join(dir, name)))
	}
}

// logged puts a file of n bytes that no node reads into the database.
func logged(n int) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "reorg_db", "LOG.old.1"), make([]byte, n), 0o600))
	}
}

func pending(n int, since time.Time) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) { putAnchors(t, dir, n, since) }
}

// left makes what a killed prune leaves, dated a while before start.
func left(before time.Duration) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		text := clitest.Read(t, filepath.Join(dir, "l2_snapshots.dat"))
		path := filepath.Join(dir, fmt.Sprintf(".l2_snapshots.dat.ailee-old-%d-%d", len(text), len(text)))
		require.NoError(t, os.WriteFile(path, []byte(text+clitest.Numbered(5)), 0o640))
		require.NoError(t, os.Chtimes(path, start.Add(-before), start.Add(-before)))
	}
}

// spoiled changes a byte of the one file that matches a pattern.
func spoiled(pattern string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		require.NoError(t, err)
		require.Len(t, files, 1)
		spoil(t, files[0])
	}
}

// spoil changes a byte of a file like a bad sector: the file's time stays.
func spoil(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data[len(data)/2] ^= 1
	require.NoError(t, os.WriteFile(path, data, 0o640))
	require.NoError(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
}

// held starts a process that has the snapshot file open for writing.
func held(t *testing.T, dir string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "l2_snapshots.dat"), os.O_APPEND|os.O_RDWR, 0)
	require.NoError(t, err)
	cmd := exec.Command("sleep", "1000")
	cmd.Stdin = f
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	require.NoError(t, f.Close())
}

// all makes several changes in order.
func all(changes ...func(t *testing.T, dir string)) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		for _, change := range changes {
			change(t, dir)
		}
	}
}

// lost loses an anchor that a backup has, and makes a further backup, which detects the loss.
func lost(t *testing.T, dir string) {
	putAnchors(t, dir, 1, start)
	quiet(t, start.Add(time.Hour), backup.Tool(), "--data-dir", dir)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "reorg_db")))
	clitest.RunTool(t, 0, initnode.Tool(), "--data-dir", dir, "--if-missing")
	code, _, stderr := runTool(start.Add(2*time.Hour), backup.Tool(), "--data-dir", dir)
	require.Equal(t, 2, code, stderr)
}

// TestAlarms: each alarm, and each limit on both sides. An alarm is printed with a hint.
func TestAlarms(t *testing.T) {
	const hour, second = time.Hour, time.Second
	for i, c := range []struct {
		name  string
		spoil func(t *testing.T, dir string)
		now   time.Duration // after start
		args  string
		code  int
		want  []string // alarms, in their order
		says  []string // a pattern for each alarm or error that is printed
	}{
		{"file of exactly 1 MB", grow(1 << 20), 0, "--max-snapshot-size 1", 0, nil, nil},
		{"file of 1 MB and a byte", grow(1<<20 + 1), 0, "--max-snapshot-size 1", 2, []string{"snapshot-size"},
			[]string{`l2_snapshots.dat is 2 MB, more than 1 MB: consider pruning\n.*hint: ailee_prune_snapshots --in-place --keep 1000 --file [^ ]*/l2_snapshots.dat\n`}},
		{"the guide's limit of the file", grow(5000<<20 + 1), 0, "", 2, []string{"snapshot-size"},
			[]string{`l2_snapshots.dat is 5001 MB, more than 5000 MB: consider pruning`}},
		{"database", nil, 0, "--max-db-size 1", 0, nil, nil},
		{"large database", nil, 0, "--max-db-size 0", 2, []string{"db-size"},
			[]string{`reorg_db is 1 MB, more than 0 MB: consider pruning\n.*hint: .*ailee_reorg_verify --db-path [^ ]*/reorg_db\n`}},
		{"growth", grow(2 << 20), 0, "--max-growth 2", 0, nil, nil},
		{"large growth", grow(3 << 20), 0, "--max-growth 2", 2, []string{"growth"}, []string{`l2_snapshots.dat grew by 3 MB since the last run, more than 2 MB`}},
		{"growth without a limit", grow(3 << 20), 0, "", 0, nil, nil},
		{"growth of the database", logged(1 << 20), 0, "--max-growth 2", 0, nil, nil},
		{"large growth of the database", logged(2<<20 + 4096), 0, "--max-growth 2", 2, []string{"growth"}, []string{`reorg_db grew by 3 MB since the last run, more than 2 MB`}},

		{"snapshot dated in the future, within an hour", nil, -hour, "--max-backup-age 100", 0, nil, nil},
		{"snapshot and backups dated in the future", nil, -hour - second, "", 2, []string{"snapshot-future", "backup-none", "backup-future"},
			[]string{`the latest snapshot in .* is dated in the future: 2025-02-15 00:00:00 UTC\n.*hint: check the clock`,
				`has no sound backup whose date is not in doubt of the snapshot file`, `has no sound backup whose date is not in doubt of the database`,
				`2 backups are dated in the future, such as .*/l2_snapshots_20250215_000000.dat.bak\n.*hint: ailee-doctor`}},
		{"a time beyond any clock", appended(func() string {
			st := snapshot.State{TimestampMs: 1<<64 - 1}
			st.Anchor = snapshot.NewAnchor(snapshot.Root(&st), st.TimestampMs, "m")
			var b strings.Builder
			_ = snapshot.Encode(&b, &st)
			return b.String()
		}()), 0, "", 2, []string{"snapshot-future"}, []string{`the latest snapshot in .* has a time beyond any clock: 18446744073709551615 ms`}},
		{"a wrong clock", func(t *testing.T, dir string) {
			// The last backup and the last change of the file are dated in the future.
			later := start.Add(4 * hour)
			require.NoError(t, os.Chtimes(filepath.Join(dir, "l2_snapshots.dat"), later, later))
			quiet(t, later, backup.Tool(), "--data-dir", dir)
		}, 2 * hour, "", 2, []string{"snapshot-future", "backup-future"}, []string{`the clock says 2025-02-15 02:00:00, which is before the last backup and the last change`, `2 backups are dated in the future, such as `}},
		{"older backups and one dated in the future", func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "backups", "l2_snapshots_20990101_000000.dat.bak"), nil, 0o600))
		}, 3*hour + second, "", 2, []string{"backup-old", "backup-wrong", "backup-future"},
			[]string{`the newest backup of the snapshot file is 3 h 1 s old, limit 3 h`, `the newest backup of the database is 3 h 1 s old, limit 3 h`,
				`the newest backup of the snapshot file, l2_snapshots_20990101_000000.dat.bak, does not verify: no complete snapshot`,
				`/l2_snapshots_20990101_000000.dat.bak is dated in the future`}},
		{"snapshot from a day ago", nil, 24 * hour, "--max-backup-age 100", 0, nil, nil},
		{"older snapshot", nil, 24*hour + second, "--max-backup-age 100", 2, []string{"snapshot-old"},
			[]string{`the latest snapshot in .* is 24 h 1 s old, limit 24 h\n.*hint: check that the node is still anchoring: journalctl -u ailee-node\n`}},
		{"snapshot older than a given limit", nil, 2*hour + 5*time.Minute, "--max-snapshot-age 2", 2, []string{"snapshot-old"}, []string{`the latest snapshot in .* is 2 h 5 min old, limit 2 h`}},
		{"snapshot within a large limit", nil, 1000 * hour, "--max-snapshot-age 999999999999999 --max-backup-age 999999999999999", 0, nil, nil},
		{"another unit of the node", nil, 25 * hour, "--max-backup-age 100 --unit bitcoin-l2.service", 2, []string{"snapshot-old"}, []string{`is 25 h old, limit 24 h\n.*hint: .*journalctl -u bitcoin-l2\n`}},
		{"backups from three hours ago", nil, 3 * hour, "", 0, nil, nil},
		{"older backups", nil, 7*hour + second, "", 2, []string{"backup-old"}, []string{`the newest backup of the snapshot file is 7 h old, limit 3 h`,
			`the newest backup of the database is 7 h old, limit 3 h\n.*hint: ailee-backup --data-dir [^ ]*; systemctl status ailee-backup.timer\n`}},
		{"no backup directory", removed("backups"), 0, "", 2, []string{"backup-none"}, []string{`there is no folder .*/backups for backups\n.*hint: ailee-backup `}},
		{"no backups", all(removed("backups"), func(t *testing.T, dir string) { require.NoError(t, os.Mkdir(filepath.Join(dir, "backups"), 0o700)) }),
			0, "", 2, []string{"backup-none"}, []string{`/backups has no backup of the snapshot file\n.*hint: ailee-backup `, `/backups has no backup of the database`}},
		{"missing backups", func(t *testing.T, dir string) {
			quiet(t, start.Add(hour), backup.Tool(), "--data-dir", dir)
			require.NoError(t, os.Remove(filepath.Join(dir, "backups", "reorg_db_20250215_000000.tar.gz")))
		}, hour, "", 2, []string{"backup-wrong"}, []string{`1 backup is missing that no run has deleted: reorg_db_20250215_000000.tar.gz\n.*hint: ailee-backup verify --all`}},
		{"the newest backup is damaged", all(func(t *testing.T, dir string) { quiet(t, start.Add(hour), backup.Tool(), "--data-dir", dir) }, spoiled("backups/reorg_db_20250215_010000.tar.gz")),
			hour, "", 2, []string{"backup-wrong"}, []string{`the newest backup of the database, reorg_db_20250215_010000.tar.gz, does not verify: .*\n.*hint: ailee-backup verify --all --data-dir `}},
		{"the only backups are damaged", all(spoiled("backups/reorg_db_*.tar.gz"), spoiled("backups/l2_snapshots_*_*.dat.bak")), 0, "", 2, []string{"backup-none", "backup-wrong"},
			[]string{`has no sound backup .* of the snapshot file`, `has no sound backup .* of the database`, `the newest backup of the snapshot file, .*, does not verify`, `the newest backup of the database, .*, does not verify: `}},
		{"a backup that failed", func(t *testing.T, dir string) {
			text := clitest.Read(t, filepath.Join(dir, "l2_snapshots.dat"))
			require.NoError(t, os.Truncate(filepath.Join(dir, "l2_snapshots.dat"), 0))
			code, _, stderr := runTool(start.Add(hour), backup.Tool(), "--data-dir", dir, "--snapshot-only")
			require.Equal(t, 2, code, stderr)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "l2_snapshots.dat"), []byte(text), 0o640))
			age(t, dir)
		}, hour, "", 2, []string{"backup-failed"}, []string{`the last run of ailee-backup, at 2025-02-15 01:00:00 UTC, ended with status 2 for the snapshot file\n.*hint: .*no complete snapshot`}},
		{"a loss", lost, 2 * hour, "", 2, []string{"backup-failed", "backup-loss"}, []string{`ended with status 2 for the database\n.*hint: reorg_db lacks 1 anchor`,
			`reorg_db lacks 1 anchor that earlier backups have, since 2025-02-15 02:00:00 UTC\n.*hint: ailee-doctor`}},
		{"a loss that was accepted", func(t *testing.T, dir string) {
			lost(t, dir)
			code, _, stderr := runTool(start.Add(2*hour), backup.Tool(), "--data-dir", dir, "--accept-loss")
			require.Zero(t, code, stderr)
		}, 2 * hour, "", 0, nil, nil},
		{"a backup that is the live file", func(t *testing.T, dir string) {
			live := filepath.Join(dir, "l2_snapshots.dat")
			require.NoError(t, os.Remove(live))
			require.NoError(t, os.Link(filepath.Join(dir, "backups", "l2_snapshots_20250215_000000.dat.bak"), live))
		}, 0, "", 2, []string{"backup-shared"}, []string{`the live file is also the backup l2_snapshots_.*\n.*hint: ailee-doctor`}},
		{"another name of the live file", func(t *testing.T, dir string) {
			require.NoError(t, os.Link(filepath.Join(dir, "l2_snapshots.dat"), filepath.Join(dir, "other")))
		}, 0, "", 0, nil, nil},

		{"torn tail", appended("SNAPSHOT v1\nbal"), 0, "", 2, []string{"snapshot-torn"},
			[]string{`ends in an unfinished snapshot or line, at byte [0-9]+: .*\n.*hint: ailee_prune_snapshots --in-place --keep all --file [^ ]*/l2_snapshots.dat\n`}},
		{"no newline at the end", func(t *testing.T, dir string) {
			require.NoError(t, os.Truncate(filepath.Join(dir, "l2_snapshots.dat"), clitest.FileSize(t, filepath.Join(dir, "l2_snapshots.dat"))-1))
			age(t, dir)
		}, 0, "", 2, []string{"snapshot-torn"}, []string{`ends in an unfinished snapshot or line, at byte [0-9]+: `}},
		{"hidden snapshot", func(t *testing.T, dir string) {
			path := filepath.Join(dir, "l2_snapshots.dat")
			text := clitest.Read(t, path)
			require.NoError(t, os.WriteFile(path, []byte(text+"torn"+clitest.Numbered(5)+text), 0o640))
			age(t, dir)
		}, 0, "", 2, []string{"snapshot-hidden"}, []string{`l2_snapshots.dat: no node sees a sound snapshot at byte [0-9]+.*\n.*hint: ailee-doctor`}},
		{"wrong root", func(t *testing.T, dir string) {
			path := filepath.Join(dir, "l2_snapshots.dat")
			text := clitest.Read(t, path)
			at := strings.LastIndex(text, "balances 0\n")
			require.NoError(t, os.WriteFile(path, []byte(text[:at]+"balance \"a\" 1\n"+text[at:]), 0o644))
			age(t, dir)
		}, 0, "", 2, []string{"snapshot-invalid", "shrunk"}, []string{`does not verify: state root mismatch, at byte 0\n.*hint: ailee-doctor`, `l2_snapshots.dat has 0 valid snapshots, 1 at 2025-02-15 00:00:00 UTC`}},
		{"empty file", func(t *testing.T, dir string) {
			require.NoError(t, os.Truncate(filepath.Join(dir, "l2_snapshots.dat"), 0))
		}, 0, "", 2,
			[]string{"snapshot-invalid"}, []string{`l2_snapshots.dat does not verify: it is empty\n.*hint: ailee-doctor`}},
		{"no snapshot file", removed("l2_snapshots.dat"), 0, "", 2, []string{"snapshot-invalid"}, []string{`there is no .*/l2_snapshots.dat\n.*hint: ailee-doctor`}},
		{"a pipe", func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "l2_snapshots.dat")))
			require.NoError(t, unix.Mkfifo(filepath.Join(dir, "l2_snapshots.dat"), 0o600))
		}, 0, "", 2, []string{"snapshot-invalid"}, []string{`l2_snapshots.dat is a pipe`}},
		{"fewer snapshots", func(t *testing.T, dir string) {
			path := filepath.Join(dir, "l2_snapshots.dat")
			text := clitest.Read(t, path)
			appendAt(t, dir, start.Add(time.Minute))
			quiet(t, start.Add(time.Minute), monitor.Tool(), "--data-dir", dir)
			require.NoError(t, os.WriteFile(path, []byte(text), 0o640))
			age(t, dir)
		}, hour, "", 2, []string{"shrunk"}, []string{`l2_snapshots.dat has 1 valid snapshot, 2 at 2025-02-15 00:01:00 UTC\n.*hint: ailee-doctor`}},
		{"fewer snapshots after a prune", func(t *testing.T, dir string) {
			appendAt(t, dir, start.Add(time.Minute))
			quiet(t, start.Add(time.Minute), monitor.Tool(), "--data-dir", dir)
			clitest.RunTool(t, 0, prunesnapshots.Tool(), "--in-place", "--keep", "1", "--file", filepath.Join(dir, "l2_snapshots.dat"))
			age(t, dir)
		}, hour, "", 0, nil, nil},

		{"no CURRENT", removed("reorg_db/CURRENT"), 0, "", 2, []string{"db-wrong"}, []string{`reorg_db does not verify: .*\n.*hint: ailee-doctor`}},
		{"empty CURRENT", func(t *testing.T, dir string) {
			require.NoError(t, os.Truncate(filepath.Join(dir, "reorg_db", "CURRENT"), 0))
		}, 0, "", 2, []string{"db-wrong"}, []string{`reorg_db does not verify: `}},
		{"no database", removed("reorg_db"), 0, "", 2, []string{"db-wrong"}, []string{`there is no .*/reorg_db\n.*hint: ailee-doctor`}},
		{"a database with a gap", func(t *testing.T, dir string) {
			update(t, dir, func(u *reorgdb.Update) {
				require.NoError(t, u.Put(reorgdb.DefaultFamily, fmt.Appendf(nil, "block:%020d", 5), []byte(strings.Repeat("a", 64))))
				require.NoError(t, u.Put(reorgdb.DefaultFamily, fmt.Appendf(nil, "block:%020d", 7), []byte(strings.Repeat("b", 64))))
			})
		}, 0, "", 2, []string{"db-wrong"}, []string{`reorg_db does not verify: height 6 has no block hash`}},
		{"a recreated database", func(t *testing.T, dir string) {
			putAnchors(t, dir, 14, start)
			quiet(t, start.Add(time.Minute), monitor.Tool(), "--data-dir", dir)
			require.NoError(t, os.RemoveAll(filepath.Join(dir, "reorg_db")))
			clitest.RunTool(t, 0, initnode.Tool(), "--data-dir", dir, "--if-missing")
		}, 2 * time.Minute, "", 2, []string{"shrunk"}, []string{`ailee-monitor: warning: reorg_db has 0 anchors, 14 at 2025-02-15 00:01:00 UTC\nailee-monitor: hint: ailee-doctor --data-dir `}},
		{"the latest anchor failed", func(t *testing.T, dir string) {
			update(t, dir, func(u *reorgdb.Update) {
				require.NoError(t, u.Anchor(reorgdb.Anchor{Hash: anchorOf(t, dir), BitcoinTxID: strings.Repeat("c", 64), Status: reorgdb.FailedOrphaned, L2StateRoot: strings.Repeat("d", 64)}))
			})
		}, 0, "", 2, []string{"agreement"}, []string{`the latest anchor is FAILED\n.*hint: ailee-doctor`}},
		{"the latest anchor is pending", func(t *testing.T, dir string) {
			update(t, dir, func(u *reorgdb.Update) {
				require.NoError(t, u.Anchor(reorgdb.Anchor{Hash: anchorOf(t, dir), BitcoinTxID: strings.Repeat("c", 64), BroadcastTime: uint64(start.UnixMilli()), L2StateRoot: strings.Repeat("d", 64)}))
			})
		}, 0, "", 0, nil, nil},
		{"pending", pending(3, start), 0, "--max-pending 3", 0, nil, nil},
		{"many pending", pending(3, start), 0, "--max-pending 2", 2, []string{"anchors-pending"},
			[]string{`pending anchors: 3, more than 2\n.*hint: .*: ailee_reorg_show --db-path [^ ]*reorg_db anchors --status pending\n`}},
		{"pending without a limit", pending(3, start), 0, "", 0, nil, nil},
		{"orphaned", pending(2, start.Add(-2*hour)), 0, "", 2, []string{"anchors-orphaned"},
			[]string{`orphaned pending anchors: 2, more than 0\n.*hint: .*: ailee_reorg_show --db-path [^ ]*reorg_db anchors --status pending\n`}},
		{"orphaned within the limit", pending(2, start.Add(-2*hour)), 0, "--max-orphaned 2", 0, nil, nil},

		{"one writer", held, 0, "", 0, nil, nil},
		{"two writers", all(held, held), 0, "", 2, []string{"two-writers"}, []string{`two writers of the snapshots: sleep, pid [0-9]+ and sleep, pid [0-9]+\n.*hint: stop that process: kill [0-9]+\n`}},
		{"what a prune left an hour ago", left(hour), 0, "", 0, nil, nil},
		{"what a prune left", left(hour + second), 0, "", 2, []string{"leftover"}, []string{`an earlier prune was killed and left .*/.l2_snapshots.dat.ailee-old-.*\n.*hint: ailee-doctor`}},
		{"what a prune left within the limit", left(hour + second), 0, "--max-leftover-age 2", 0, nil, nil},
		{"what a prune has just left", left(second), 0, "--max-leftover-age 0", 2, []string{"leftover"}, []string{`an earlier prune was killed`}},
		{"what a restore left", func(t *testing.T, dir string) {
			path := filepath.Join(dir, ".ailee-restore.json")
			require.NoError(t, os.WriteFile(path, []byte("{}"), 0o600))
			require.NoError(t, os.Chtimes(path, start.Add(-2*hour), start.Add(-2*hour)))
		}, 0, "", 2, []string{"leftover"}, []string{`an earlier restore was killed and left .*/.ailee-restore.json`}},
		{"what a broadcast left", func(t *testing.T, dir string) {
			path := filepath.Join(dir, ".reorg_db.anchor-pending")
			require.NoError(t, os.WriteFile(path, []byte("{}"), 0o600))
			require.NoError(t, os.Chtimes(path, start.Add(-2*hour), start.Add(-2*hour)))
		}, 0, "", 2, []string{"leftover"}, []string{`a broadcast was interrupted`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && i%3 > 0 && !strings.HasPrefix(c.name, "a loss") || testing.Short() && strings.HasPrefix(c.name, "the guide's") {
				t.Skip("a sample is enough in short mode")
			}
			dir := watched(t)
			if c.spoil != nil {
				c.spoil(t, dir)
			}
			code, stdout, stderr := watch(start.Add(c.now), append([]string{"--json", "--data-dir", dir}, strings.Fields(c.args)...)...)
			require.Equal(t, c.code, code, stderr)
			d := parsed(t, stdout)
			require.Equal(t, c.code, d.ExitCode)
			require.Equal(t, append([]string{}, c.want...), d.codes(), stderr)
			for _, pattern := range c.says {
				require.Regexp(t, pattern, stderr)
			}
			require.Equal(t, len(c.says), strings.Count(stderr, ": warning: ")+strings.Count(stderr, ": error: "), stderr)
			require.Equal(t, len(c.says), len(d.Errors))
		})
	}
}

// TestAlarmOfOwner: the node's user cannot use a file that root owns.
func TestAlarmOfOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can change owners")
	}
	dir := watched(t)
	require.NoError(t, os.Chown(dir, 64100, 64100))
	require.NoError(t, os.Chmod(dir, 0o755))
	for _, mine := range []bool{false, true} {
		if mine {
			require.NoError(t, exec.Command("chown", "-R", "64100:64100", dir).Run())
		}
		code, stdout, stderr := watch(start, "--json", "--data-dir", dir, "--state-file", "")
		if mine {
			require.Zero(t, code, stderr)
			continue
		}
		require.Equal(t, 2, code)
		require.Equal(t, []string{"owner"}, parsed(t, stdout).codes())
		require.Regexp(t, `warning: .*: 64100:64100 cannot read and write it, nor [0-9]+ others\n.*hint: chown 64100:64100 [^ ]*; for everything that must be done: ailee-doctor`, stderr)
	}
	// Its owner may not write it.
	require.NoError(t, os.Chmod(filepath.Join(dir, "l2_snapshots.dat"), 0o400))
	code, _, stderr := watch(start, "--data-dir", dir, "--state-file", "")
	require.Equal(t, 2, code)
	hint := regexp.MustCompile(`hint: (chmod 0[0-7]{3} [^ ]*/l2_snapshots\.dat)\n`).FindStringSubmatch(stderr)
	require.NotNil(t, hint, stderr)
	require.NoError(t, exec.Command("sh", "-c", hint[1]).Run())
	code, _, stderr = watch(start, "--data-dir", dir, "--state-file", "")
	require.Zero(t, code, stderr)
}

// TestAlarmOfDisk: less space is free than the next backup needs.
func TestAlarmOfDisk(t *testing.T) {
	if !clitest.CanMount(t) {
		t.Skip("cannot mount")
	}
	dir := watched(t)
	small := t.TempDir()
	for size, want := range map[string]int{"200m": 0, "32m": 2} {
		require.NoError(t, unix.Mount("tmpfs", small, "tmpfs", 0, "size="+size))
		require.NoError(t, exec.Command("cp", "-a", dir, small).Run())
		code, stdout, stderr := watch(start, "--json", "--data-dir", filepath.Join(small, "ailee"))
		require.NoError(t, unix.Unmount(small, unix.MNT_DETACH))
		require.Equal(t, want, code, stderr)
		if want > 0 {
			require.Equal(t, []string{"disk"}, parsed(t, stdout).codes())
			require.Regexp(t, `warning: .* free in .*, .* needed\n.*hint: ailee-doctor`, stderr)
		}
	}
}

// TestEveryAlarmFires: there is a test in which each alarm fires.
func TestEveryAlarmFires(t *testing.T) {
	text := clitest.Read(t, "thresholds_test.go")
	_, stdout, _ := watch(start, "--json", "--data-dir", watched(t))
	alarms := map[string]int{}
	require.NoError(t, json.Unmarshal(parsed(t, stdout).Metrics["alarm"], &alarms))
	require.Len(t, alarms, 24)
	for alarm, fires := range alarms {
		require.Zero(t, fires)
		require.Contains(t, text, `"`+alarm+`"`)
	}
}

// anchorOf returns the hash of the latest snapshot's anchor.
func anchorOf(t *testing.T, dir string) string {
	t.Helper()
	fields := strings.Fields(clitest.Read(t, filepath.Join(dir, "l2_snapshots.dat")))
	for i := len(fields) - 1; i >= 0; i-- {
		if fields[i] == "anchor" {
			return strings.Trim(fields[i+5], `"`)
		}
	}
	require.Fail(t, "no anchor")
	return ""
}
