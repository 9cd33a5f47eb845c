package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/command/backup"
	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/internal/command/extractsnapshots"
	"ailee-recovery/internal/command/initnode"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/monitor"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/internal/command/recoversnapshots"
	"ailee-recovery/internal/command/restore"
	"ailee-recovery/internal/command/resyncblocks"
	"ailee-recovery/internal/golden"
	"ailee-recovery/internal/multicall"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// snapshots writes a file with the given number of snapshots.
func snapshots(t *testing.T, path string, count int) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(encoded(t, 1, count)), 0o640))
}

// encoded returns the snapshots with these numbers, a few kilobytes each.
func encoded(t *testing.T, from, to int) string {
	t.Helper()
	var b bytes.Buffer
	for i := from; i <= to; i++ {
		st := numbered(i)
		st.Anchor = snapshot.NewAnchor(snapshot.Root(&st), st.TimestampMs, "m")
		require.NoError(t, snapshot.Encode(&b, &st))
	}
	return b.String()
}

func numbered(number int) snapshot.State {
	st := snapshot.State{TimestampMs: uint64(number),
		Ledger:        snapshot.Ledger{Balances: []snapshot.Balance{}, Escrows: []snapshot.Escrow{}},
		Bridge:        snapshot.Bridge{PegIns: []snapshot.PegIn{}, PegOuts: []snapshot.PegOut{}},
		Orchestration: snapshot.Orchestration{Tasks: []snapshot.Task{}}}
	for i := range 100 {
		st.Ledger.Balances = append(st.Ledger.Balances, snapshot.Balance{PeerID: fmt.Sprintf("peer-%04d-%d", i, number), Balance: uint64(i)})
	}
	return st
}

func stateFile(t *testing.T, path string) {
	t.Helper()
	text, err := json.Marshal(numbered(7))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o640))
}

// database unpacks a database that a node wrote.
func database(t *testing.T, path, name string) {
	t.Helper()
	require.NoError(t, os.CopyFS(path, os.DirFS(golden.Database(t, name))))
}

func in(root string, name ...string) string {
	return filepath.Join(append([]string{root, "data"}, name...)...)
}

func bin(name string) string { return filepath.Join(binaries, name) }

// temporary has the patterns for files that are being written.
var temporary = []string{".*.ailee-tmp", ".ailee-reorgdb-*"}

// appended reports whether a file has its old content followed by a part of what is appended.
func appended(old, want, content string) bool {
	return strings.HasPrefix(content, old) && strings.HasPrefix(want, content)
}

var times = regexp.MustCompile(`_\d{8}_\d{6}`)

// withoutTime removes the time from the name of a backup.
func withoutTime(path string) string { return times.ReplaceAllString(path, "") }

// resyncing is a resync with a chain, of a database that fill has filled.
func resyncing(name string, tip int64, fill func(t *testing.T, chain *bitcointest.Chain, u *reorgdb.Update), flags ...string) *scenario {
	url := ""
	return &scenario{
		name: name,
		prepare: func(t *testing.T, root string) {
			db, err := reorgdb.Create(in(root, "reorg_db"))
			require.NoError(t, err)
			chain := bitcointest.NewChain(tip)
			require.NoError(t, db.Update(func(u *reorgdb.Update) error {
				fill(t, chain, u)
				return nil
			}))
			require.NoError(t, db.Close())
			url = chain.Serve(t)
		},
		command: func(root string, run int) []string {
			return append([]string{bin(resyncblocks.Name), "--db-path", in(root, "reorg_db"), "--bitcoin-rpc", url}, flags...)
		},
		leftover: temporary,
	}
}

// backingUpAgain is a backup of a node that was backed up an hour ago. Of each kind only one
// backup is kept. What change leaves as it is gets a second name, the rest is copied.
func backingUpAgain(name string, change func(t *testing.T, root string)) *scenario {
	const stamp, second = "20060102_150405", "2006-01-02T15:04:05"
	hourAgo := time.Now().UTC().Add(-time.Hour)
	return &scenario{
		name: name, long: true, roomy: true,
		prepare: func(t *testing.T, root string) {
			snapshots(t, in(root, "l2_snapshots.dat"), 5)
			database(t, in(root, "reorg_db"), "node-rocksdb-6.11.4")
			// A source that was written just now is not taken for unchanged.
			require.NoError(t, exec.Command("find", in(root), "-type", "f", "-exec", "touch", "-d", "-1 minute", "{}", "+").Run())
		},
		settle: func(t *testing.T, root string) {
			backups := in(root, "backups")
			said, err := exec.Command(bin(backup.Name), "--data-dir", in(root)).CombinedOutput()
			require.NoError(t, err, string(said))
			text, err := os.ReadFile(filepath.Join(backups, "ailee-catalogue.json"))
			require.NoError(t, err)
			catalogue := string(text)
			entries, err := os.ReadDir(backups)
			require.NoError(t, err)
			for _, entry := range entries {
				now, found := strings.CutPrefix(times.FindString(entry.Name()), "_")
				if !found {
					continue
				}
				made, err := time.Parse(stamp, now)
				require.NoError(t, err)
				earlier := strings.ReplaceAll(entry.Name(), now, hourAgo.Format(stamp))
				require.NoError(t, os.Rename(filepath.Join(backups, entry.Name()), filepath.Join(backups, earlier)))
				catalogue = strings.ReplaceAll(catalogue, now, hourAgo.Format(stamp))
				for _, when := range []string{"made", "at", "start", "end", "last_success"} {
					catalogue = strings.ReplaceAll(catalogue, when+`": "`+made.Format(second), when+`": "`+hourAgo.Format(second))
				}
			}
			require.NoError(t, os.WriteFile(filepath.Join(backups, "ailee-catalogue.json"), []byte(catalogue), 0o640))
			change(t, root)
		},
		command: func(root string, run int) []string {
			return []string{bin(backup.Name), "--data-dir", in(root), "--keep", "1", "--keep-daily", "0", "--keep-weekly", "0"}
		},
		leftover: append([]string{".ailee-backup.tmp"}, temporary...),
		same: func(path string) string {
			return withoutTime(strings.ReplaceAll(path, hourAgo.Format("_"+stamp), ", an hour ago"))
		},
		// A run after a broken one may have nothing to copy, and then deletes nothing. If it finds
		// what the broken one had already linked, it deletes the earlier name.
		replaced: map[string]string{
			"data/backups/l2_snapshots, an hour ago.dat.bak": "data/backups/l2_snapshots.dat.bak",
			"data/backups/reorg_db, an hour ago.tar.gz":      "data/backups/reorg_db.tar.gz",
		},
	}
}

// noWatch lets a prune in place end at once: if no other process opens the file, none opens it late.
const noWatch = "--watch=1ms"

// completing is a prune after one that was killed after its swap. A node had just appended to the old
// file; that many bytes of this were carried over. If overtaken, it has appended another snapshot to
// the new file since.
func completing(name string, carried int, overtaken bool) *scenario {
	const file, old = "l2_snapshots.dat", ".l2_snapshots.dat.ailee-old-"
	return &scenario{
		name: "complete a prune, " + name,
		prepare: func(t *testing.T, root string) {
			pruned, kept, appended := encoded(t, 1, 3), encoded(t, 4, 5), encoded(t, 6, 7)
			current := kept + appended[:carried]
			if overtaken {
				current += encoded(t, 8, 8)
			}
			second := fmt.Sprintf("%s%d-%d", old, len(pruned+kept), len(kept))
			require.NoError(t, os.WriteFile(in(root, second), []byte(pruned+kept+appended), 0o640))
			require.NoError(t, os.WriteFile(in(root, file), []byte(current), 0o640))
		},
		command: func(root string, run int) []string {
			return []string{bin(prunesnapshots.Name), "--file", in(root, file), "--in-place", "--keep", "all", noWatch}
		},
		leftover: append([]string{".l2_snapshots.dat.ailee-*"}, temporary...),
		resumed:  []string{old + "*"},
		between:  appended,
	}
}

func scenarios() []*scenario {
	const file, db = "l2_snapshots.dat", "reorg_db"
	prepareFile := func(t *testing.T, root string) { snapshots(t, in(root, file), 5) }
	fresh := "genesis"
	return []*scenario{
		{
			name:    "prune to a file",
			prepare: prepareFile,
			command: func(root string, run int) []string {
				args := []string{bin(prunesnapshots.Name), "--file", in(root, file), "--keep", "3", "--output", in(root, "pruned.dat")}
				if run > 0 {
					args = append(args, "--force")
				}
				return args
			},
			leftover: temporary,
		},
		{
			name: "prune over a file",
			prepare: func(t *testing.T, root string) {
				prepareFile(t, root)
				snapshots(t, in(root, "pruned.dat"), 1)
			},
			command: func(root string, run int) []string {
				return []string{bin(prunesnapshots.Name), "--file", in(root, file), "--keep", "3", "--output", in(root, "pruned.dat"), "--force"}
			},
			leftover: temporary,
		},
		{
			name:    "prune in place",
			prepare: prepareFile,
			command: func(root string, run int) []string {
				return []string{bin(prunesnapshots.Name), "--file", in(root, file), "--keep", "3", "--in-place", noWatch}
			},
			leftover: append([]string{".l2_snapshots.dat.ailee-old-*"}, temporary...),
			resumed:  []string{".l2_snapshots.dat.ailee-old-*"},
		},
		completing("nothing carried over", 0, false),
		completing("a part carried over", 1000, false),
		completing("overtaken", 0, true),
		completing("a part carried over and overtaken", 1000, true),
		{
			name:    "extract",
			prepare: prepareFile,
			command: func(root string, run int) []string {
				args := []string{bin(extractsnapshots.Name), in(root, file), in(root, "out")}
				if run > 0 {
					args = []string{bin(extractsnapshots.Name), "--force", in(root, file), in(root, "out")}
				}
				return args
			},
			leftover: temporary,
		},
		{
			name: "extract to an existing folder",
			prepare: func(t *testing.T, root string) {
				prepareFile(t, root)
				require.NoError(t, os.Mkdir(in(root, "out"), 0o755))
			},
			command: func(root string, run int) []string {
				args := []string{bin(extractsnapshots.Name), in(root, file), in(root, "out")}
				if run > 0 {
					args = []string{bin(extractsnapshots.Name), "--force", in(root, file), in(root, "out")}
				}
				return args
			},
			leftover: append([]string{".ailee_extract-staging"}, temporary...),
		},
		{
			name: "recover",
			prepare: func(t *testing.T, root string) {
				prepareFile(t, root)
				snapshots(t, in(root, "old.dat"), 3)
				require.NoError(t, exec.Command("gzip", in(root, "old.dat")).Run())
				require.NoError(t, os.WriteFile(in(root, "other.dat"), []byte(encoded(t, 4, 7)+encoded(t, 2, 2)), 0o640))
			},
			command: func(root string, run int) []string {
				return []string{bin(recoversnapshots.Name), in(root, "other.dat"), in(root, "old.dat.gz"), in(root, file), in(root, "recovered.dat")}
			},
			leftover: temporary,
		},
		{
			name:    "init database",
			prepare: func(*testing.T, string) {},
			command: func(root string, run int) []string {
				return []string{bin(initreorgdb.Name), "--path", in(root, db), "--if-missing"}
			},
			leftover: temporary,
		},
		{
			name:    "copy database",
			prepare: func(t *testing.T, root string) { database(t, in(root, db), "node-rocksdb-6.11.4") },
			command: func(root string, run int) []string {
				return []string{bin(initreorgdb.Name), "--path", in(root, db+"_new"), "--if-missing", "--copy-from", in(root, db)}
			},
			leftover: temporary,
		},
		{
			name: "copy several databases",
			prepare: func(t *testing.T, root string) {
				dir := t.TempDir()
				database(t, filepath.Join(dir, db), "node-rocksdb-6.11.4")
				require.NoError(t, exec.Command("tar", "-C", dir, "-czf", in(root, "backup.tar.gz"), db).Run())
				database(t, in(root, "damaged"), "node-rocksdb-6.11.4")
				table, err := os.OpenFile(in(root, "damaged", "000004.sst"), os.O_WRONLY, 0)
				require.NoError(t, err)
				defer table.Close()
				_, err = table.WriteAt([]byte("x"), 20_000)
				require.NoError(t, err)
			},
			command: func(root string, run int) []string {
				return []string{bin(initreorgdb.Name), "--path", in(root, db+"_new"), "--if-missing", "--copy-from", in(root, "damaged"), "--copy-from", in(root, "backup.tar.gz")}
			},
			leftover: temporary,
		},
		{
			name:    "init node",
			prepare: func(*testing.T, string) {},
			command: func(root string, run int) []string {
				return []string{bin(initnode.Name), "--data-dir", in(root, "node"), "--if-missing"}
			},
			leftover: append([]string{".ailee_init_node-ready"}, temporary...),
			resumed:  []string{".ailee_init_node-ready"},
			plain: func(path, content string) string {
				if filepath.Base(path) != file {
					return content
				}
				r := strings.NewReader(content)
				l, err := snapshot.Latest(r, r.Size())
				if err != nil {
					return err.Error()
				}
				report, err := snapshot.NewChecker(nil).Check(context.Background(), r, l)
				if err != nil || report.Verdict() != snapshot.Valid || l.End() != r.Size() {
					return content
				}
				return fresh
			},
		},
		{
			name: "append an anchor",
			prepare: func(t *testing.T, root string) {
				prepareFile(t, root)
				stateFile(t, in(root, "state.json"))
			},
			command: func(root string, run int) []string {
				return []string{bin(createanchor.Name), "--l2-state-file", in(root, "state.json"), "--data-dir", in(root), "--timestamp-ms", "1739577600000"}
			},
			leftover: temporary,
			between:  appended,
		},
		{
			name: "anchor to a file",
			prepare: func(t *testing.T, root string) {
				stateFile(t, in(root, "state.json"))
			},
			command: func(root string, run int) []string {
				return []string{bin(createanchor.Name), "--l2-state-file", in(root, "state.json"), "--output", in(root, "anchored.dat"), "--timestamp-ms", "1739577600000"}
			},
			leftover: temporary,
		},
		broadcasting(),
		resyncing("resync", 120, func(t *testing.T, chain *bitcointest.Chain, u *reorgdb.Update) {
			for height := range int64(100) {
				_, _, err := u.Block(t.Context(), reorgdb.Block{Height: uint64(height), Hash: chain.Hash(height)}, 1)
				require.NoError(t, err)
			}
			require.NoError(t, u.Anchor(reorgdb.Anchor{Hash: strings.Repeat("ab", 32), BitcoinTxID: strings.Repeat("cd", 32), BitcoinHeight: 98,
				Confirmations: 1, Status: reorgdb.Confirmed, L2StateRoot: strings.Repeat("ef", 32)}))
			chain.Reorganise(97, 120)
		}),
		resyncing("resync of a new database", 12_000, func(*testing.T, *bitcointest.Chain, *reorgdb.Update) {}),
		resyncing("repair heights", 1000, func(_ *testing.T, chain *bitcointest.Chain, u *reorgdb.Update) {
			for count := range int64(100) {
				u.SetBlock(reorgdb.Block{Height: uint64(count + 1), Hash: chain.Hash(800 + count)})
			}
		}, "--repair-heights"),
		{
			name: "backup", long: true,
			prepare: func(t *testing.T, root string) {
				prepareFile(t, root)
				database(t, in(root, db), "node-rocksdb-6.11.4")
			},
			command: func(root string, run int) []string {
				return []string{bin(backup.Name), "--data-dir", in(root)}
			},
			leftover: append([]string{".ailee-backup.tmp", ".backups.ailee-tmp"}, temporary...),
			same:     withoutTime,
		},
		backingUpAgain("backup again, another file", func(t *testing.T, root string) {
			snapshots(t, in(root, file), 6)
		}),
		backingUpAgain("backup again, another database", func(t *testing.T, root string) {
			db, err := reorgdb.Open(in(root, db))
			require.NoError(t, err)
			require.NoError(t, db.Update(func(u *reorgdb.Update) error {
				u.SetBlock(reorgdb.Block{Height: 2_000_000, Hash: strings.Repeat("0a", 32)})
				return nil
			}))
			require.NoError(t, db.Close())
			give(t, in(root, "reorg_db"))
		}),
		{
			name: "links to all commands",
			prepare: func(t *testing.T, root string) {
				require.NoError(t, os.Mkdir(in(root, "bin"), 0o755))
			},
			command: func(root string, run int) []string {
				return []string{bin(multicall.Name), "--install-links", in(root, "bin")}
			},
		},
		{
			name: "metrics", long: true, roomy: true,
			prepare: func(t *testing.T, root string) {
				prepareFile(t, root)
				database(t, in(root, db), "node-rocksdb-6.11.4")
				require.NoError(t, exec.Command(bin(backup.Name), "--data-dir", in(root)).Run())
			},
			command: func(root string, run int) []string {
				return []string{bin(monitor.Name), "--data-dir", in(root), "--state-file", "", "--prometheus", in(root, "ailee.prom"),
					"--max-snapshot-age", "1000000", "--max-orphaned", "1000"}
			},
			leftover: append([]string{".ailee-backup-*"}, temporary...),
			plain: func(path, content string) string {
				if filepath.Base(path) == "ailee.prom" && strings.HasPrefix(content, "# HELP ailee_snapshot_file_bytes ") && strings.HasSuffix(content, `"} 1`+"\n") {
					return "complete" // the content has times
				}
				return content
			},
		},
		{
			name: "restore",
			prepare: func(t *testing.T, root string) {
				snapshots(t, in(root, file), 2)
				database(t, in(root, db), "node-rocksdb-7.8.3-reopened")
				backups := filepath.Join(root, "data", "backups")
				require.NoError(t, os.Mkdir(backups, 0o755))
				snapshots(t, filepath.Join(backups, "l2_snapshots_20250101_000000.dat.bak"), 5)
				dir := t.TempDir()
				database(t, filepath.Join(dir, db), "node-rocksdb-6.11.4")
				require.NoError(t, exec.Command("tar", "-C", dir, "-czf", filepath.Join(backups, "reorg_db_20250101_000000.tar.gz"), db).Run())
			},
			command: func(root string, run int) []string {
				return []string{bin(restore.Name), "--data-dir", in(root), "--force"}
			},
			leftover: append([]string{".*.ailee-restore.tmp", ".ailee-restore.json"}, temporary...),
			resumed:  []string{".*.ailee-restore.tmp", ".ailee-restore.json"},
			same:     withoutTime,
			keeps: func(path string) string {
				what, _, ok := strings.Cut(path, ".replaced_")
				if !ok {
					return ""
				}
				return what
			},
		},
	}
}
