package snapshot_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/snapshot"
	"ailee-recovery/snapshot/statejson"
)

const golden = "../testdata/golden"

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}

// goldenFiles returns all golden snapshot files. It fails if there are none.
func goldenFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(golden + "/*/*.dat")
	require.NoError(t, err)
	require.Greater(t, len(files), 100, "the golden files are missing")
	return files
}

// reports checks every snapshot of a file.
func reports(t testing.TB, data []byte) []*snapshot.Report {
	t.Helper()
	r := bytes.NewReader(data)
	checker := snapshot.NewChecker(nil)
	var all []*snapshot.Report
	for l, err := range snapshot.Forward(r, r.Size()) {
		require.NoError(t, err)
		report, err := checker.Check(context.Background(), r, l)
		require.NoError(t, err)
		all = append(all, report)
	}
	return all
}

type nodeVerdict struct {
	Exit int    `json:"exit"`
	Root string `json:"root"`
}

func TestNodesVerdictsOnWhatTheyWrote(t *testing.T) {
	for _, name := range []string{"node-written", "node-written-clean"} {
		var want []nodeVerdict
		require.NoError(t, json.Unmarshal(read(t, golden+"/write/"+name+".verdicts.json"), &want))
		got := reports(t, read(t, golden+"/write/"+name+".dat"))
		require.Len(t, got, len(want))
		for i, r := range got {
			require.Equal(t, want[i].Root, r.Root)
			require.Equal(t, want[i].Exit == 0, r.Verdict() == snapshot.Valid, "%s %d", name, i)
		}
	}
}

func goldenStates(t testing.TB) []snapshot.State {
	var states []snapshot.State
	require.NoError(t, json.Unmarshal(read(t, golden+"/write/node-written.json"), &states))
	require.NotEmpty(t, states)
	return states
}

func TestEncodeWritesWhatANodeWrites(t *testing.T) {
	var file bytes.Buffer
	for _, st := range goldenStates(t) {
		require.NoError(t, snapshot.Encode(&file, &st))
	}
	require.Equal(t, string(read(t, golden+"/write/node-written.dat")), file.String())
}

func TestRootOfStateIsRootOfFile(t *testing.T) {
	for i, r := range reports(t, read(t, golden+"/write/node-written.dat")) {
		st := goldenStates(t)[i]
		before, err := json.Marshal(st)
		require.NoError(t, err)
		require.Equal(t, r.Root, snapshot.Root(&st))
		after, err := json.Marshal(st)
		require.NoError(t, err)
		require.Equal(t, before, after, "Root changed the state")
	}
}

func TestEncodeRefusesNewlines(t *testing.T) {
	for _, st := range []snapshot.State{
		{Ledger: snapshot.Ledger{Balances: []snapshot.Balance{{PeerID: "a\nb"}}}},
		{Bridge: snapshot.Bridge{PegOuts: []snapshot.PegOut{{AnchorCommitmentHash: "\n"}}}},
		{Orchestration: snapshot.Orchestration{Tasks: []snapshot.Task{{PayloadHash: "x\n"}}}},
		{Anchor: &snapshot.Anchor{RecoveryMetadata: "m\n"}},
	} {
		require.ErrorIs(t, snapshot.Encode(&bytes.Buffer{}, &st), snapshot.ErrNewline)
	}
}

// built returns the state as a Builder.
func built(t testing.TB, st *snapshot.State) *snapshot.Builder {
	t.Helper()
	text, err := json.Marshal(st)
	require.NoError(t, err)
	b, _, err := statejson.Decode(context.Background(), bytes.NewReader(text))
	require.NoError(t, err)
	return b
}

// TestBuilderWritesWhatANodeWrites: in memory, to a file and to any other writer.
func TestBuilderWritesWhatANodeWrites(t *testing.T) {
	var want, got bytes.Buffer
	f, err := os.Create(filepath.Join(t.TempDir(), "l2_snapshots.dat"))
	require.NoError(t, err)
	defer f.Close()
	for _, st := range goldenStates(t) {
		// More than the largest piece holds.
		for i := range 40_000 {
			st.Ledger.Balances = append(st.Ledger.Balances, snapshot.Balance{PeerID: fmt.Sprintf("peer\\%037d", i), Balance: math.MaxUint64})
		}
		require.NoError(t, snapshot.Encode(&want, &st))
		text, err := built(t, &st).Text(st.Anchor)
		require.NoError(t, err)
		n, err := text.WriteTo(&got)
		require.NoError(t, err)
		require.Equal(t, text.Located().Size, n)
		n, err = text.WriteTo(f)
		require.NoError(t, err)
		require.Equal(t, text.Located().Size, n)
		report, err := snapshot.NewChecker(snapshot.NewMemory(1<<30)).Check(context.Background(), text, text.Located())
		require.NoError(t, err)
		require.Equal(t, snapshot.Root(&st), report.Root)
	}
	require.True(t, bytes.Equal(want.Bytes(), got.Bytes()))
	require.True(t, bytes.Equal(want.Bytes(), read(t, f.Name())))
}

// TestAnchoredWritesWhatANodeReads: in a sound snapshot only the anchor is replaced; of a
// damaged one only what a node reads is kept.
func TestAnchoredWritesWhatANodeReads(t *testing.T) {
	checker := snapshot.NewChecker(nil)
	for _, name := range goldenFiles(t) {
		data := read(t, name)
		r := bytes.NewReader(data)
		for i, report := range reports(t, data) {
			anchor := snapshot.NewAnchor(report.Root, 7, `m"`)
			st, err := checker.Read(context.Background(), r, report)
			require.NoError(t, err)
			st.Anchor = anchor
			var want, got bytes.Buffer
			if err := snapshot.Encode(&want, st); err != nil {
				t.Fatal(err)
			}
			n, err := checker.Anchored(context.Background(), r, report, anchor).WriteTo(&got)
			require.NoError(t, err)
			require.EqualValues(t, got.Len(), n)
			require.Equal(t, want.String(), got.String(), "%s %d", name, i)
			reread := reports(t, got.Bytes())[0]
			require.True(t, reread.Holding())
			require.Equal(t, report.Root, reread.Root)
		}
	}
}

func openForAppend(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func TestAppendEndsTornLines(t *testing.T) {
	st := goldenStates(t)[0]
	text, err := built(t, &st).Text(st.Anchor)
	require.NoError(t, err)
	var one bytes.Buffer
	require.NoError(t, snapshot.Encode(&one, &st))
	for _, before := range []string{"", one.String(), "SNAPSHOT v1\nbalance \"ca", strings.TrimSuffix(one.String(), "\n")} {
		path := filepath.Join(t.TempDir(), "l2_snapshots.dat")
		require.NoError(t, os.WriteFile(path, []byte(before), 0o600))
		want := before
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		want += one.String()
		f := openForAppend(t, path)
		at, err := snapshot.Append(f, text, func(l snapshot.Located) error {
			latest, err := snapshot.Latest(f, int64(len(want)))
			require.Equal(t, latest, l)
			return err
		})
		require.NoError(t, err)
		require.EqualValues(t, len(want), at.End())
		require.Equal(t, want, string(read(t, path)))

		// What fails its check is removed again,
		_, err = snapshot.Append(f, text, func(snapshot.Located) error { return io.ErrNoProgress })
		require.ErrorIs(t, err, io.ErrNoProgress)
		require.Equal(t, want, string(read(t, path)))

		// unless another process has appended since: none of that is lost.
		_, err = snapshot.Append(f, text, func(snapshot.Located) error {
			_, err := openForAppend(t, path).WriteString(one.String())
			return errors.Join(err, io.ErrNoProgress)
		})
		require.ErrorIs(t, err, io.ErrNoProgress)
		require.Equal(t, want+one.String()+one.String(), string(read(t, path)))
	}
}

// TestAnchorSetIsBounded: by the memory limit, of which each anchor takes 160 bytes.
func TestAnchorSetIsBounded(t *testing.T) {
	checker, set := snapshot.NewChecker(snapshot.NewMemory(1600)), snapshot.AnchorSet{}
	for i := range 10 {
		require.NoError(t, checker.Add(set, fmt.Sprint(i)))
	}
	var tooMany *snapshot.TooManyAnchorsError
	require.ErrorAs(t, checker.Add(set, "10"), &tooMany)
	require.EqualValues(t, 1600, tooMany.Limit)
	require.Len(t, set, 10)
}

func TestAppendToAFullDisk(t *testing.T) {
	st := goldenStates(t)[0]
	text, err := built(t, &st).Text(nil)
	require.NoError(t, err)
	_, err = snapshot.Append(openForAppend(t, "/dev/full"), text, nil)
	require.ErrorIs(t, err, syscall.ENOSPC)
}
