package initreorgdb_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/golden"
	"ailee-recovery/reorgdb"
)

// TestDamageWithABackup damages every file of a database in every way, and merges it with a
// complete backup and with an older one. Nothing that a backup has is ever missing, and a
// merge that says it is complete has everything.
func TestDamageWithABackup(t *testing.T) {
	clitest.SkipUnderRace(t) // this tests other processes
	clitest.InMemory(t)
	flips, names, each := 4, golden.Databases, 11
	switch {
	case clitest.Hostile():
		flips, each = 60, 1
	case testing.Short():
		names, each = names[:1], 11
	}
	cases, complete, incomplete := 0, 0, 0
	for _, name := range names {
		whole := golden.Database(t, name)
		want := reorgtest.Records(t, whole)
		backup, older := filepath.Join(t.TempDir(), "backup.tar.gz"), filepath.Join(t.TempDir(), "older.tar")
		pack(t, whole, backup)
		before, old := golden.Database(t, name), maps.Clone(want)
		forget(t, before, old)
		pack(t, before, older)
		files, err := os.ReadDir(whole)
		require.NoError(t, err)
		for _, file := range files {
			data, err := os.ReadFile(filepath.Join(whole, file.Name()))
			require.NoError(t, err)
			for _, d := range damages(len(data), flips, rand.New(rand.NewSource(2))) {
				if cases++; cases%each > 0 {
					continue
				}
				at := fmt.Sprintf("%s/%s/%s", name, file.Name(), d.name)
				path := golden.Database(t, name)
				damaged := filepath.Join(path, file.Name())
				if d.apply == nil {
					require.NoError(t, os.Remove(damaged))
				} else {
					require.NoError(t, os.WriteFile(damaged, d.apply(append([]byte{}, data...)), 0o644))
				}
				code, got, said := mergedWith(t, path, backup)
				if code != exit.Failed {
					require.Equal(t, want, got, "%s: %s", at, said)
				}
				code, got, said = mergedWith(t, path, older)
				if code == exit.Failed {
					continue
				}
				for key, value := range old {
					require.Contains(t, got, key, "%s: %s", at, said)
					if got[key] != value {
						require.Equal(t, want[key], got[key], "%s: %s: %s", at, key, said)
					}
				}
				for key := range got {
					require.Contains(t, want, key, "%s: %s", at, said)
				}
				switch silent := undetectable(file.Name(), d.name); {
				case code == exit.OK && !silent:
					complete++
					require.Equal(t, want, got, "%s: %s", at, said)
				case code == exit.Wrong:
					incomplete++
				}
			}
		}
	}
	require.NotZero(t, complete)
	require.NotZero(t, incomplete)
}

// mergedWith merges a damaged database and an archive.
func mergedWith(t *testing.T, path, archive string) (code int, records map[string]string, said string) {
	t.Helper()
	merged := filepath.Join(t.TempDir(), "merged")
	code, stdout, stderr := clitest.Run(initreorgdb.Tool(), "--path", merged, "--copy-from", path, "--copy-from", archive)
	if code == exit.Failed {
		require.NoDirExists(t, merged)
		return code, nil, stderr
	}
	return code, reorgtest.Records(t, merged), stdout + stderr
}

// pack makes an archive of a database.
func pack(t *testing.T, path, archive string) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(dir, "reorg_db"), os.DirFS(path)))
	said, err := exec.Command("tar", "-C", dir, "-caf", archive, "reorg_db").CombinedOutput()
	require.NoError(t, err, string(said))
}

// forget removes the latest blocks and an anchor from a database and from its records, and
// returns the other anchors to their earlier state.
func forget(t *testing.T, path string, records map[string]string) {
	t.Helper()
	db, err := reorgdb.Open(path)
	require.NoError(t, err)
	highest, _, err := db.HighestBlock()
	require.NoError(t, err)
	require.NoError(t, db.Update(func(u *reorgdb.Update) error {
		// The highest block may be at the highest possible height.
		for below := range min(highest.Height, 30) + 1 {
			u.DeleteBlock(highest.Height - below)
			delete(records, fmt.Sprintf("default/block:%020d", highest.Height-below))
		}
		return nil
	}))
	var anchors []reorgdb.Anchor
	for anchor, err := range db.Anchors(t.Context()) {
		require.NoError(t, err)
		if anchor.Key == anchor.Hash {
			anchors = append(anchors, anchor.Anchor)
		}
	}
	require.NoError(t, db.Update(func(u *reorgdb.Update) error {
		for i, anchor := range anchors {
			if i == 0 {
				u.DeleteAnchor(anchor.Hash)
				delete(records, "default/anchor:"+anchor.Hash)
				continue
			}
			anchor.Status, anchor.Confirmations = reorgdb.Pending, 0
			if err := u.Anchor(anchor); err != nil {
				return err
			}
		}
		return nil
	}))
	require.NoError(t, db.Close())
	for key, value := range reorgtest.Records(t, path) {
		if _, kept := records[key]; kept {
			records[key] = value
		}
	}
}

// TestDifferencesAreListed: a hundred differences are listed as text, and all of them as JSON.
func TestDifferencesAreListed(t *testing.T) {
	clitest.InMemory(t)
	dir := t.TempDir()
	const n = 5000
	for _, name := range []string{"first", "second"} {
		db, err := reorgdb.Create(filepath.Join(dir, name), "reputation_cf")
		require.NoError(t, err)
		require.NoError(t, db.Update(func(u *reorgdb.Update) error {
			for i := range n {
				require.NoError(t, u.Put(reorgdb.DefaultFamily, fmt.Appendf(nil, "anchor:%064x", i), fmt.Appendf(nil, "%064x|%s\x1b|\"1\"\n", i, name)))
			}
			return u.Put("reputation_cf", []byte("peer"), []byte(name))
		}))
		require.NoError(t, db.Close())
	}
	args := []string{"--path", filepath.Join(dir, "new"), "--copy-from", filepath.Join(dir, "first"), "--copy-from", filepath.Join(dir, "second")}
	code, stdout, stderr := clitest.Run(initreorgdb.Tool(), append([]string{"--dry-run"}, args...)...)
	require.Equal(t, exit.OK, code, stderr)
	require.Equal(t, 101, strings.Count(stdout, "\nDifferent: "))
	require.Contains(t, stdout, "\nDifferent: 4901 more; --json lists all of them\n")
	require.Contains(t, stdout, `0|first\x1b|"1"\x0a" in `)
	code, stdout, stderr = clitest.Run(initreorgdb.Tool(), append([]string{"--json"}, args...)...)
	require.Equal(t, exit.OK, code, stderr)
	var doc struct {
		Differences []struct {
			Family            string `json:"column_family"`
			Key, Taken, Value string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &doc))
	require.Len(t, doc.Differences, n+1)
	last := doc.Differences[n]
	require.Equal(t, []string{"reputation_cf", "peer", "first", "second"}, []string{last.Family, last.Key, last.Taken, last.Value})
	for i, d := range doc.Differences[:n] {
		require.Equal(t, fmt.Sprintf("anchor:%064x", i), d.Key)
		require.Equal(t, fmt.Sprintf(`%064x|first\x1b|"1"\x0a`, i), d.Taken)
		require.Equal(t, fmt.Sprintf(`%064x|second\x1b|"1"\x0a`, i), d.Value)
	}
	names, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, names, 3)
}

// TestSeveralLargeSources: memory does not grow with the size of the sources.
func TestSeveralLargeSources(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for short mode")
	}
	clitest.SkipUnderRace(t)
	dir := t.TempDir()
	const n = 1_000_000
	for k, name := range []string{"first", "second"} {
		db, err := reorgdb.Create(filepath.Join(dir, name))
		require.NoError(t, err)
		require.NoError(t, db.BulkLoad(reorgdb.DefaultFamily, func(yield func(reorgdb.Record, error) bool) {
			for _, prefix := range []string{"anchor:%064d", "block:%020d"} {
				for i := range n {
					if i%10 == k {
						continue
					}
					if !yield(reorgdb.Record{Key: fmt.Appendf(nil, prefix, i), Value: fmt.Appendf(nil, "%064d|%064d|1|7|1|0|1|root", i, i)}, nil) {
						return
					}
				}
			}
		}))
		require.NoError(t, db.Sync())
		require.NoError(t, db.Close())
	}
	cmd := exec.Command(initreorgdb.Name, "--path", filepath.Join(dir, "new"), "--copy-from", filepath.Join(dir, "first"), "--copy-from", filepath.Join(dir, "second"))
	cmd.Env = append(os.Environ(), "GOMEMLIMIT=off")
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, string(said))
	require.Contains(t, string(said), fmt.Sprintf("Blocks: %d\nAnchors: %d\n", n, n))
	peak := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	t.Logf("%d MiB", peak>>20)
	require.Less(t, peak, int64(192<<20))
	clitest.RunTool(t, exit.OK, reorgverify.Tool(), "--db-path", filepath.Join(dir, "new"))
}
