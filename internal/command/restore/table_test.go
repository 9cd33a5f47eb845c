package restore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/internal/golden"
	"ailee-recovery/reorgdb"
)

// history returns a snapshot file with snapshots by number. Those with a negative number have a
// wrong root.
func history(numbers ...int) string {
	var b strings.Builder
	for _, n := range numbers {
		if n > 0 {
			b.WriteString(clitest.Numbered(n))
		} else {
			b.WriteString(strings.Replace(clitest.Numbered(-n), "balance \"peer-0007", "balance \"peer-9007", 1))
		}
	}
	return b.String()
}

func hash(n int) string { return fmt.Sprintf("%064x", n) }

// database makes a database with anchors by number, each in its own table file. For a negative
// number the table file is damaged.
func database(t *testing.T, path string, anchors ...int) {
	t.Helper()
	made := filepath.Join(t.TempDir(), "made")
	db, err := reorgdb.Create(made)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(u *reorgdb.Update) error {
		for _, n := range anchors {
			n = max(n, -n)
			if err := u.Anchor(reorgdb.Anchor{Hash: hash(n), BitcoinTxID: hash(n), BitcoinHeight: 100, Status: reorgdb.Confirmed, L2StateRoot: hash(1000)}); err != nil {
				return err
			}
		}
		return nil
	}))
	require.NoError(t, db.Close())
	records := reorgtest.Records(t, made)
	reorgtest.Rocks(t, path, "disable_auto_compactions=true", func(db *grocksdb.DB) {
		for _, n := range anchors {
			key := string(reorgdb.AnchorKey(hash(max(n, -n))))
			reorgtest.Put(t, db, key, records["default/"+key])
			reorgtest.Flush(t, db)
		}
	})
	tables, err := filepath.Glob(filepath.Join(path, "*.sst"))
	require.NoError(t, err)
	require.Len(t, tables, len(anchors))
	for i, n := range anchors {
		if n < 0 {
			data := []byte(clitest.Read(t, tables[i]))
			data[10] ^= 1
			require.NoError(t, os.WriteFile(tables[i], data, 0o600))
		}
	}
}

// TestDecisions checks the table of decisions with the command: its exit status, the data
// afterwards, and that a dry run says the same.
func TestDecisions(t *testing.T) {
	clitest.InMemory(t)
	const (
		isReplaced = "replaced"
		isLeft     = "left alone"
		isRefused  = "refused"
	)
	for _, row := range []struct {
		name           string
		live, source   []int
		chosen, named  string
		code, codeName int
		says           string // if the source is named
	}{
		{"nothing", nil, []int{1, 2}, isReplaced, isReplaced, 0, 0, "Restored "},
		{"wrong, the source lacks nothing", []int{1, -2}, []int{1, 2}, isReplaced, isReplaced, 0, 0, "Restored "},
		{"wrong, and has what the source lacks", []int{1, 3, -2}, []int{1, 2}, isRefused, isRefused, 2, 2, "is wrong, but has what "},
		{"sound and equal", []int{1, 2}, []int{1, 2}, isLeft, isLeft, 0, 0, " is sound and lacks nothing, left alone"},
		{"sound, has more", []int{1, 2, 3}, []int{1, 2}, isLeft, isRefused, 0, 2, " is sound, and "},
		{"sound, lacks some", []int{1, 2}, []int{1, 2, 3}, isLeft, isReplaced, 2, 0, "Restored "},
		{"sound, each lacks some", []int{1, 2, 4}, []int{1, 2, 3}, isLeft, isLeft, 2, 2, " each have what the other lacks"},
	} {
		for _, part := range []string{"l2_snapshots.dat", "reorg_db"} {
			for _, how := range []string{"chosen", "named", "by force", "named, by force"} {
				t.Run(strings.Join([]string{row.name, part, how}, ", "), func(t *testing.T) {
					dir := filepath.Join(t.TempDir(), "ailee")
					backups := filepath.Join(dir, "backups")
					require.NoError(t, os.MkdirAll(backups, 0o750))
					name := filepath.Join(dir, part)
					source, only, flag := filepath.Join(backups, "l2_snapshots_"+stampOf(start)+".dat.bak"), "--snapshot-only", "--snapshot-backup"
					var want string
					records := map[string]string{}
					if part == "reorg_db" {
						source, only, flag = filepath.Join(backups, "reorg_db_"+stampOf(start)+".tar.gz"), "--db-only", "--db-backup"
						made := filepath.Join(t.TempDir(), "reorg_db")
						database(t, made, row.source...)
						records = reorgtest.Records(t, made)
						pack(t, filepath.Dir(made), source, "reorg_db")
						if row.live != nil {
							database(t, name, row.live...)
						}
					} else {
						want = history(row.source...)
						require.NoError(t, os.WriteFile(source, []byte(want), 0o600))
						if row.live != nil {
							require.NoError(t, os.WriteFile(name, []byte(history(row.live...)), 0o600))
						}
					}
					args, decision, code, says := []string{only}, row.chosen, row.code, ""
					if strings.HasPrefix(how, "named") {
						args, decision, code, says = []string{flag, source}, row.named, row.codeName, row.says
					}
					if strings.HasSuffix(how, "force") {
						args, decision, code, says = append(args, "--force"), isReplaced, 0, "Restored "
					}
					before := clitest.Contents(t, dir)
					got, dry, stderr := run(t, start+9, dir, append(args, "--dry-run", "--json")...)
					require.Equal(t, code, got, stderr)
					require.Equal(t, before, clitest.Contents(t, dir))
					got, stdout, stderr := run(t, start+9, dir, args...)
					require.Equal(t, code, got, stderr)
					require.Contains(t, stdout+stderr, says)
					kept := name + ".replaced_" + stampOf(start+9)
					if decision != isReplaced {
						require.Equal(t, before, clitest.Contents(t, dir))
						require.Contains(t, dry, `"decision": "`+map[string]string{isLeft: "left-alone", isRefused: "refused"}[decision]+`"`)
						return
					}
					require.Contains(t, dry, `"decision": "replaced"`)
					if part == "reorg_db" {
						require.Equal(t, records, reorgtest.Records(t, name))
					} else {
						require.Equal(t, want, clitest.Read(t, name))
					}
					if row.live == nil {
						require.NoFileExists(t, kept)
						return
					}
					for path, data := range before {
						if strings.HasPrefix(path, part) {
							require.Equal(t, data, clitest.Read(t, filepath.Join(dir, strings.Replace(path, part, filepath.Base(kept), 1))))
						}
					}
				})
			}
		}
	}
}

// TestPrunedOnPurpose: what a prune dropped, by its note, is not missing.
func TestPrunedOnPurpose(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 5)
	file := filepath.Join(dir, "l2_snapshots.dat")
	backUp(t, dir, start)
	clitest.RunProcess(t, 0, "ailee_prune_snapshots", "--in-place", "--keep", "2", "--file", file)
	code, stdout, stderr := run(t, start+1, dir, "--snapshot-only")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "l2_snapshots.dat is sound and lacks nothing, left alone; 3 snapshots of the\n  backup were pruned\n")
	// The same file, as if cut by hand.
	require.NoError(t, os.Remove(filepath.Join(dir, ".l2_snapshots.dat.ailee-pruned")))
	code, stdout, stderr = run(t, start+1, dir, "--snapshot-only")
	require.Equal(t, 2, code)
	require.Contains(t, stdout, "l2_snapshots.dat is sound, left alone, but lacks what\n  l2_snapshots_20250215_000000.dat.bak has: 3 snapshots, ")
	require.Contains(t, stderr, "error: l2_snapshots.dat holds less than its backup\n")
}

// TestHiddenSnapshots: a file that hides a valid snapshot from nodes is not sound, and a source
// that lacks that snapshot does not replace it.
func TestHiddenSnapshots(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 1)
	file := filepath.Join(dir, "l2_snapshots.dat")
	backups := filepath.Join(dir, "backups")
	require.NoError(t, os.Mkdir(backups, 0o700))
	hidden := history(1) + clitest.Numbered(2)[:300] + history(3, 4)
	require.NoError(t, os.WriteFile(file, []byte(hidden), 0o600))
	source := filepath.Join(backups, "l2_snapshots_"+stampOf(start)+".dat.bak")
	require.NoError(t, os.WriteFile(source, []byte(history(1, 4)), 0o600))
	code, _, stderr := run(t, start+1, dir, "--snapshot-only")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "l2_snapshots.dat is wrong, but has what l2_snapshots_20250215_000000.dat.bak lacks: 1 snapshot, ")
	require.Contains(t, stderr, "ailee_recover_snapshots "+source+" "+file+" ")
	require.Equal(t, hidden, clitest.Read(t, file))
	require.NoError(t, os.WriteFile(source, []byte(history(1, 3, 4)), 0o600))
	code, _, stderr = run(t, start+1, dir, "--snapshot-only")
	require.Zero(t, code, stderr)
	require.Equal(t, history(1, 3, 4), clitest.Read(t, file))
}

// TestDocument prints the JSON fields that no other test does.
func TestDocument(t *testing.T) {
	clitest.InMemory(t)
	dir := nodeDir(t, 5)
	file, db, backups := filepath.Join(dir, "l2_snapshots.dat"), filepath.Join(dir, "reorg_db"), filepath.Join(dir, "backups")
	require.NoError(t, os.RemoveAll(db))
	require.NoError(t, os.Rename(golden.Database(t, "node-current-reputation-cf"), db))
	backUp(t, dir, start)
	require.NoError(t, os.WriteFile(filepath.Join(backups, "l2_snapshots_"+stampOf(start+60)+".dat.bak"), []byte("rotten"), 0o600))
	require.NoError(t, os.Rename(filepath.Join(backups, "reorg_db_"+stampOf(start)+".tar.gz"), filepath.Join(backups, "reorg_db_20990101_000000.tar.gz")))
	clitest.RunProcess(t, 0, prunesnapshots.Name, "--in-place", "--keep", "2", "--file", file)
	require.NoError(t, os.RemoveAll(db))
	database(t, db, 1)
	reorgtest.Rocks(t, db, "", func(db *grocksdb.DB) { reorgtest.Put(t, db, reorgdb.CounterKey, "9") })
	code, stdout, stderr := run(t, start+100, dir, "--json")
	require.Equal(t, 2, code, stderr)
	require.Contains(t, stdout, `"dated_in_the_future"`)
	require.Contains(t, stdout, `"pruned": 3`)
	require.NoError(t, os.WriteFile(file, []byte("lost"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".l2_snapshots.dat.ailee-old-9-9"), []byte("left"), 0o600))
	code, _, stderr = run(t, start+100, dir, "--json", "--force")
	require.Zero(t, code, stderr)
	code, stdout, stderr = run(t, start+100, dir)
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "reorg_db_20990101_000000.tar.gz is dated in the future: only its content counts\n")
}
