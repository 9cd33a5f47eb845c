package test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/require"

	catalogue "ailee-recovery/internal/backups"
	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/backup"
	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/internal/command/diffsnapshots"
	"ailee-recovery/internal/command/doctor"
	"ailee-recovery/internal/command/drill"
	"ailee-recovery/internal/command/extractsnapshots"
	"ailee-recovery/internal/command/getsnapshotblock"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/command/monitor"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/internal/command/recoversnapshots"
	"ailee-recovery/internal/command/reorgshow"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/command/restore"
	"ailee-recovery/internal/command/resyncblocks"
	"ailee-recovery/internal/command/showsnapshot"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// The names in the folder of a row's data.
const (
	growthFile     = "l2_snapshots.dat"
	growthOther    = "other.dat"
	growthState    = "state.json"
	growthDatabase = "reorg_db"
	growthPristine = "pristine" // prepare makes growthDatabase or growthBackups from it
	growthBackups  = "backups"
	growthSaved    = "saved" // backups of the data
	growthOut      = "out"
)

// onData runs a command on the data. {name} stands for a name in its folder, {n} for the size.
func onData(command string, code int, prepare func(t *testing.T, dir string, n int), args ...string) growthRow {
	return growthRow{command: command, code: code, prepare: prepare, args: func(dir string, n int) []string {
		var all []string
		for _, arg := range args {
			switch name, isName := strings.CutPrefix(arg, "{"); {
			case arg == "{n}":
				all = append(all, fmt.Sprint(n))
			case isName:
				all = append(all, filepath.Join(dir, strings.TrimSuffix(name, "}")))
			default:
				all = append(all, arg)
			}
		}
		return all
	}}
}

// noOutput removes what a run has written.
func noOutput(t *testing.T, dir string, _ int) {
	require.NoError(t, os.RemoveAll(filepath.Join(dir, growthOut)))
}

// emptyOutput replaces the output with an empty folder.
func emptyOutput(t *testing.T, dir string, n int) {
	noOutput(t, dir, n)
	require.NoError(t, os.Mkdir(filepath.Join(dir, growthOut), 0o755))
}

// copiedOutput replaces the output with a copy of the snapshot file.
func copiedOutput(t *testing.T, dir string, n int) {
	emptyOutput(t, dir, n)
	copyFile(t, filepath.Join(dir, growthFile), filepath.Join(dir, growthOut, growthFile))
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	require.NoError(t, err)
	defer in.Close()
	out, err := os.Create(to)
	require.NoError(t, err)
	_, err = io.Copy(out, in)
	require.NoError(t, err)
	require.NoError(t, out.Close())
}

// pristine restores a folder of the data from the original.
func pristine(folder string) func(t *testing.T, dir string, n int) {
	return func(t *testing.T, dir string, n int) {
		noOutput(t, dir, n)
		require.NoError(t, os.RemoveAll(filepath.Join(dir, folder)))
		require.NoError(t, os.CopyFS(filepath.Join(dir, folder), os.DirFS(filepath.Join(dir, growthPristine))))
		// The catalogue has the times of the files.
		require.NoError(t, filepath.WalkDir(filepath.Join(dir, growthPristine), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			name, err := filepath.Rel(filepath.Join(dir, growthPristine), path)
			if err != nil {
				return err
			}
			return os.Chtimes(filepath.Join(dir, folder, name), info.ModTime(), info.ModTime())
		}))
	}
}

// writeSnapshots writes n snapshots to a file of the data.
func writeSnapshots(t *testing.T, path string, n int, text func(w io.Writer, i int)) {
	t.Helper()
	f, err := os.Create(path)
	require.NoError(t, err)
	w := bufio.NewWriterSize(f, 1<<20)
	for i := range n {
		text(w, i)
	}
	require.NoError(t, w.Flush())
	require.NoError(t, f.Close())
}

// growthTime is the time of snapshot i, in Unix milliseconds.
func growthTime(i int) uint64 { return start*1000 + uint64(i) }

// anchored completes a state with its anchor and writes it.
func anchored(w io.Writer, st *snapshot.State) {
	st.Anchor = snapshot.NewAnchor(snapshot.Root(st), st.TimestampMs, "btc_height=5")
	if err := snapshot.Encode(w, st); err != nil {
		panic(err)
	}
}

func smallState(i int) *snapshot.State {
	return &snapshot.State{TimestampMs: growthTime(i), Ledger: snapshot.Ledger{Balances: []snapshot.Balance{{PeerID: "peer", Balance: uint64(i)}}}}
}

// smallSnapshot writes a valid snapshot of 400 bytes.
func smallSnapshot(w io.Writer, i int) { anchored(w, smallState(i)) }

// largeSnapshot writes one snapshot with the balances that balance returns.
func largeSnapshot(t *testing.T, path string, n int, balance func(i int) snapshot.Balance) *snapshot.State {
	st := &snapshot.State{TimestampMs: growthTime(0)}
	for i := range n {
		st.Ledger.Balances = append(st.Ledger.Balances, balance(i))
	}
	writeSnapshots(t, path, 1, func(w io.Writer, _ int) { anchored(w, st) })
	return st
}

func growthBalance(i int) snapshot.Balance {
	return snapshot.Balance{PeerID: fmt.Sprintf("12D3KooW%036d", i), Balance: uint64(i)}
}

// nodeParts completes a data directory: it makes a small snapshot file and a small database
// if they are missing, and backs up everything.
func nodeParts(t *testing.T, dir string) {
	t.Helper()
	file := filepath.Join(dir, growthFile)
	if _, err := os.Stat(file); err != nil {
		writeSnapshots(t, file, 1, smallSnapshot)
	}
	if _, err := os.Stat(filepath.Join(dir, growthDatabase)); err != nil {
		makeDatabase(t, filepath.Join(dir, growthDatabase), blockRecords(1, 1))
	}
	clitest.RunProcess(t, exit.OK, backup.Name, "-q", "--data-dir", dir, "--backup-dir", filepath.Join(dir, growthSaved))
}

// nodeRows returns the commands that read a whole data directory.
func nodeRows(doctorCode, monitorCode int) []growthRow {
	return []growthRow{
		onData(backup.Name, exit.OK, noOutput, "--data-dir", "{.}", "--backup-dir", "{out}"),
		onData(backup.Name+" again", exit.OK, nil, "--data-dir", "{.}", "--backup-dir", "{saved}", "--dry-run"),
		onData(restore.Name, exit.OK, emptyOutput, "--data-dir", "{out}", "--backup-dir", "{saved}"),
		onData(restore.Name+" --dry-run", exit.OK, nil, "--data-dir", "{.}", "--backup-dir", "{saved}", "--dry-run"),
		onData(monitor.Name, monitorCode, nil, "--data-dir", "{.}", "--backup-dir", "{saved}", "--state-file", "", "--max-snapshot-age", "10000000"),
		onData(doctor.Name, doctorCode, nil, "--data-dir", "{.}", "--backup-dir", "{saved}"),
	}
}

// makeDatabase makes a database of records in the order of their keys.
func makeDatabase(t *testing.T, path string, all ...iter.Seq[reorgdb.Record]) {
	t.Helper()
	db, err := reorgdb.Create(path)
	require.NoError(t, err)
	for _, records := range all {
		require.NoError(t, db.BulkLoad(reorgdb.DefaultFamily, func(yield func(reorgdb.Record, error) bool) {
			for r := range records {
				if !yield(r, nil) {
					return
				}
			}
		}))
	}
	require.NoError(t, db.Sync())
	require.NoError(t, db.Close())
}

func recordsOf(n int, record func(i int) reorgdb.Record) iter.Seq[reorgdb.Record] {
	return func(yield func(reorgdb.Record) bool) {
		for i := range n {
			if !yield(record(i)) {
				return
			}
		}
	}
}

// blockRecords returns n blocks, each step heights above the previous one.
func blockRecords(n, step int) iter.Seq[reorgdb.Record] {
	return recordsOf(n, func(i int) reorgdb.Record { return blockRecord(i * step) })
}

// anchorRecords returns n anchors in the order of their keys.
func anchorRecords(n int) iter.Seq[reorgdb.Record] {
	return recordsOf(n, func(i int) reorgdb.Record {
		a := anchorAt(0)
		a.Hash = fmt.Sprintf("%064x", i)
		return reorgdb.Record{Key: reorgdb.AnchorKey(a.Hash), Value: []byte(anchorValue(a))}
	})
}

// eventRecords returns n reorg events and their counter. Each event names the given number
// of invalidated anchors.
func eventRecords(n, invalidated int) []iter.Seq[reorgdb.Record] {
	events := recordsOf(n, func(i int) reorgdb.Record {
		value := fmt.Appendf(nil, "%d|%064x|%064x|%d|%d", i, i, i+1, start+i, invalidated)
		for j := range invalidated {
			value = fmt.Appendf(value, "|%064x", j)
		}
		return reorgdb.Record{Key: reorgdb.EventKey(uint64(i)), Value: value}
	})
	counter := recordsOf(1, func(int) reorgdb.Record {
		return reorgdb.Record{Key: []byte(reorgdb.CounterKey), Value: fmt.Append(nil, n)}
	})
	return []iter.Seq[reorgdb.Record]{events, counter}
}

// databaseRows returns the commands that read a whole database.
func databaseRows(verifyCode, copyCode int) []growthRow {
	return []growthRow{
		onData(reorgverify.Name, verifyCode, nil, "--db-path", "{reorg_db}"),
		onData(initreorgdb.Name+" --copy-from", copyCode, noOutput, "--path", "{out}", "--copy-from", "{reorg_db}"),
		onData(initreorgdb.Name+" --copy-from twice", copyCode, noOutput, "--path", "{out}", "--copy-from", "{reorg_db}", "--copy-from", "{reorg_db}"),
		showRow("families", "families"),
	}
}

// showRow prints records of a database.
func showRow(command string, what ...string) growthRow {
	return onData(reorgshow.Name+" "+command, exit.OK, nil, append([]string{"--db-path", "{reorg_db}"}, what...)...)
}

// bitcoinServes lets the commands ask a Bitcoin node with the blocks of [largeChain] up to a
// tip.
func bitcoinServes(t *testing.T, chain *bitcointest.Chain) {
	t.Setenv("BITCOIN_RPC_URL", chain.Serve(t))
	t.Setenv("BITCOIN_RPC_USER", "u")
	t.Setenv("BITCOIN_RPC_PASSWORD", "p")
}

// growths is everything that is measured.
var growths = []growing{
	{
		what: "snapshots", base: 1000,
		make: func(t *testing.T, dir string, n int) {
			writeSnapshots(t, filepath.Join(dir, growthFile), n, smallSnapshot)
			writeSnapshots(t, filepath.Join(dir, growthOther), n, func(w io.Writer, i int) {
				st := smallState(i)
				if i == n-1 {
					st.Ledger.Balances[0].Balance++
				}
				anchored(w, st)
			})
			nodeParts(t, dir)
		},
		rows: slices.Concat([]growthRow{
			onData(l2verify.Name, exit.OK, nil, "{l2_snapshots.dat}"),
			onData(l2verify.Name+" --all", exit.OK, nil, "--all", "{l2_snapshots.dat}"),
			onData(l2verify.Name+" --all --junit", exit.OK, noOutput, "--all", "--junit", "{out}", "{l2_snapshots.dat}"),
			onData(showsnapshot.Name, exit.OK, nil, "{l2_snapshots.dat}"),
			onData(showsnapshot.Name+" --index", exit.OK, nil, "--index", "{n}", "{l2_snapshots.dat}"),
			onData(getsnapshotblock.Name, exit.OK, nil, "{l2_snapshots.dat}"),
			onData(diffsnapshots.Name, exit.Wrong, nil, "{l2_snapshots.dat}", "{other.dat}"),
			onData(extractsnapshots.Name+" --newest-valid", exit.OK, emptyOutput, "--newest-valid", "{l2_snapshots.dat}", "{out}"),
			onData(extractsnapshots.Name+" --index", exit.OK, emptyOutput, "--index", "{n}", "{l2_snapshots.dat}", "{out}"),
			onData(prunesnapshots.Name+" --keep 1", exit.OK, noOutput, "--keep", "1", "--output", "{out}", "{l2_snapshots.dat}"),
			onData(prunesnapshots.Name+" --keep all", exit.OK, noOutput, "--keep", "all", "--output", "{out}", "{l2_snapshots.dat}"),
			onData(prunesnapshots.Name+" --in-place", exit.OK, copiedOutput, "--watch=1ms", "--keep", "1", "--in-place", "--file", "{out/l2_snapshots.dat}"),
			onData(recoversnapshots.Name, exit.OK, noOutput, "{l2_snapshots.dat}", "{out}"),
			onData(recoversnapshots.Name+" two files", exit.OK, noOutput, "{l2_snapshots.dat}", "{other.dat}", "{out}"),
			onData(reorgverify.Name+" --snapshot", exit.Wrong, nil, "--db-path", "{reorg_db}", "--snapshot", "{l2_snapshots.dat}"),
		}, nodeRows(exit.OK, exit.OK)),
	},
	{
		what: "snapshots extracted", base: 50,
		make: func(t *testing.T, dir string, n int) {
			writeSnapshots(t, filepath.Join(dir, growthFile), n, smallSnapshot)
		},
		rows: []growthRow{
			onData(extractsnapshots.Name, exit.OK, emptyOutput, "{l2_snapshots.dat}", "{out}"),
			onData(extractsnapshots.Name+" --format json", exit.OK, emptyOutput, "--format", "json", "{l2_snapshots.dat}", "{out}"),
		},
	},
	{
		what: "torn snapshots", base: 2000,
		make: func(t *testing.T, dir string, n int) {
			writeSnapshots(t, filepath.Join(dir, growthFile), n+1, func(w io.Writer, i int) {
				var text bytes.Buffer
				smallSnapshot(&text, i)
				if i > 0 {
					text.Truncate(bytes.Index(text.Bytes(), []byte(snapshot.EndLine)))
				}
				_, _ = w.Write(text.Bytes())
			})
		},
		rows: []growthRow{
			onData(l2verify.Name, exit.OK, nil, "{l2_snapshots.dat}"),
			onData(l2verify.Name+" --all", exit.OK, nil, "--all", "{l2_snapshots.dat}"),
			onData(showsnapshot.Name, exit.OK, nil, "{l2_snapshots.dat}"),
			onData(prunesnapshots.Name+" --keep all", exit.OK, noOutput, "--keep", "all", "--output", "{out}", "{l2_snapshots.dat}"),
			onData(recoversnapshots.Name, exit.Wrong, noOutput, "{l2_snapshots.dat}", "{out}"),
			onData(doctor.Name, exit.Wrong, nil, "--data-dir", "{.}"),
		},
	},
	{
		what: "snapshots hidden by a torn line", base: 1000,
		make: func(t *testing.T, dir string, n int) {
			writeSnapshots(t, filepath.Join(dir, growthFile), n+1, func(w io.Writer, i int) {
				if i < n {
					_, _ = io.WriteString(w, "balance \"pe")
				}
				smallSnapshot(w, i)
			})
		},
		rows: []growthRow{
			onData(l2verify.Name+" --all", exit.OK, nil, "--all", "{l2_snapshots.dat}"),
			onData(prunesnapshots.Name+" --discard-hidden", exit.OK, noOutput, "--keep", "all", "--discard-hidden", "--output", "{out}", "{l2_snapshots.dat}"),
			onData(recoversnapshots.Name, exit.Wrong, noOutput, "{l2_snapshots.dat}", "{out}"),
			onData(doctor.Name, exit.Wrong, nil, "--data-dir", "{.}"),
		},
	},
	{
		what: "invalid snapshots after the last valid one", base: 1000,
		make: func(t *testing.T, dir string, n int) {
			writeSnapshots(t, filepath.Join(dir, growthFile), n+1, func(w io.Writer, i int) {
				st := smallState(i)
				st.Anchor = snapshot.NewAnchor(snapshot.Root(st), st.TimestampMs, "")
				if i > 0 {
					st.Ledger.Balances[0].Balance++
				}
				if err := snapshot.Encode(w, st); err != nil {
					panic(err)
				}
			})
		},
		rows: []growthRow{
			onData(l2verify.Name+" --all", exit.Wrong, nil, "--all", "{l2_snapshots.dat}"),
			onData(extractsnapshots.Name+" --newest-valid", exit.OK, emptyOutput, "--newest-valid", "{l2_snapshots.dat}", "{out}"),
			onData(prunesnapshots.Name+" --keep 1", exit.Wrong, noOutput, "--keep", "1", "--dry-run", "--output", "{out}", "{l2_snapshots.dat}"),
			onData(recoversnapshots.Name, exit.Wrong, noOutput, "{l2_snapshots.dat}", "{out}"),
			onData(doctor.Name, exit.Wrong, nil, "--data-dir", "{.}"),
		},
	},
	{
		what: "snapshots with a peg-out of the one before", base: 1000,
		make: func(t *testing.T, dir string, n int) {
			before := ""
			writeSnapshots(t, filepath.Join(dir, growthFile), n, func(w io.Writer, i int) {
				st := smallState(i)
				if i > 0 {
					st.Bridge.PegOuts = []snapshot.PegOut{{PegID: "peg", AnchorCommitmentHash: before}}
				}
				anchored(w, st)
				before = st.Anchor.Hash
			})
		},
		rows: []growthRow{
			onData(l2verify.Name+" --all --accept-earlier-anchors", exit.OK, nil, "--all", "--accept-earlier-anchors", "{l2_snapshots.dat}"),
			onData(l2verify.Name+" --accept-earlier-anchors", exit.OK, nil, "--accept-earlier-anchors", "{l2_snapshots.dat}"),
			onData(recoversnapshots.Name+" --accept-earlier-anchors", exit.OK, noOutput, "--accept-earlier-anchors", "{l2_snapshots.dat}", "{out}"),
		},
	},
	{
		what: "snapshots with a peg-out of a pruned one", base: 300,
		make: func(t *testing.T, dir string, n int) {
			writeSnapshots(t, filepath.Join(dir, growthFile), n+1, func(w io.Writer, i int) {
				st := smallState(i)
				if i > 0 {
					st.Bridge.PegOuts = []snapshot.PegOut{{PegID: "peg", AnchorCommitmentHash: fmt.Sprintf("%064x", i)}}
				}
				anchored(w, st)
			})
		},
		rows: []growthRow{
			onData(l2verify.Name+" --all --accept-earlier-anchors", exit.Wrong, nil, "--all", "--accept-earlier-anchors", "{l2_snapshots.dat}"),
			onData(extractsnapshots.Name+" --newest-valid", exit.OK, emptyOutput, "--newest-valid", "--accept-earlier-anchors", "{l2_snapshots.dat}", "{out}"),
			onData(prunesnapshots.Name+" --keep all", exit.OK, noOutput, "--keep", "all", "--accept-earlier-anchors", "--output", "{out}", "{l2_snapshots.dat}"),
			onData(recoversnapshots.Name+" --accept-pruned-anchors", exit.OK, noOutput, "--accept-pruned-anchors", "{l2_snapshots.dat}", "{out}"),
		},
	},
	{
		what: "snapshots of one time", base: 1000,
		make: func(t *testing.T, dir string, n int) {
			same := func(w io.Writer, i int) {
				st := smallState(i)
				st.TimestampMs = growthTime(0)
				anchored(w, st)
			}
			writeSnapshots(t, filepath.Join(dir, growthFile), n+1, same)
			writeSnapshots(t, filepath.Join(dir, growthOther), n+1, func(w io.Writer, i int) { same(w, n-i) })
		},
		rows: []growthRow{
			onData(recoversnapshots.Name, exit.OK, noOutput, "{l2_snapshots.dat}", "{out}"),
			onData(recoversnapshots.Name+" two orders", exit.OK, noOutput, "{l2_snapshots.dat}", "{other.dat}", "{out}"),
			onData(diffsnapshots.Name+" two orders", exit.Wrong, nil, "{l2_snapshots.dat}", "{other.dat}"),
		},
	},
	{
		what: "the same snapshot again and again", base: 1000,
		make: func(t *testing.T, dir string, n int) {
			writeSnapshots(t, filepath.Join(dir, growthFile), n, func(w io.Writer, _ int) { smallSnapshot(w, 0) })
			nodeParts(t, dir)
		},
		rows: slices.Concat([]growthRow{
			onData(recoversnapshots.Name, exit.OK, noOutput, "{l2_snapshots.dat}", "{out}"),
			onData(diffsnapshots.Name, exit.OK, nil, "{l2_snapshots.dat}", "{l2_snapshots.dat}"),
		}, nodeRows(exit.OK, exit.OK)),
	},
	{
		what: "records of a snapshot", base: 5000,
		make: func(t *testing.T, dir string, n int) {
			st := largeSnapshot(t, filepath.Join(dir, growthFile), n, growthBalance)
			for i := range st.Ledger.Balances {
				st.Ledger.Balances[i].Balance++
			}
			writeSnapshots(t, filepath.Join(dir, growthOther), 1, func(w io.Writer, _ int) { anchored(w, st) })
			makeState(t, filepath.Join(dir, growthState), n)
			nodeParts(t, dir)
		},
		rows: slices.Concat([]growthRow{
			onData(l2verify.Name, exit.OK, nil, "{l2_snapshots.dat}"),
			onData(l2verify.Name+" --all", exit.OK, nil, "--all", "{l2_snapshots.dat}"),
			onData(showsnapshot.Name+" --section", exit.OK, nil, "--section", "balances", "{l2_snapshots.dat}"),
			onData(showsnapshot.Name+" --section --json", exit.OK, nil, "--section", "balances", "--json", "{l2_snapshots.dat}"),
			onData(showsnapshot.Name+" --id", exit.OK, nil, "--id", growthBalance(0).PeerID, "{l2_snapshots.dat}"),
			onData(showsnapshot.Name+" --totals", exit.OK, nil, "--totals", "{l2_snapshots.dat}"),
			onData(diffsnapshots.Name+" the same", exit.OK, nil, "{l2_snapshots.dat@1}", "{l2_snapshots.dat@latest}"),
			onData(diffsnapshots.Name+" all others", exit.Wrong, nil, "{l2_snapshots.dat}", "{other.dat}"),
			onData(extractsnapshots.Name, exit.OK, emptyOutput, "{l2_snapshots.dat}", "{out}"),
			onData(extractsnapshots.Name+" --format json", exit.OK, emptyOutput, "--format", "json", "{l2_snapshots.dat}", "{out}"),
			onData(prunesnapshots.Name+" --keep all", exit.OK, noOutput, "--keep", "all", "--output", "{out}", "{l2_snapshots.dat}"),
			onData(recoversnapshots.Name, exit.OK, noOutput, "{l2_snapshots.dat}", "{out}"),
			onData(getsnapshotblock.Name, exit.OK, nil, "{l2_snapshots.dat}"),
			onData(createanchor.Name, exit.OK, noOutput, "--l2-state-file", "{state.json}", "--output", "{out}"),
		}, nodeRows(exit.OK, exit.OK)),
	},
	{
		what: "records in no order", base: 5000,
		make: func(t *testing.T, dir string, n int) {
			order := rand.New(rand.NewSource(1)).Perm(n)
			largeSnapshot(t, filepath.Join(dir, growthFile), n, func(i int) snapshot.Balance { return growthBalance(order[i]) })
			largeSnapshot(t, filepath.Join(dir, growthOther), n, func(i int) snapshot.Balance { return growthBalance(order[n-1-i]) })
		},
		rows: []growthRow{
			onData(l2verify.Name, exit.OK, nil, "--max-memory", "1G", "{l2_snapshots.dat}"),
			onData(diffsnapshots.Name, exit.OK, nil, "--max-memory", "1G", "{l2_snapshots.dat@1}", "{other.dat@1}"),
		},
	},
	{
		what: "records in the opposite order", base: 5000,
		make: func(t *testing.T, dir string, n int) {
			largeSnapshot(t, filepath.Join(dir, growthFile), n, func(i int) snapshot.Balance { return growthBalance(n - i) })
		},
		rows: []growthRow{onData(l2verify.Name, exit.OK, nil, "--max-memory", "1G", "{l2_snapshots.dat}")},
	},
	{
		what: "records of one key", base: 5000,
		make: func(t *testing.T, dir string, n int) {
			one := func(i int) snapshot.Balance { return snapshot.Balance{PeerID: "peer", Balance: uint64(i)} }
			largeSnapshot(t, filepath.Join(dir, growthFile), n+1, one)
			largeSnapshot(t, filepath.Join(dir, growthOther), n+1, func(i int) snapshot.Balance { return one(n - i) })
		},
		rows: []growthRow{
			onData(l2verify.Name, exit.OK, nil, "--max-memory", "1G", "{l2_snapshots.dat}"),
			onData(diffsnapshots.Name, exit.Wrong, nil, "--max-memory", "1G", "{l2_snapshots.dat@1}", "{other.dat@1}"),
		},
	},
	{
		what: "peg-outs of one snapshot, each of another anchor", base: 1000,
		make: func(t *testing.T, dir string, n int) {
			writeSnapshots(t, filepath.Join(dir, growthFile), n+1, func(w io.Writer, i int) {
				st := smallState(i)
				for j := range i * (i / n) {
					earlier := smallState(j)
					anchor := snapshot.NewAnchor(snapshot.Root(earlier), earlier.TimestampMs, "btc_height=5")
					st.Bridge.PegOuts = append(st.Bridge.PegOuts, snapshot.PegOut{PegID: fmt.Sprintf("%08d", j), AnchorCommitmentHash: anchor.Hash})
				}
				anchored(w, st)
			})
			nodeParts(t, dir)
		},
		rows: slices.Concat([]growthRow{
			onData(l2verify.Name+" --accept-earlier-anchors", exit.OK, nil, "--max-memory", "1G", "--accept-earlier-anchors", "{l2_snapshots.dat}"),
			onData(prunesnapshots.Name+" --accept-earlier-anchors", exit.OK, noOutput, "--max-memory", "1G", "--accept-earlier-anchors", "--keep", "all", "--output", "{out}", "{l2_snapshots.dat}"),
			onData(recoversnapshots.Name+" --accept-earlier-anchors", exit.OK, noOutput, "--max-memory", "1G", "--accept-earlier-anchors", "{l2_snapshots.dat}", "{out}"),
			onData(reorgverify.Name+" --snapshot", exit.Wrong, nil, "--max-memory", "1G", "--db-path", "{reorg_db}", "--snapshot", "{l2_snapshots.dat}"),
		}),
	},
	{
		what: "bytes of one line", base: 200_000,
		make: func(t *testing.T, dir string, n int) {
			largeSnapshot(t, filepath.Join(dir, growthFile), 1, func(int) snapshot.Balance { return snapshot.Balance{PeerID: strings.Repeat(`x\`, n/2)} })
		},
		rows: []growthRow{
			onData(l2verify.Name, exit.OK, nil, "--max-memory", "4G", "{l2_snapshots.dat}"),
			onData(showsnapshot.Name+" --section", exit.OK, nil, "--max-memory", "4G", "--section", "balances", "{l2_snapshots.dat}"),
			onData(diffsnapshots.Name, exit.OK, nil, "--max-memory", "4G", "{l2_snapshots.dat@1}", "{l2_snapshots.dat@1}"),
			onData(extractsnapshots.Name+" --format json", exit.OK, emptyOutput, "--max-memory", "4G", "--format", "json", "{l2_snapshots.dat}", "{out}"),
			onData(recoversnapshots.Name, exit.OK, noOutput, "--max-memory", "4G", "{l2_snapshots.dat}", "{out}"),
		},
	},
	{
		what: "zero bytes at the end", base: 2 << 20,
		make: func(t *testing.T, dir string, n int) {
			writeSnapshots(t, filepath.Join(dir, growthFile), 1, smallSnapshot)
			f, err := os.OpenFile(filepath.Join(dir, growthFile), os.O_WRONLY|os.O_APPEND, 0)
			require.NoError(t, err)
			for n > 0 {
				written, err := f.Write(make([]byte, min(n, 1<<20)))
				require.NoError(t, err)
				n -= written
			}
			require.NoError(t, f.Close())
		},
		rows: []growthRow{
			onData(l2verify.Name, exit.OK, nil, "{l2_snapshots.dat}"),
			onData(l2verify.Name+" --all", exit.OK, nil, "--all", "{l2_snapshots.dat}"),
			onData(prunesnapshots.Name+" --keep all", exit.OK, noOutput, "--keep", "all", "--output", "{out}", "{l2_snapshots.dat}"),
			onData(recoversnapshots.Name, exit.Wrong, noOutput, "{l2_snapshots.dat}", "{out}"),
			onData(doctor.Name, exit.Wrong, nil, "--data-dir", "{.}"),
		},
	},
	{
		what: "blocks", base: 10_000,
		make: func(t *testing.T, dir string, n int) {
			makeDatabase(t, filepath.Join(dir, growthDatabase), blockRecords(n, 1))
			require.NoError(t, os.CopyFS(filepath.Join(dir, growthPristine), os.DirFS(filepath.Join(dir, growthDatabase))))
			nodeParts(t, dir)
		},
		rows: slices.Concat(databaseRows(exit.OK, exit.OK), nodeRows(exit.OK, exit.OK),
			[]growthRow{showRow("blocks", "blocks", "0-100000000")}),
	},
	{
		what: "blocks of Bitcoin", base: 5000,
		make: func(t *testing.T, dir string, n int) {
			bitcoinServes(t, bitcointest.NewChain(int64(n-1)))
			makeDatabase(t, filepath.Join(dir, growthDatabase), blockRecords(n, 1))
			makeDatabase(t, filepath.Join(dir, growthPristine))
			writeSnapshots(t, filepath.Join(dir, growthOther), 1, func(w io.Writer, _ int) {
				st := smallState(0)
				st.TimestampMs = (bitcointest.GenesisTime + uint64(n/2)*bitcointest.BlockSpacing) * 1000
				st.Anchor = snapshot.NewAnchor(snapshot.Root(st), st.TimestampMs, "")
				if err := snapshot.Encode(w, st); err != nil {
					panic(err)
				}
			})
		},
		rows: []growthRow{
			onData(resyncblocks.Name, exit.OK, pristine(growthOut), "--db-path", "{out}"),
			onData(resyncblocks.Name+" --check", exit.OK, nil, "--check", "--db-path", "{reorg_db}"),
			onData(resyncblocks.Name+" again", exit.OK, nil, "--start-height", "0", "--db-path", "{reorg_db}"),
			onData(reorgverify.Name+" --bitcoin-rpc", exit.OK, nil, "--db-path", "{reorg_db}"),
			onData(getsnapshotblock.Name+" --bitcoin-rpc", exit.OK, nil, "{other.dat}"),
		},
	},
	{
		what: "blocks that a reorg replaced", base: 300,
		make: func(t *testing.T, dir string, n int) {
			chain := bitcointest.NewChain(int64(n))
			chain.Reorganise(1, int64(n))
			bitcoinServes(t, chain)
			makeDatabase(t, filepath.Join(dir, growthPristine), blockRecords(n+1, 1))
		},
		rows: []growthRow{
			onData(resyncblocks.Name, exit.OK, pristine(growthDatabase), "--max-reorg-depth", "10000000", "--db-path", "{reorg_db}"),
			onData(resyncblocks.Name+" --check", exit.Wrong, pristine(growthDatabase), "--check", "--db-path", "{reorg_db}"),
		},
	},
	{
		what: "gaps between blocks", base: 5000,
		make: func(t *testing.T, dir string, n int) {
			makeDatabase(t, filepath.Join(dir, growthDatabase), blockRecords(n+1, 2))
			nodeParts(t, dir)
		},
		rows: slices.Concat(databaseRows(exit.OK, exit.OK), nodeRows(exit.Wrong, exit.Wrong)),
	},
	{
		what: "anchors", base: 1000,
		make: func(t *testing.T, dir string, n int) {
			makeDatabase(t, filepath.Join(dir, growthDatabase), anchorRecords(n), blockRecords(1, 1))
			nodeParts(t, dir)
		},
		rows: slices.Concat(databaseRows(exit.OK, exit.OK), nodeRows(exit.OK, exit.OK), []growthRow{showRow("anchors", "anchors"), showRow("anchor", "anchor", fmt.Sprintf("%064x", 0))}),
	},
	{
		what: "anchors that a reorg invalidates", base: 1000,
		make: func(t *testing.T, dir string, n int) {
			chain := bitcointest.NewChain(10)
			chain.Reorganise(1, 10)
			bitcoinServes(t, chain)
			makeDatabase(t, filepath.Join(dir, growthPristine), recordsOf(n, func(i int) reorgdb.Record {
				a := anchorAt(0)
				a.Hash, a.BitcoinHeight = fmt.Sprintf("%064x", i), uint64(1+i%10)
				return reorgdb.Record{Key: reorgdb.AnchorKey(a.Hash), Value: []byte(anchorValue(a))}
			}), blockRecords(11, 1))
		},
		rows: []growthRow{onData(resyncblocks.Name, exit.OK, pristine(growthDatabase), "--db-path", "{reorg_db}")},
	},
	{
		what: "reorg events", base: 1000,
		make: func(t *testing.T, dir string, n int) {
			makeDatabase(t, filepath.Join(dir, growthDatabase), append(eventRecords(n, 0), blockRecords(1, 1))...)
			nodeParts(t, dir)
		},
		rows: slices.Concat(databaseRows(exit.OK, exit.OK), nodeRows(exit.OK, exit.OK), []growthRow{showRow("events", "events"), showRow("events --last", "events", "--last", "3")}),
	},
	{
		what: "reorg events of a second database", base: 1000,
		make: func(t *testing.T, dir string, n int) {
			makeDatabase(t, filepath.Join(dir, growthDatabase), append(eventRecords(n, 0), blockRecords(1, 1))...)
			makeDatabase(t, filepath.Join(dir, growthPristine), append(eventRecords(n, 1), blockRecords(1, 1))...)
		},
		rows: []growthRow{onData(initreorgdb.Name+" --copy-from both", exit.OK, noOutput, "--path", "{out}", "--copy-from", "{reorg_db}", "--copy-from", "{pristine}")},
	},
	{
		what: "anchors of one reorg event", base: 1000,
		make: func(t *testing.T, dir string, n int) {
			makeDatabase(t, filepath.Join(dir, growthDatabase), append(eventRecords(1, n), blockRecords(1, 1))...)
		},
		rows: append(databaseRows(exit.OK, exit.OK), showRow("events", "events")),
	},
	{
		what: "records that no node can read", base: 1000,
		make: func(t *testing.T, dir string, n int) {
			bad := func(prefix string) iter.Seq[reorgdb.Record] {
				return recordsOf(n, func(i int) reorgdb.Record {
					return reorgdb.Record{Key: fmt.Appendf(nil, "%s%020d", prefix, i), Value: []byte("odd")}
				})
			}
			makeDatabase(t, filepath.Join(dir, growthDatabase), bad("anchor:"), bad("reorg:"), bad("block:"))
		},
		rows: databaseRows(exit.Wrong, exit.OK),
	},
	{
		what: "records in the log", base: 3000,
		make: func(t *testing.T, dir string, n int) {
			path := filepath.Join(dir, growthDatabase)
			makeDatabase(t, path)
			height := 0
			reorgtest.FillLog(t, path, int64(n)*120, func() (key, value string) {
				height++
				r := blockRecord(height)
				return string(r.Key), string(r.Value)
			})
			cutLog := filepath.Join(dir, growthPristine)
			require.NoError(t, os.CopyFS(cutLog, os.DirFS(path)))
			logs, err := filepath.Glob(filepath.Join(cutLog, "*.log"))
			require.NoError(t, err)
			require.NoError(t, os.Truncate(logs[0], clitest.FileSize(t, logs[0])-1))
		},
		rows: slices.Concat(databaseRows(exit.OK, exit.OK), []growthRow{
			onData(reorgverify.Name+" cut log", exit.Wrong, nil, "--db-path", "{pristine}"),
			onData(initreorgdb.Name+" --copy-from cut log", exit.Wrong, noOutput, "--path", "{out}", "--copy-from", "{pristine}"),
		}),
	},
	{
		what: "tables", base: 10,
		make: func(t *testing.T, dir string, n int) {
			path := filepath.Join(dir, growthDatabase)
			makeDatabase(t, path)
			reorgtest.AddTables(t, path, n, func(table int) (records []string) {
				for i := range tableBlocks {
					r := blockRecord(tableBlocks*table + i)
					records = append(records, string(r.Key), string(r.Value))
				}
				return records
			})
			require.NoError(t, os.CopyFS(filepath.Join(dir, growthPristine), os.DirFS(path)))
			cutLastLog(t, filepath.Join(dir, growthPristine))
		},
		rows: slices.Concat(databaseRows(exit.OK, exit.OK), []growthRow{
			onData(reorgverify.Name+" lost log", exit.Wrong, nil, "--db-path", "{pristine}"),
			onData(initreorgdb.Name+" --copy-from lost log", exit.Wrong, noOutput, "--path", "{out}", "--copy-from", "{pristine}"),
		}),
	},
	{
		what: "edits of the MANIFEST", base: 1000,
		make: func(t *testing.T, dir string, n int) {
			path := filepath.Join(dir, growthDatabase)
			makeDatabase(t, path, blockRecords(1, 1))
			reorgtest.AddEdits(t, path, n)
		},
		rows: databaseRows(exit.OK, exit.OK),
	},
	{
		what: "column families", base: 1,
		make: func(t *testing.T, dir string, n int) {
			var families []string
			for i := range n {
				families = append(families, fmt.Sprintf("family_%d", i))
			}
			db, err := reorgdb.Create(filepath.Join(dir, growthDatabase), families...)
			require.NoError(t, err)
			require.NoError(t, db.Update(func(u *reorgdb.Update) error {
				for _, family := range families {
					if err := u.Put(family, []byte("key"), []byte("value")); err != nil {
						return err
					}
				}
				return nil
			}))
			require.NoError(t, db.Sync())
			require.NoError(t, db.Close())
		},
		rows: databaseRows(exit.OK, exit.OK),
	},
	{
		what: "range deletions", base: 100,
		make: func(t *testing.T, dir string, n int) {
			path := filepath.Join(dir, growthDatabase)
			reorgtest.Rocks(t, path, "disable_auto_compactions=true", func(db *grocksdb.DB) {
				opts := grocksdb.NewDefaultWriteOptions()
				defer opts.Destroy()
				batch := grocksdb.NewWriteBatch()
				defer batch.Destroy()
				for i := range 10 * n {
					r := blockRecord(i)
					batch.Put(r.Key, r.Value)
				}
				for i := range n {
					batch.DeleteRange(blockRecord(10*i).Key, blockRecord(10*i+binary.MaxVarintLen16).Key)
				}
				require.NoError(t, db.Write(opts, batch))
				reorgtest.Flush(t, db)
			})
			require.NoError(t, os.CopyFS(filepath.Join(dir, growthPristine), os.DirFS(path)))
			cutLastLog(t, filepath.Join(dir, growthPristine))
		},
		rows: slices.Concat(databaseRows(exit.OK, exit.OK), []growthRow{
			onData(initreorgdb.Name+" --copy-from lost log", exit.Wrong, noOutput, "--path", "{out}", "--copy-from", "{pristine}"),
		}),
	},
	{
		what: "backups", base: 10,
		make: func(t *testing.T, dir string, n int) { manyBackups(t, dir, n, true) },
		rows: []growthRow{
			onData(backup.Name+" list", exit.OK, pristine(growthBackups), "--data-dir", "{.}", "list"),
			onData(backup.Name+" verify --all", exit.OK, pristine(growthBackups), "--data-dir", "{.}", "verify", "--all"),
			onData(backup.Name+" --keep all", exit.OK, pristine(growthBackups), "--data-dir", "{.}", "--keep", "1000000"),
			onData(backup.Name+" --keep 1", exit.OK, pristine(growthBackups), "--data-dir", "{.}", "--keep", "1", "--keep-daily", "0", "--keep-weekly", "0"),
			onData(restore.Name, exit.OK, func(t *testing.T, dir string, n int) {
				pristine(growthBackups)(t, dir, n)
				emptyOutput(t, dir, n)
			}, "--data-dir", "{out}", "--backup-dir", "{backups}"),
			onData(monitor.Name, exit.OK, pristine(growthBackups), "--data-dir", "{.}", "--max-snapshot-age", "10000000", "--max-backup-age", "10000000"),
			onData(doctor.Name, exit.OK, pristine(growthBackups), "--data-dir", "{.}"),
		},
	},
	{
		what: "backups without a catalogue", base: 5,
		make: func(t *testing.T, dir string, n int) { manyBackups(t, dir, n, false) },
		rows: []growthRow{
			onData(backup.Name, exit.OK, pristine(growthBackups), "--data-dir", "{.}", "--keep", "1000000"),
			onData(backup.Name+" list", exit.OK, pristine(growthBackups), "--data-dir", "{.}", "list"),
			onData(restore.Name, exit.OK, func(t *testing.T, dir string, n int) {
				pristine(growthBackups)(t, dir, n)
				emptyOutput(t, dir, n)
			}, "--data-dir", "{out}", "--backup-dir", "{backups}"),
		},
	},
	{
		what: "blocks of a drill's reorg", base: 1,
		make: func(*testing.T, string, int) {},
		rows: []growthRow{onData(drill.Name+" --mode reorg", exit.OK, nil, "--mode", "reorg", "--reorg-depth", "{n}")},
	},
}

// makeState writes a state in JSON with n balances.
func makeState(t *testing.T, path string, n int) {
	t.Helper()
	from := clitest.StateFile(t, 1, n)
	copyFile(t, from, path)
	require.NoError(t, os.Remove(from))
}

// manyBackups makes a node with n backups of each kind, an hour apart, the newest one hour old.
func manyBackups(t *testing.T, dir string, n int, known bool) {
	t.Helper()
	nodeParts(t, dir)
	saved, err := catalogue.ReadDir(t.Context(), filepath.Join(dir, growthSaved))
	require.NoError(t, err)
	made := filepath.Join(dir, growthPristine)
	require.NoError(t, os.Mkdir(made, 0o755))
	copyFile(t, saved.PathOf(catalogue.LatestName), filepath.Join(made, catalogue.LatestName))
	c := saved.Catalogue
	one := c.Backups
	c.Backups = nil
	newest := time.Now().Add(-time.Hour).Truncate(time.Second).UTC()
	for i := range n {
		for _, b := range one {
			parsed, ok := catalogue.ParseName(b.Name)
			require.True(t, ok)
			parsed.Time = newest.Add(time.Duration(i+1-n) * time.Hour)
			from := b.Name
			b.Name, b.Made, b.MTime, b.Verified.At, b.Sequence = parsed.String(), parsed.Time, parsed.Time, parsed.Time, uint64(i+1)
			copyFile(t, saved.PathOf(from), filepath.Join(made, b.Name))
			require.NoError(t, os.Chtimes(filepath.Join(made, b.Name), b.MTime, b.MTime))
			c.Backups = append(c.Backups, b)
		}
	}
	c.Sequence = uint64(n)
	for _, runs := range c.Runs {
		runs.Start, runs.End, runs.LastSuccess = newest, newest, &newest
	}
	if known {
		require.NoError(t, c.Save(made))
	}
}
