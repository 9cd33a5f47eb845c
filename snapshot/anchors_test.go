package snapshot_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/snapshot"
)

// requireAnchors asserts that the anchors found in a file are the same as those found by
// checking all of it.
func requireAnchors(t *testing.T, name string, data []byte) {
	t.Helper()
	r, size := bytes.NewReader(data), int64(len(data))
	var want []snapshot.Anchored
	for report, err := range snapshot.NewChecker(nil).CheckRange(t.Context(), r, 0, size, size) {
		require.NoError(t, err, name)
		report.Index = int64(len(want) + 1)
		want = append(want, snapshot.Anchored{Located: report.Located, Anchor: report.Anchor})
	}
	var got []snapshot.Anchored
	for a, err := range snapshot.NewChecker(nil).Anchors(t.Context(), r, size) {
		require.NoError(t, err, name)
		got = append(got, a)
	}
	require.Equal(t, want, got, name)
}

// TestAnchorsAreThoseOfChecking covers every golden file, all of them one after the other
// and cut, and files of odd lines.
func TestAnchorsAreThoseOfChecking(t *testing.T) {
	files, err := filepath.Glob(golden + "/*/*.dat")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var all []byte
	for _, name := range files {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		requireAnchors(t, name, data)
		all = append(all, data...)
	}
	requireAnchors(t, "all", all)
	rng := rand.New(rand.NewSource(1))
	for range 100 {
		from := rng.Intn(len(all))
		requireAnchors(t, "cut", all[from:from+rng.Intn(len(all)-from)])
	}
	long := strings.Repeat("x", 100_000)
	lines := []string{"SNAPSHOT v1", "END_SNAPSHOT", `anchor "r" 1 "m" "p" "h"`, "anchor none", " \tanchor r 2 m p g", "anchor r x", "", "anchors 1", "balance p 1",
		`anchor "r" 1 "` + long + `" "p" "h"`, `anchor "r" 1 "m" "p" "h" ` + long, "anchor none " + long, "balance " + long + " 1", "garbage" + long + "SNAPSHOT v1"}
	for range 300 {
		var b strings.Builder
		for range rng.Intn(30) {
			b.WriteString(lines[rng.Intn(len(lines))] + "\n")
		}
		requireAnchors(t, b.String(), []byte(b.String()[:b.Len()-min(b.Len(), rng.Intn(2))]))
	}
}

// TestAnchorsNeedOneLine: a snapshot that is too large to be sorted does not matter; an
// anchor line that is too long is named.
func TestAnchorsNeedOneLine(t *testing.T) {
	var b strings.Builder
	b.WriteString("SNAPSHOT v1\n")
	for i := 100_000; i > 0; i-- {
		fmt.Fprintf(&b, "balance \"p%06d\" 1\n", i)
	}
	b.WriteString("anchor r 1 m p h\nEND_SNAPSHOT\n")
	data := []byte(b.String())
	checker := snapshot.NewChecker(snapshot.NewMemory(1 << 20))
	count := 0
	for a, err := range checker.Anchors(t.Context(), bytes.NewReader(data), int64(len(data))) {
		require.NoError(t, err)
		require.Equal(t, "h", a.Anchor.Hash)
		count++
	}
	require.Equal(t, 1, count)
	data = []byte("SNAPSHOT v1\nanchor r 1 m p " + strings.Repeat("h", 200_000) + "\nEND_SNAPSHOT\n")
	for _, err := range checker.Anchors(t.Context(), bytes.NewReader(data), int64(len(data))) {
		var long *snapshot.LineTooLongError
		require.ErrorAs(t, err, &long)
		require.EqualValues(t, 12, long.Offset)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range checker.Anchors(cancelled, bytes.NewReader(data), int64(len(data))) {
		require.ErrorIs(t, err, context.Canceled)
	}
	for _, err := range checker.Anchors(t.Context(), bytes.NewReader(nil), 1) {
		require.ErrorIs(t, err, snapshot.ErrShrunk)
	}
}
