package snapshot_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/snapshot"
)

// keyed returns a snapshot of balances with these keys, in this order, and this count line.
func keyed(keys []string, count int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "SNAPSHOT v1\ntimestamp_ms 1\nbalances %07d\n", count)
	for i, key := range keys {
		fmt.Fprintf(&b, "balance %q %d\n", key, i)
	}
	b.WriteString("escrows 0\npegins 0\npegouts 0\ntasks 0\nEND_SNAPSHOT\n")
	return b.Bytes()
}

// TestSortedWhereRead: a section that is sorted as it is read has the same root and findings
// as one that is read again, as after a wrong count line, whatever its size and its keys.
func TestSortedWhereRead(t *testing.T) {
	rounds := 60
	switch {
	case hostile():
		rounds = 2000
	case testing.Short():
		rounds = 20
	}
	rng := rand.New(rand.NewSource(1))
	for round := range rounds {
		n := 9 + rng.Intn([]int{20, 100, 3000, 30_000}[round%4])
		prefix := strings.Repeat("p", rng.Intn(20))
		letters := []string{"ab", "0123456789abcdef", ` !:"\~`}[rng.Intn(3)]
		length := rng.Intn([]int{2, 12, 300}[rng.Intn(3)])
		keys := make([]string, n)
		for i := range keys {
			key := make([]byte, rng.Intn(length+1))
			for j := range key {
				key[j] = letters[rng.Intn(len(letters))]
			}
			keys[i] = prefix + string(key)
			if rng.Intn(3) > 0 {
				keys[i] += fmt.Sprintf("%05x", rng.Intn(1<<20))
			}
		}
		switch rng.Intn(4) {
		case 0: // out of order late, when the text has gone to the hash
			slices.Sort(keys)
			keys[n-1] = prefix
		case 1: // only equal keys
			slices.Sort(keys)
		}
		right, wrong := keyed(keys, len(keys)), keyed(keys, len(keys)-1)
		require.Len(t, wrong, len(right))
		want := reports(t, wrong)[0]
		require.Equal(t, refSnapshots(right)[0].root(), want.Root)
		mismatch := slices.IndexFunc(want.Findings, func(f snapshot.Finding) bool { return f.Kind == snapshot.CountMismatch })
		findings := slices.Delete(want.Findings, mismatch, mismatch+1)
		// The second one shows that nothing is left of the first.
		two := slices.Concat(right, right)
		for i, got := range reports(t, two) {
			require.Equal(t, want.Root, got.Root)
			require.Equal(t, want.Counts, got.Counts)
			for k := range got.Findings {
				got.Findings[k].Offset -= int64(i * len(right))
			}
			require.ElementsMatch(t, findings, got.Findings)
			require.Equal(t, kindsIn(findings), kindsIn(got.Findings))
		}
		swept := 0
		r, size := bytes.NewReader(two), int64(len(two))
		for got, err := range snapshot.NewChecker(snapshot.NewMemory(8*size)).Sweep(context.Background(), r, 0, size, size) {
			require.NoError(t, err)
			require.Equal(t, want.Root, got.Root)
			swept++
		}
		require.Equal(t, 2, swept)
	}
}

func kindsIn(found []snapshot.Finding) (kinds []snapshot.Kind) {
	for _, f := range found {
		kinds = append(kinds, f.Kind)
	}
	return kinds
}

// TestSweep: its reports are those of CheckRange, and the checker can be used as before.
func TestSweep(t *testing.T) {
	var data []byte
	for _, file := range goldenFiles(t) {
		if one := read(t, file); len(one) < 64<<10 {
			data = append(append(data, one...), '\n')
		}
	}
	ctx, r, size := context.Background(), bytes.NewReader(data), int64(len(data))
	checker := snapshot.NewChecker(nil)
	var want []snapshot.Report
	for report, err := range checker.CheckRange(ctx, r, 0, size, size) {
		require.NoError(t, err)
		want = append(want, *report)
	}
	require.Greater(t, len(want), 50)
	for range 2 {
		i := 0
		for report, err := range checker.Sweep(ctx, r, 0, size, size) {
			require.NoError(t, err)
			if len(report.Findings) == 0 {
				report.Findings = nil
			}
			require.Equal(t, want[i], *report)
			i++
		}
		require.Len(t, want, i)
	}
	var kept []*snapshot.Report
	for report, err := range checker.CheckRange(ctx, r, 0, size, size) {
		require.NoError(t, err)
		kept = append(kept, report)
	}
	for i := range kept {
		require.Equal(t, want[i], *kept[i])
	}
}

// TestQuotesInStrings: a record that looks as a node writes it, with strings as long as
// those of the previous line, is read as a node reads it.
func TestQuotesInStrings(t *testing.T) {
	rounds := 2000
	if testing.Short() {
		rounds = 300
	}
	const pieces = "ab\" 1:\\\n"
	rng := rand.New(rand.NewSource(1))
	odd := 0
	for range rounds {
		text := "SNAPSHOT v1\n"
		for range 1 + rng.Intn(4) {
			tag := refOrder[rng.Intn(len(refOrder))]
			for range 1 + rng.Intn(30) {
				line := tag
				for _, kind := range refFields[tag] {
					if kind != 's' {
						line += fmt.Sprint(" ", rng.Intn(2))
						continue
					}
					str := []byte("abababab")
					if rng.Intn(40) == 0 {
						odd++
						for i := range str {
							str[i] = pieces[rng.Intn(len(pieces))]
						}
					}
					line += ` "` + string(str) + `"`
				}
				if rng.Intn(60) == 0 {
					line = line[:rng.Intn(len(line))] + "\n" + line
				}
				text += line + "\n"
			}
		}
		compareLocations(t, text+"END_SNAPSHOT\n"+strings.Repeat("-", 200))
	}
	require.Greater(t, odd, rounds/2)
}
