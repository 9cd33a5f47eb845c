package backup_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/content"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
)

// TestOverAYear backs up every hour. On some days the database is created again and the file is
// cut by hand, and the loss is given up with --accept-loss 20 hours later: until then, everything
// that was backed up is still in a backup. For an hour each day the source is damaged, and not
// backed up.
func TestOverAYear(t *testing.T) {
	days := 2
	switch {
	case clitest.UnderLoad():
		days = 366
	case !testing.Short():
		days = 5
	}
	t.Setenv("TZ", "Europe/Berlin")
	dir := clitest.NodeDir(t, 1)
	file, db, folder := filepath.Join(dir, "l2_snapshots.dat"), filepath.Join(dir, "reorg_db"), filepath.Join(dir, "backups")
	first := time.Date(2024, time.February, 28, 0, 17, 0, 0, time.UTC)
	number, lostSince, lossDay := 1, -1, 1
	must := map[string]bool{} // anchors that a backup has to have
	take := func() {
		d, err := content.ReadDatabase(t.Context(), db, content.DatabaseOptions{})
		require.NoError(t, err)
		for a, err := range d.AnchorRecords() {
			require.NoError(t, err)
			must[a.Hash] = true
		}
		require.NoError(t, d.Close())
	}
	for hour := range days * 24 {
		now := first.Add(time.Duration(hour) * time.Hour)
		day := hour / 24
		number++
		require.NoError(t, clitest.AppendOne(file, number))
		written(t, db)
		if hour%24 == 11 {
			require.NoError(t, anchored(db, number))
		}
		if hour%24 == 5 {
			require.NoError(t, os.Rename(file, file+".kept"))
			require.NoError(t, os.WriteFile(file, []byte("SNAPSHOT v1\nEND_SNAPSHOT\n"), 0o644))
			code, _, _ := run(now, "--snapshot-only", "--data-dir", dir)
			require.Equal(t, exit.Wrong, code)
			require.NoError(t, os.Rename(file+".kept", file))
			continue
		}
		if day == lossDay && hour%24 == 2 {
			take()
			lostSince = hour
			require.NoError(t, os.RemoveAll(db))
			made, err := reorgdb.Create(db)
			require.NoError(t, err)
			require.NoError(t, made.Close())
			require.NoError(t, os.WriteFile(file, []byte(clitest.Numbered(number)), 0o644))
		}
		args := []string{"--data-dir", dir}
		lost := lostSince >= 0
		settle := lost && hour-lostSince == 20
		if settle {
			args = append(args, "--accept-loss")
			lostSince, lossDay = -1, day+29
		}
		code, _, stderr := run(now, args...)
		want := exit.OK
		if lost && !settle {
			want = exit.Wrong
		}
		require.Equal(t, want, code, "%s: %s", now, stderr)
		if lost {
			requireAnchors(t, folder, must)
		}
		if settle {
			clear(must)
		}
	}
	require.Positive(t, requireSound(t, folder))
	times := clitest.Times(t, filepath.Join(folder, backups.LatestName))
	require.EqualValues(t, number, times[len(times)-1])
	require.Less(t, len(names(t, folder)), 130)
}

// anchored records an anchor.
func anchored(path string, number int) error {
	db, err := reorgdb.Open(path)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Update(func(u *reorgdb.Update) error {
		hash := fmt.Sprintf("%064x", number)
		return u.Anchor(reorgdb.Anchor{Hash: hash, BitcoinTxID: hash, BitcoinHeight: 1, Status: reorgdb.Confirmed, L2StateRoot: hash})
	})
}

// requireAnchors asserts that, by the catalogue, an existing sound backup has all the anchors.
func requireAnchors(t *testing.T, folder string, must map[string]bool) {
	t.Helper()
	all := catalogue(t, folder).OfKind(backups.Database)
	require.True(t, slices.ContainsFunc(all, func(b *backups.Backup) bool {
		_, err := os.Stat(filepath.Join(folder, b.Name))
		return err == nil && b.Sound() && b.Database.AnchorCount() >= int64(len(must))
	}))
}
