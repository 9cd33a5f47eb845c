package monitor

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
	"ailee-recovery/internal/datadir"
)

// TestGolden checks the exact output for an operator who gave no flags.
func TestGolden(t *testing.T) {
	now := time.Date(2026, 3, 18, 9, 30, 2, 0, time.UTC)
	made := now.Add(-7*time.Hour - 13*time.Minute)
	kept := func(kind backups.Kind, name string, made time.Time) *entry {
		return &entry{Backup: backups.Backup{Name: name, Kind: kind, Made: made}, last: seen{Verdict: backups.Sound, At: made}}
	}
	r := &run{
		Options: Options{DataDir: flags.DefaultDataDir, Unit: defaultUnit, Limits: Limits{SnapshotSize: 5000, DBSize: 1000, SnapshotAge: 24, BackupAge: 3, LeftoverAge: 1}},
		now:     now,
		view: &datadir.View{
			Place:   &datadir.Place{Path: flags.DefaultDataDir, Snapshots: flags.DefaultDataDir + "/l2_snapshots.dat", Database: flags.DefaultDataDir + "/reorg_db"},
			Records: &datadir.Records{Anchors: map[string]uint64{}},
		},
		backups: &survey{dir: &backups.Dir{Path: flags.DefaultDataDir + "/backups", Catalogue: &backups.Catalogue{}}, entries: []*entry{
			kept(backups.Snapshots, "l2_snapshots_20260318_091702.dat.bak", now.Add(-13*time.Minute)),
			kept(backups.Database, "reorg_db_20260318_021702.tar.gz", made),
		}},
		before: newState(flags.DefaultDataDir),
	}
	r.before.Most[anchors] = most{14, time.Date(2026, 3, 18, 9, 20, 3, 0, time.UTC)}
	r.evaluate()
	require.Equal(t, `ailee-monitor: warning: the newest backup of the database is 7 h old, limit 3 h
ailee-monitor: hint: ailee-backup; systemctl status ailee-backup.timer
ailee-monitor: warning: reorg_db has 0 anchors, 14 at 2026-03-18 09:20:03 UTC
ailee-monitor: hint: ailee-doctor
`, r.said(t))
	require.Equal(t, 2, r.code())
}

// TestUnreadIsSaidAgain: a backup that could not be read is reported on every run until it is
// read again. It does not keep the others from their turn, and is not an alarm.
func TestUnreadIsSaidAgain(t *testing.T) {
	now := time.Date(2026, 3, 18, 9, 30, 2, 0, time.UTC)
	kept := func(name string, verdict backups.State, looked time.Time) *entry {
		return &entry{Backup: backups.Backup{Name: name, Kind: backups.Database, Made: now.Add(-time.Hour), Verified: backups.Verified{At: now.Add(-time.Hour), Verdict: backups.Sound}},
			last: seen{Verdict: verdict, At: looked, Why: "input/output error"}}
	}
	unread := kept("reorg_db_20260318_021702.tar.gz", backups.CouldNot, now.Add(-10*time.Minute))
	other := kept("reorg_db_20260318_031702.tar.gz", backups.Sound, now.Add(-time.Hour))
	r := &run{Options: Options{DataDir: flags.DefaultDataDir, Unit: defaultUnit, Limits: Limits{BackupAge: 3}}, now: now, view: &datadir.View{}, before: newState(flags.DefaultDataDir),
		backups: &survey{dir: &backups.Dir{Path: flags.DefaultDataDir + "/backups", Catalogue: &backups.Catalogue{}}, entries: []*entry{unread, other}}}
	require.Equal(t, other, r.backups.inTurn())
	r.sayUnseen()
	require.Equal(t, `ailee-monitor: error: could not check reorg_db_20260318_021702.tar.gz at 2026-03-18 09:20:02 UTC: input/output error
ailee-monitor: hint: ailee-backup verify reorg_db_20260318_021702.tar.gz
`, r.said(t))
	require.Equal(t, 1, r.code())
	_, _, count, _ := r.backups.count(backups.Database)
	require.Equal(t, 1, count)
}

// TestStopHint: the hint names the writer that is not the node, by its unit if it has one.
func TestStopHint(t *testing.T) {
	node := datadir.Holder{PID: 7, Command: "ailee-node", Unit: "ailee-node.service", Writes: true, Locks: true}
	for _, c := range []struct {
		others []datadir.Holder
		hint   string
	}{
		{[]datadir.Holder{{PID: 8, Unit: "copy.service", Writes: true}}, "stop that process: systemctl stop copy"},
		{[]datadir.Holder{{PID: 8, Unit: "user@1000.slice", Writes: true}}, "stop that process: kill 8"},
		{[]datadir.Holder{{PID: 8, Command: "tail"}, {PID: 9, Command: "cat", Writes: true}}, "stop that process: kill 9"},
		{nil, "ailee-doctor"},
	} {
		r := &run{Options: Options{DataDir: flags.DefaultDataDir, Unit: defaultUnit}, view: &datadir.View{Holders: &datadir.Holders{Processes: append([]datadir.Holder{node}, c.others...)}}}
		require.Equal(t, c.hint, r.stopHint())
	}
}

// TestCouldNotHints: what could not be checked has a hint, whatever the reason.
func TestCouldNotHints(t *testing.T) {
	r := &run{view: &datadir.View{BackupFolder: &datadir.BackupFolder{NotMounted: true}}}
	require.Equal(t, "mount its file system, see the list: findmnt --fstab", r.hintFor(datadir.Fact{Code: datadir.BackupsFolder}))
	r.couldNot("reorg_db", context.DeadlineExceeded)
	require.Equal(t, []failure{{"could not check reorg_db: context deadline exceeded", "run it again, if need be when more memory is free"}}, r.failures)
}

// said returns what an operator sees of a run.
func (r *run) said(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	tool := Tool()
	tool.Flags, tool.Run = nil, func(_ context.Context, _ *urfave.Context, out *cli.IO) error {
		r.out = out
		r.say()
		return nil
	}
	require.Zero(t, cli.Execute(t.Context(), tool, []string{Name}, cli.Streams{Out: &b, Err: &b}))
	return b.String()
}
