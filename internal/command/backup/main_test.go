package backup_test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/backup"
	"ailee-recovery/internal/command/prunesnapshots"
)

// TestMain puts all folders in memory: no test here depends on the disk.
func TestMain(m *testing.M) {
	_ = os.Setenv("TMPDIR", clitest.Memory())
	clitest.Main(m, reorgtest.Programs, backup.Tool(), prunesnapshots.Tool())
}

func TestUsageErrors(t *testing.T) { clitest.UsageErrors(t, backup.Tool()) }

// start is the time of the first backup of most tests.
var start = time.Date(2025, time.February, 15, 0, 0, 0, 0, time.UTC)

// run runs the tool in this process, with its clock set to now.
func run(now time.Time, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = cli.Execute(context.Background(), backup.Tool(), append([]string{backup.Name}, args...),
		cli.Streams{Out: &out, Err: &errs, Now: func() time.Time { return now }})
	if err := clitest.Record(backup.Name, args, out.String()); err != nil {
		panic(err)
	}
	return code, out.String(), errs.String()
}

// quiet asserts that a run succeeds and prints nothing.
func quiet(t *testing.T, now time.Time, args ...string) {
	t.Helper()
	code, stdout, stderr := run(now, args...)
	require.Zero(t, code, "%s%s", stdout, stderr)
	require.Empty(t, stdout+stderr)
}

func hours(n int) time.Time { return start.Add(time.Duration(n) * time.Hour) }

func stamp(at time.Time) string { return at.UTC().Format("20060102_150405") }

// snapshotsAt and databaseAt return the names of backups.
func snapshotsAt(at time.Time) string { return "l2_snapshots_" + stamp(at) + ".dat.bak" }
func databaseAt(at time.Time) string  { return "reorg_db_" + stamp(at) + ".tar.gz" }

// contents returns every file below a folder, by its path, except for the catalogue.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := clitest.Contents(t, dir)
	maps.DeleteFunc(all, func(path, _ string) bool {
		name := filepath.Base(path)
		return name == backups.CatalogueName || strings.HasPrefix(name, "ailee-records-")
	})
	return all
}

// names returns the names of the backups in a folder, the latest included.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	for _, name := range clitest.Names(t, dir) {
		if _, ok := backups.ParseName(name); ok || name == backups.LatestName {
			all = append(all, name)
		}
	}
	return all
}

// catalogue reads the catalogue of a folder.
func catalogue(t *testing.T, dir string) *backups.Catalogue {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, backups.CatalogueName))
	require.NoError(t, err)
	c := new(backups.Catalogue)
	require.NoError(t, json.Unmarshal(data, c))
	return c
}

// requireSound reads every backup in a folder, and returns their number.
func requireSound(t *testing.T, dir string) (count int) {
	t.Helper()
	for _, name := range names(t, dir) {
		kind := backups.Snapshots
		if strings.HasPrefix(name, "reorg_db_") {
			kind = backups.Database
		}
		e, err := backups.Examine(t.Context(), filepath.Join(dir, name), kind, backups.ExamineOptions{Now: time.Now()})
		require.NoError(t, err)
		require.Equal(t, backups.Sound, e.Verdict, "%s: %v", name, e.Err)
		require.NoError(t, e.Close())
		count++
	}
	return count
}

// age makes the files look as if the node had not written for an hour.
func age(t *testing.T, dir string) {
	t.Helper()
	before := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(dir, "l2_snapshots.dat"), before, before))
	files, err := filepath.Glob(filepath.Join(dir, "reorg_db", "*"))
	require.NoError(t, err)
	for _, file := range files {
		require.NoError(t, os.Chtimes(file, before, before))
	}
}

// written makes a database look as if a node had just written to it.
func written(t *testing.T, db string) { touch(t, filepath.Join(db, "CURRENT")) }

// changed makes the files of a node look as if it had just written to both.
func changed(t *testing.T, dir string) {
	t.Helper()
	written(t, filepath.Join(dir, "reorg_db"))
	touch(t, filepath.Join(dir, "l2_snapshots.dat"))
}

func touch(t *testing.T, path string) {
	t.Helper()
	require.NoError(t, os.Chtimes(path, time.Now(), time.Now()))
}
