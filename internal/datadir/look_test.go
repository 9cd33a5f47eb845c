package datadir_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin/pending"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/initnode"
	"ailee-recovery/internal/datadir"
	"ailee-recovery/internal/durable"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

func TestMain(m *testing.M) { clitest.MainFor(m, nil, programs, initnode.Tool()) }

// node returns the data directory of a node that starts from nothing, with two more snapshots.
func node(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	clitest.RunTool(t, 0, initnode.Tool(), "--data-dir", dir)
	for i := range 2 {
		require.NoError(t, clitest.AppendOne(filepath.Join(dir, "l2_snapshots.dat"), i+1))
	}
	return dir
}

// look checks without waiting.
func look(t *testing.T, dir string, codes ...datadir.Code) *datadir.View {
	t.Helper()
	v, err := datadir.Look(t.Context(), datadir.Options{DataDir: dir, Codes: codes, Wait: func(context.Context, time.Duration) error { return nil }})
	require.NoError(t, err)
	return v
}

// TestCodes: only the wanted facts, and those that they depend on, are established.
func TestCodes(t *testing.T) {
	v := look(t, node(t), datadir.SnapshotsTail)
	var codes []datadir.Code
	for _, f := range v.Facts {
		codes = append(codes, f.Code)
		require.Equal(t, datadir.Sound, f.State, f.Text)
	}
	require.Equal(t, []datadir.Code{datadir.DataDir, datadir.SnapshotsForm, datadir.SnapshotsLatest, datadir.SnapshotsTail}, codes)
	require.Nil(t, v.Records)
	require.Zero(t, v.ExitCode())
}

// TestTail: a tail that grows is being written, and one that does not is torn.
func TestTail(t *testing.T) {
	dir := node(t)
	file := filepath.Join(dir, "l2_snapshots.dat")
	more := func(text string) {
		f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.WriteString(text)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	more(clitest.Numbered(3)[:100])
	v := look(t, dir, datadir.SnapshotsTail)
	require.True(t, v.Is(datadir.SnapshotsTail, datadir.Wrong))
	require.EqualValues(t, 100, v.Tail.Length)
	v, err := datadir.Look(t.Context(), datadir.Options{DataDir: dir, Codes: []datadir.Code{datadir.SnapshotsTail}, Wait: func(context.Context, time.Duration) error {
		more(clitest.Numbered(3)[100:200])
		return nil
	}})
	require.NoError(t, err)
	require.True(t, v.Is(datadir.SnapshotsTail, datadir.Sound))
	require.True(t, v.Tail.Growing)
}

// TestReplaced: a file that is replaced while it is being checked is checked again, and one that
// is replaced each time has no verdict.
func TestReplaced(t *testing.T) {
	dir := node(t)
	file := filepath.Join(dir, "l2_snapshots.dat")
	torn := clitest.Numbered(1) + clitest.Numbered(2)[:50]
	for times, state := range map[int]datadir.State{1: datadir.Wrong, 9: datadir.CouldNot} {
		require.NoError(t, os.WriteFile(file, []byte(torn), 0o640))
		replaced := 0
		v, err := datadir.Look(t.Context(), datadir.Options{DataDir: dir, Codes: []datadir.Code{datadir.SnapshotsTail}, Wait: func(context.Context, time.Duration) error {
			if replaced++; replaced > times {
				return nil
			}
			require.NoError(t, os.WriteFile(file+".new", []byte(torn), 0o640))
			return os.Rename(file+".new", file)
		}})
		require.NoError(t, err)
		code := datadir.SnapshotsTail
		if state == datadir.CouldNot {
			code = datadir.SnapshotsForm
		}
		require.Equal(t, state, v.Fact(code).State, "%d times", times)
	}
}

// TestForms: what is at the path of the file is recognised.
func TestForms(t *testing.T) {
	dir := node(t)
	file := filepath.Join(dir, "l2_snapshots.dat")
	for text, form := range map[string]datadir.Form{
		clitest.Numbered(1):          datadir.PlainForm,
		"":                           datadir.EmptyForm,
		strings.Repeat("\x00", 5000): datadir.ZerosForm,
		strings.Repeat("\x00", 5000) + clitest.Numbered(1): datadir.PlainForm,
		"\x1f\x8b\x08":                           datadir.GzipForm,
		"\x28\xb5\x2f\xfd":                       datadir.ZstdForm,
		`{"error":"not found"}`:                  datadir.JSONForm,
		"\xff\xfeS\x00N\x00A\x00P":               datadir.UTF16Form,
		strings.Repeat("x", 257) + "ustar\x0000": datadir.TarForm,
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o640))
		v := look(t, dir, datadir.SnapshotsForm)
		require.Equal(t, form, v.SnapshotForm.Form, "%.20q", text)
		require.Equal(t, form == datadir.PlainForm, v.Is(datadir.SnapshotsForm, datadir.Sound))
	}
	require.NoError(t, os.Remove(file))
	require.Equal(t, datadir.MissingForm, look(t, dir, datadir.SnapshotsForm).SnapshotForm.Form)
	require.NoError(t, os.Mkdir(file, 0o750))
	require.Equal(t, datadir.OtherForm, look(t, dir, datadir.SnapshotsForm).SnapshotForm.Form)
}

// TestHolders: a running node is found by any path, and is not a problem unless its LOCK was
// removed.
func TestHolders(t *testing.T) {
	for _, removed := range []bool{false, true} {
		dir := node(t)
		link := filepath.Join(t.TempDir(), "link")
		require.NoError(t, os.Symlink(dir, link))
		stop, err := reorgtest.StartNode(filepath.Join(link, "reorg_db"))
		require.NoError(t, err)
		if removed {
			require.NoError(t, os.Remove(filepath.Join(dir, "reorg_db", "LOCK")))
		}
		v := look(t, dir, datadir.DataHolders)
		require.NotEmpty(t, v.Holders.Processes)
		p := v.Holders.Processes[0]
		require.Equal(t, reorgtest.NodeName, p.Command)
		require.True(t, p.Writes)
		require.Equal(t, removed, v.Is(datadir.DataHolders, datadir.Wrong), v.Fact(datadir.DataHolders).Text)
		require.Equal(t, removed, v.Holders.Removed)
		require.Equal(t, !removed, p.Locks)
		require.NoError(t, stop())
	}
	v := look(t, node(t), datadir.DataHolders)
	require.Empty(t, v.Holders.Processes)
}

// TestHolderOfNothing: the whole folder was removed, and the node is still running.
func TestHolderOfNothing(t *testing.T) {
	dir := node(t)
	hold(t, filepath.Join(dir, "reorg_db", "LOCK"))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "reorg_db")))
	v := look(t, dir, datadir.DataHolders)
	require.True(t, v.Is(datadir.DataHolders, datadir.Wrong))
	require.True(t, v.Holders.Processes[0].Deleted)
}

// hold starts a process that has a file open for writing.
func hold(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_RDWR, 0)
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

// TestTwoWriters: two writers of the snapshot file are reported as long as both keep it open.
func TestTwoWriters(t *testing.T) {
	dir := node(t)
	for i := range 2 {
		hold(t, filepath.Join(dir, "l2_snapshots.dat"))
		v := look(t, dir, datadir.DataHolders)
		require.Equal(t, i == 1, v.Is(datadir.DataHolders, datadir.Wrong), v.Fact(datadir.DataHolders).Text)
		require.Len(t, v.Holders.Processes, i+1)
	}
}

// TestLeftovers: files that a running command has locked are not leftovers. What a prune left is
// of another kind if the file has since been replaced, so that no prune can complete it.
func TestLeftovers(t *testing.T) {
	dir := node(t)
	require.True(t, look(t, dir, datadir.DataLeftovers).Is(datadir.DataLeftovers, datadir.Sound))
	journal := filepath.Join(dir, datadir.JournalName)
	require.NoError(t, os.WriteFile(journal, []byte("{}"), 0o600))
	v := look(t, dir, datadir.DataLeftovers)
	require.True(t, v.Is(datadir.DataLeftovers, datadir.Wrong))
	require.Equal(t, datadir.RestoreLeft, v.Leftovers.Found[0].Kind)
	held, err := os.Open(journal)
	require.NoError(t, err)
	require.NoError(t, durable.Lock(held))
	require.Empty(t, look(t, dir, datadir.DataLeftovers).Leftovers.Found)
	require.NoError(t, held.Close())
	require.NoError(t, os.Remove(journal))

	file := filepath.Join(dir, "l2_snapshots.dat")
	text := clitest.Read(t, file)
	left := filepath.Join(dir, fmt.Sprintf(".l2_snapshots.dat.ailee-old-%d-%d", len(text), len(text)))
	require.NoError(t, os.WriteFile(left, []byte(text+clitest.Numbered(9)), 0o640))
	require.Equal(t, datadir.PruneLeft, look(t, dir, datadir.DataLeftovers).Leftovers.Found[0].Kind)
	require.NoError(t, os.WriteFile(file, []byte(clitest.Numbered(7)), 0o640))
	require.Equal(t, datadir.PruneForeign, look(t, dir, datadir.DataLeftovers).Leftovers.Found[0].Kind)
}

// TestBroadcast: evidence of an unfinished broadcast says whether the database has its record.
func TestBroadcast(t *testing.T) {
	dir := node(t)
	database := filepath.Join(dir, "reorg_db")
	require.True(t, look(t, dir, datadir.DataBroadcast).Is(datadir.DataBroadcast, datadir.Sound))
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(&wire.TxIn{})
	tx.AddTxOut(wire.NewTxOut(1000, []byte{0x51}))
	anchor := snapshot.NewAnchor(strings.Repeat("a", 64), 1, "m")
	require.NoError(t, pending.New(database, anchor, "w", tx).Write())
	for _, recorded := range []bool{false, true} {
		if recorded {
			db, err := reorgdb.Open(database)
			require.NoError(t, err)
			require.NoError(t, db.Update(func(u *reorgdb.Update) error {
				return u.Anchor(reorgdb.Anchor{Hash: anchor.Hash, BitcoinTxID: tx.TxHash().String(), L2StateRoot: anchor.L2StateRoot})
			}))
			require.NoError(t, db.Close())
		}
		v := look(t, dir, datadir.DataBroadcast, datadir.DBRecords)
		require.True(t, v.Is(datadir.DataBroadcast, datadir.Wrong))
		require.Equal(t, anchor.Hash, v.Broadcast.Anchor)
		require.Equal(t, recorded, v.Broadcast.Recorded)
	}
}

// TestClock: one time ahead of the clock is in doubt. If there are two, the clock is wrong.
func TestClock(t *testing.T) {
	dir := node(t)
	file := filepath.Join(dir, "l2_snapshots.dat")
	at := func(now time.Time) *datadir.View {
		v, err := datadir.Look(t.Context(), datadir.Options{DataDir: dir, Codes: []datadir.Code{datadir.DataClock}, Now: func() time.Time { return now }})
		require.NoError(t, err)
		return v
	}
	_, err := clitest.AppendAnchored(file, uint64(time.Now().Add(48*time.Hour).UnixMilli()), "m")
	require.NoError(t, err)
	v := at(time.Now())
	require.True(t, v.Is(datadir.DataClock, datadir.Sound))
	require.NotEmpty(t, v.Fact(datadir.DataClock).Remark)
	require.True(t, v.Latest.Time.Doubt)
	require.True(t, at(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)).Is(datadir.DataClock, datadir.Wrong))
}

// TestOwner: files that the node's user cannot use are found, by root and by that user.
func TestOwner(t *testing.T) {
	dir := node(t)
	require.True(t, look(t, dir, datadir.DataOwner).Is(datadir.DataOwner, datadir.Sound))
	file := filepath.Join(dir, "l2_snapshots.dat")
	if os.Geteuid() != 0 {
		require.NoError(t, os.Chmod(file, 0o440))
		v := look(t, dir, datadir.DataOwner)
		require.True(t, v.Is(datadir.DataOwner, datadir.Wrong))
		require.True(t, v.Owners.Wrong[0].ByMode && !v.Owners.Wrong[0].ByOwner)
		return
	}
	require.NoError(t, os.Chown(dir, 64100, 64100))
	require.NoError(t, os.Chown(file, 64100, 64100))
	v := look(t, dir, datadir.DataOwner)
	require.True(t, v.Is(datadir.DataOwner, datadir.Wrong), "the database is root's")
	for _, d := range v.Owners.Wrong {
		require.Contains(t, d.Path, "reorg_db")
		require.True(t, d.ByOwner)
	}
}
