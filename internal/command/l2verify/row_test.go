package l2verify

import (
	"fmt"
	"io"
	"math/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/snapshot"
)

// TestRow: a row is what its format produces, however narrow or wide its numbers are.
func TestRow(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	number := func() int64 { return rng.Int63() >> rng.Intn(64) }
	p, painted := newPaint(io.Discard), paint{snapshot.NoAnchor: "red"}
	for range 20_000 {
		judged := snapshot.Judgement{Report: &snapshot.Report{Root: fmt.Sprintf("%064x", rng.Uint64())}, Verdict: snapshot.Valid}
		judged.Offset, judged.Size, judged.TimestampMs = number(), number(), uint64(number())
		judged.Root = judged.Root[50:] + judged.Root[:50]
		index := number()
		want := fmt.Sprintf(rowFormat, fmt.Sprint(index), fmt.Sprint(judged.Offset), fmt.Sprint(judged.Size),
			snapshottool.ShortTime(judged.TimestampMs), judged.Root[:rootDigits], "valid")
		require.Equal(t, want, string(p.appendRow(appendRight(nil, index, indexWidth), judged, nil, true)))
	}
	judged := snapshot.Judgement{Report: &snapshot.Report{Root: fmt.Sprintf("%064x", 1)}, Verdict: snapshot.NoAnchor}
	found := []snapshot.Finding{{Kind: snapshot.CountMismatch}, {Kind: snapshot.CountMismatch}, {Kind: snapshot.DuplicateKey}}
	const row = "           0         0  1970-01-01 00:00:00  00000000  "
	require.Equal(t, row+"no anchor\n       found: count-mismatch, duplicate-key\n", string(p.appendRow(nil, judged, found, true)))
	require.Equal(t, row+"red\n", string(painted.appendRow(nil, judged, nil, false)))
}
