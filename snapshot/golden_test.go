package snapshot_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/snapshot"
)

const golden = "../testdata/golden"

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}

// goldenFiles returns all golden snapshot files. That there are some is part of
// the test.
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

func TestAppendEndsTornLines(t *testing.T) {
	st := goldenStates(t)[0]
	var one bytes.Buffer
	require.NoError(t, snapshot.Encode(&one, &st))
	for _, before := range []string{"", one.String(), "SNAPSHOT v1\nbalance \"ca", strings.TrimSuffix(one.String(), "\n")} {
		path := filepath.Join(t.TempDir(), "l2_snapshots.dat")
		if before != "" {
			require.NoError(t, os.WriteFile(path, []byte(before), 0o600))
		}
		at, err := snapshot.Append(path, &st, 0o600)
		require.NoError(t, err)
		want := before
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		require.EqualValues(t, len(want), at)
		require.Equal(t, want+one.String(), string(read(t, path)))
	}
}
