package restore_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/restore"
	"ailee-recovery/reorgdb"
)

// said returns what a run printed, standard output and error together as on a terminal, with the
// default data directory in place of the real one.
func said(t *testing.T, want int, dir string, at time.Time, args ...string) string {
	t.Helper()
	var both strings.Builder
	args = append([]string{restore.Name, "--data-dir", dir}, args...)
	code := cli.Execute(t.Context(), restore.Tool(), args, cli.Streams{Out: &both, Err: &both, Now: func() time.Time { return at }})
	require.Equal(t, want, code, both.String())
	text := strings.ReplaceAll(both.String(), " --data-dir "+dir, "")
	return strings.ReplaceAll(text, dir, "/var/lib/ailee")
}

func instant(text string) time.Time {
	at, err := time.Parse(time.DateTime, text)
	if err != nil {
		panic(err)
	}
	return at.UTC()
}

// snapshots appends count snapshots to a file, a minute apart, the last one dated last.
func snapshots(t *testing.T, path string, count int, last string) {
	t.Helper()
	for i := range count {
		_, err := clitest.AppendAnchored(path, uint64(instant(last).Add(-time.Duration(count-1-i)*time.Minute).UnixMilli()), "m")
		require.NoError(t, err)
	}
}

// TestNothingToRestore has the text of a run that replaces nothing, but finds that a part lacks
// something.
func TestNothingToRestore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ailee")
	backups := filepath.Join(dir, "backups")
	require.NoError(t, os.MkdirAll(backups, 0o750))
	file := filepath.Join(dir, "l2_snapshots.dat")
	snapshots(t, file, 5, "2026-03-18 09:02:09")
	require.NoError(t, os.WriteFile(filepath.Join(backups, "l2_snapshots_20260318_091704.dat.bak"), []byte(clitest.Read(t, file)), 0o640))
	snapshots(t, file, 3, "2026-03-18 10:02:11")
	blocks := func(path string, count, reorgs, anchors int) {
		db, err := reorgdb.Create(path)
		require.NoError(t, err)
		require.NoError(t, db.Update(func(u *reorgdb.Update) error {
			for i := range count {
				if _, _, err := u.Block(t.Context(), reorgdb.Block{Height: uint64(i), Hash: hash(i)}, 1); err != nil {
					return err
				}
			}
			for i := range anchors {
				if err := u.Anchor(reorgdb.Anchor{Hash: hash(2000 + i), BitcoinTxID: hash(1), BitcoinHeight: 1, Status: reorgdb.Confirmed, L2StateRoot: hash(1)}); err != nil {
					return err
				}
			}
			return nil
		}))
		for i := range reorgs {
			require.NoError(t, db.Update(func(u *reorgdb.Update) error {
				_, _, err := u.Block(t.Context(), reorgdb.Block{Height: uint64(count - 1), Hash: hash(1000 + i)}, uint64(2+i))
				return err
			}))
		}
		require.NoError(t, db.Close())
	}
	other := t.TempDir()
	blocks(filepath.Join(other, "reorg_db"), 99, 3, 14)
	pack(t, other, filepath.Join(backups, "reorg_db_20260318_081703.tar.gz"), "reorg_db")
	blocks(filepath.Join(dir, "reorg_db"), 101, 0, 0)
	require.Equal(t, `l2_snapshots.dat is sound and newer than the newest backup:
  it has 3 snapshots more, the latest 2026-03-18 10:02:11; left alone
reorg_db is sound, left alone, but lacks what reorg_db_20260318_081703.tar.gz
  has: 14 anchors, 3 events; it has 2 blocks that the backup lacks
ailee-restore: error: reorg_db holds less than its backup
ailee-restore: hint: to have both: ailee-doctor
ailee-restore: hint: to go back to the backup: ailee-restore --db-only --force
Would replace nothing.
`, said(t, 2, dir, instant("2026-03-18 10:20:41"), "--dry-run"))
}

// TestARestore has the text of a restore.
func TestARestore(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 0)
	backUpDatabase(t, dir, instant("2026-03-18 09:17:04").Unix())
	backups := filepath.Join(dir, "backups")
	good := filepath.Join(backups, "l2_snapshots_20260318_091704.dat.bak")
	snapshots(t, good, 1202, "2026-03-18 09:02:09")
	bad := filepath.Join(t.TempDir(), "bad")
	snapshots(t, bad, 1, "2026-03-18 10:02:11")
	tampered := strings.Replace(clitest.Read(t, bad), `balance "peer" 1`, `balance "peer" 2`, 1)
	require.NoError(t, os.WriteFile(filepath.Join(backups, "l2_snapshots_20260318_101702.dat.bak"), []byte(clitest.Read(t, good)+tampered), 0o640))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "l2_snapshots.dat"), make([]byte, 5000), 0o640))
	require.Equal(t, `Skipped l2_snapshots_20260318_101702.dat.bak: snapshot 1203: root mismatch
Restored l2_snapshots.dat from l2_snapshots_20260318_091704.dat.bak
  1202 snapshots, latest 2026-03-18 09:02:09; what was there had none
  kept as l2_snapshots.dat.replaced_20260318_102055
reorg_db is sound and lacks nothing, left alone
Next: ailee-doctor
`, said(t, 0, dir, instant("2026-03-18 10:20:55")))
}

// TestAllRefusals has the text of a refused run: everything that is in its way, at once.
func TestAllRefusals(t *testing.T) {
	t.Parallel()
	if !clitest.CanMount(t) {
		t.Skip("cannot mount")
	}
	dir, view := t.TempDir(), t.TempDir()
	mount(t, "tmpfs", dir, "tmpfs", 0, "size=1229m")
	mount(t, dir, view, "", unix.MS_BIND, "")
	require.NoError(t, os.CopyFS(filepath.Join(dir, "reorg_db"), os.DirFS(filepath.Join(nodeDir(t, 0), "reorg_db"))))
	stop, err := reorgtest.StartNode(filepath.Join(view, "reorg_db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, stop()) }()
	source := filepath.Join(t.TempDir(), "large.dat")
	require.NoError(t, os.WriteFile(source, nil, 0o600))
	require.NoError(t, os.Truncate(source, 2970<<20))
	text := said(t, 1, dir, instant("2026-03-18 10:20:55"), "--snapshot-backup", source)
	text = regexpPID.ReplaceAllString(strings.ReplaceAll(text, view+"/reorg_db", "/mnt/x/db"), "(pid 1234)")
	require.Equal(t, `ailee-restore: error: reorg_db is in use by ailee_node (pid 1234) as /mnt/x/db
ailee-restore: hint: systemctl stop ailee-node
ailee-restore: error: 1.2 GiB free in /var/lib/ailee, 2.9 GiB needed
ailee-restore: hint: see what can go: ailee-doctor
Nothing was changed.
`, text)
	require.Equal(t, []string{"reorg_db"}, clitest.Names(t, dir))
}

var regexpPID = regexp.MustCompile(`\(pid \d+\)`)

func mount(t *testing.T, source, at, kind string, flags uintptr, options string) {
	t.Helper()
	require.NoError(t, unix.Mount(source, at, kind, flags, options))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(at, unix.MNT_DETACH)) })
}
