package clitest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/snapshot"
)

// Numbered returns a valid snapshot of a few kilobytes, whose time is its number.
func Numbered(number int) string {
	st := snapshot.State{TimestampMs: uint64(number)}
	for i := range 40 {
		st.Ledger.Balances = append(st.Ledger.Balances, snapshot.Balance{PeerID: fmt.Sprintf("peer-%04d-%d", i, number), Balance: uint64(i)})
	}
	st.Anchor = snapshot.NewAnchor(snapshot.Root(&st), st.TimestampMs, "m")
	var b bytes.Buffer
	if err := snapshot.Encode(&b, &st); err != nil {
		panic(err)
	}
	return b.String()
}

// Times returns the times of the snapshots in a file. All of them must be valid, with nothing
// between them.
func Times(t *testing.T, path string) []uint64 {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var all []uint64
	end := int64(0)
	size := int64(len(data))
	for r, err := range snapshot.NewChecker(nil).CheckRange(t.Context(), bytes.NewReader(data), 0, size, size) {
		require.NoError(t, err)
		require.Equal(t, snapshot.Valid, r.Verdict())
		require.Equal(t, end, r.Offset, "bytes between snapshots")
		end = r.End()
		all = append(all, r.TimestampMs)
	}
	require.EqualValues(t, len(data), end)
	return all
}

// History writes a file with the given number of snapshots.
func History(t *testing.T, count int) string {
	path := filepath.Join(t.TempDir(), "l2_snapshots.dat")
	for i := 1; i <= count; i++ {
		require.NoError(t, AppendOne(path, i))
	}
	return path
}

// StateFile writes a state in JSON, whose time is the number.
func StateFile(t *testing.T, number, balances int) string {
	t.Helper()
	st := snapshot.State{TimestampMs: uint64(number),
		Ledger:        snapshot.Ledger{Balances: []snapshot.Balance{}, Escrows: []snapshot.Escrow{}},
		Bridge:        snapshot.Bridge{PegIns: []snapshot.PegIn{}, PegOuts: []snapshot.PegOut{}},
		Orchestration: snapshot.Orchestration{Tasks: []snapshot.Task{}}}
	for i := range balances {
		st.Ledger.Balances = append(st.Ledger.Balances, snapshot.Balance{PeerID: fmt.Sprintf("peer-%06d", i), Balance: uint64(i)})
	}
	text, err := json.Marshal(st)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "state.json")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return path
}

// AppendAnchored appends a valid snapshot to a file and returns its anchor.
func AppendAnchored(path string, timestampMs uint64, metadata string) (snapshot.Anchor, error) {
	st := snapshot.State{TimestampMs: timestampMs, Ledger: snapshot.Ledger{Balances: []snapshot.Balance{{PeerID: "peer", Balance: 1}}}}
	st.Anchor = snapshot.NewAnchor(snapshot.Root(&st), timestampMs, metadata)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return *st.Anchor, err
	}
	err = errors.Join(snapshot.Encode(f, &st), f.Close())
	return *st.Anchor, err
}

// Anchored is a snapshot file and what goes into Bitcoin for it.
type Anchored struct {
	File       string
	Root, Hash string // of the state and of the anchor
	Script     []byte // an output with its commitment
}

// MakeAnchor writes a file with one snapshot.
func MakeAnchor(t *testing.T, metadata string) Anchored {
	t.Helper()
	made := Anchored{File: filepath.Join(t.TempDir(), "anchored.dat")}
	anchor, err := AppendAnchored(made.File, 1, metadata)
	require.NoError(t, err)
	made.Root, made.Hash = anchor.L2StateRoot, anchor.Hash
	made.Script = snapshot.OpReturnScript(snapshot.Commitment(anchor.Payload))
	return made
}
