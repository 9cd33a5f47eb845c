package extractsnapshots

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
	"ailee-recovery/snapshot"
)

// TestEachFileIsItsSnapshot covers small snapshots, which are read and written several at a
// time, large ones, others between stray bytes, and one without its last newline, written to
// an existing folder and to a missing one.
func TestEachFileIsItsSnapshot(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	for run := range 4 {
		dir := t.TempDir()
		var data bytes.Buffer
		var want []string
		for i := range 300 {
			size := rng.Intn(10_000)
			switch rng.Intn(20) {
			case 0:
				size = small + rng.Intn(3*batchSize)
			case 1:
				data.WriteString("stray\n")
			}
			st := &snapshot.State{TimestampMs: uint64(i)}
			st.Ledger.Balances = []snapshot.Balance{{PeerID: strings.Repeat("p", size)}}
			var text bytes.Buffer
			require.NoError(t, snapshot.Encode(&text, st))
			want = append(want, text.String())
			data.Write(text.Bytes())
		}
		data.Truncate(data.Len() - 1) // removes the last newline
		o := Options{File: filepath.Join(dir, "f"), Dir: filepath.Join(dir, "out"), Index: flags.All, Format: FormatDat}
		require.NoError(t, os.WriteFile(o.File, data.Bytes(), 0o640))
		if run%2 == 0 {
			require.NoError(t, os.Mkdir(o.Dir, 0o755))
		}
		var out, problems bytes.Buffer
		require.NoError(t, Run(t.Context(), o, &cli.IO{Streams: cli.Streams{Out: &out, Err: &problems}}), problems.String())
		entries, err := os.ReadDir(o.Dir)
		require.NoError(t, err)
		require.Len(t, entries, len(want))
		for i, text := range want {
			got, err := os.ReadFile(filepath.Join(o.Dir, fmt.Sprintf("snapshot_%d.dat", i+1)))
			require.NoError(t, err)
			require.True(t, text == string(got), "snapshot %d", i+1)
		}
	}
}

// TestBatches: small snapshots that directly follow each other and have their newlines are
// in one batch. Every other snapshot is in its own.
func TestBatches(t *testing.T) {
	at := int64(0)
	add := func(p *plan, gap, size int64) {
		p.total++
		p.listed = append(p.listed, snapshot.Located{Index: p.total, Offset: at + gap, Size: size, BodyEnd: at + gap + size - 13})
		at += gap + size
	}
	p := &plan{Options: Options{Index: flags.All, Format: FormatDat}}
	for range 3 {
		add(p, 0, 100)
	}
	p.listed[1].BodyEnd++ // as if a torn line followed that begins with its end line
	add(p, 1, 100)
	add(p, 0, small+1)
	add(p, 0, small)
	for range batchSize / small {
		add(p, 0, small)
	}
	sizes := func() (sizes []int) {
		for items, err := range (&extraction{plan: p}).batches() {
			require.NoError(t, err)
			sizes = append(sizes, len(items))
		}
		return sizes
	}
	require.Equal(t, []int{2, 1, 1, 1, batchSize / small, 1}, sizes())
	p.Format = FormatJSON
	require.Equal(t, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, sizes())
}
