package snapshottool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/snapshot"
)

// places is a batch: the places of snapshots, and their roots.
type places struct {
	all    []snapshot.Located
	roots  []string
	resets int
}

func (p *places) Reset() { p.all, p.roots, p.resets = p.all[:0], p.roots[:0], p.resets+1 }

func addPlace(p *places, report *snapshot.Report) {
	p.all, p.roots = append(p.all, report.Located), append(p.roots, report.Root)
}

// snapshotsOf returns snapshots of at most size bytes and a few more.
func snapshotsOf(rng *rand.Rand, count, size int) []byte {
	var b bytes.Buffer
	for i := range count {
		b.WriteString("SNAPSHOT v1\n")
		for start := b.Len(); size > 0 && b.Len()-start < rng.Intn(size); {
			fmt.Fprintf(&b, "balance %q %d\n", strings.Repeat("k", rng.Intn(60)), i)
		}
		b.WriteString("END_SNAPSHOT\n")
		if rng.Intn(500) == 0 {
			b.WriteString("stray\n")
		}
	}
	return b.Bytes()
}

// TestBatches: all snapshots are in them, in file order, whatever their sizes.
func TestBatches(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	data := snapshotsOf(rng, 9000, 0)
	for _, part := range []struct{ count, size int }{{3000, 2000}, {3, 3 << 20}, {5000, 0}, {20, 100_000}} {
		data = append(data, snapshotsOf(rng, part.count, part.size)...)
	}
	r, size := bytes.NewReader(data), int64(len(data))
	var want []snapshot.Located
	for l, err := range snapshot.Forward(r, size) {
		require.NoError(t, err)
		l.Index = 0
		want = append(want, l)
	}
	require.Len(t, want, 17_023)
	var got places
	again := 0
	for some, err := range snapshottool.Batches(t.Context(), r, 0, size, snapshot.NewMemory(0), addPlace) {
		require.NoError(t, err)
		require.NotEmpty(t, some.all)
		got.all, got.roots = append(got.all, some.all...), append(got.roots, some.roots...)
		again += min(some.resets, 1)
	}
	require.Equal(t, want, got.all)
	require.Positive(t, again)
	i := 0
	for report, err := range snapshottool.Reports(t.Context(), r, 0, size, snapshot.NewMemory(0)) {
		require.NoError(t, err)
		require.Equal(t, got.all[i], report.Located)
		require.Equal(t, got.roots[i], report.Root)
		i++
	}
	require.Len(t, want, i)
}

var errDisk = errors.New("bad disk")

// failing cannot be read at or after an offset.
type failing struct {
	io.ReaderAt
	from int64
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.from {
		return 0, errDisk
	}
	return f.ReaderAt.ReadAt(p, off)
}

// TestBatchesBeforeAnError: everything that was checked before an error comes before it, and
// a loop may end early.
func TestBatchesBeforeAnError(t *testing.T) {
	data := snapshotsOf(rand.New(rand.NewSource(1)), 20_000, 0)
	size := int64(len(data))
	const from = 192 << 10
	count, end := 0, int64(0)
	var failed error
	for some, err := range snapshottool.Batches(t.Context(), failing{bytes.NewReader(data), from}, 0, size, snapshot.NewMemory(0), addPlace) {
		if failed = err; err != nil {
			break
		}
		count += len(some.all)
		end = some.all[len(some.all)-1].End()
	}
	require.ErrorIs(t, failed, errDisk)
	require.Greater(t, end, int64(from-100))
	require.Equal(t, bytes.Count(data[:end], []byte(snapshot.EndLine)), count)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, err := range snapshottool.Batches(ctx, bytes.NewReader(data), 0, size, snapshot.NewMemory(0), addPlace) {
		if err != nil {
			failed = err
			break
		}
		cancel()
	}
	require.ErrorIs(t, failed, context.Canceled)
	for range snapshottool.Batches(t.Context(), bytes.NewReader(data), 0, size, snapshot.NewMemory(0), addPlace) {
		break
	}
}
