package diffsnapshots_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/diffsnapshots"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/golden"
	"ailee-recovery/snapshot"
)

// FuzzDiff: whatever two files hold, what is said of the snapshots that a node loads of them is
// what two sets of their records come to.
func FuzzDiff(f *testing.F) {
	var before []byte
	for _, data := range golden.Snapshots(f, 8<<10) {
		f.Add(before, data)
		f.Add(data, data)
		before = data
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var sides [2][]line
		var roots [2]string
		args := []string{"--json"}
		loaded := true
		for i, data := range [][]byte{a, b} {
			path := filepath.Join(dir, []string{"a", "b"}[i])
			require.NoError(t, os.WriteFile(path, data, 0o600))
			args = append(args, path+"@latest")
			st := latestState(t, data)
			if st == nil {
				loaded = false
				continue
			}
			sides[i], roots[i] = linesOf(t, st), snapshot.Root(st)
		}
		code, stdout, stderr := clitest.Run(diffsnapshots.Tool(), args...)
		require.NotContains(t, stderr, "internal error")
		if !loaded {
			require.Equal(t, exit.Failed, code, stdout)
			return
		}
		var end struct {
			Same, Reordered bool
			Totals          map[string]struct {
				Added, Removed, Changed int
				Amount                  *json.Number
			}
		}
		documents := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
		require.NoError(t, json.Unmarshal([]byte(documents[len(documents)-1]), &end), stderr)
		different := 0
		for _, section := range snapshot.Sections {
			want, amount := bySets(section, sides[0], sides[1])
			got := end.Totals[section.String()]
			require.Equal(t, want, [3]int{got.Added, got.Removed, got.Changed}, "%s: %s", section, stdout)
			if section != snapshot.Tasks {
				require.Equal(t, amount.String(), got.Amount.String(), "%s: %s", section, stdout)
			}
			different += want[0] + want[1] + want[2]
		}
		require.Len(t, documents, different+2)
		require.Equal(t, different == 0 && roots[0] != roots[1], end.Reordered)
		require.Equal(t, roots[0] == roots[1], end.Same)
		require.Equal(t, map[bool]int{true: exit.OK, false: exit.Wrong}[end.Same], code)
	})
}

// latestState reads the snapshot that a node loads into memory; nil where there is none.
func latestState(t *testing.T, data []byte) *snapshot.State {
	r := bytes.NewReader(data)
	l, err := snapshot.Latest(r, r.Size())
	if err != nil {
		require.ErrorIs(t, err, snapshot.ErrNoSnapshot)
		return nil
	}
	checker := snapshot.NewChecker(nil)
	report, err := checker.Check(t.Context(), r, l)
	require.NoError(t, err)
	st, err := checker.Read(t.Context(), r, report)
	require.NoError(t, err)
	return st
}

// line is a record as a node writes it.
type line struct {
	section snapshot.Section
	key     string
	text    string
	amount  uint64
}

func linesOf(t *testing.T, st *snapshot.State) (all []line) {
	var text bytes.Buffer
	require.NoError(t, snapshot.Encode(&text, st))
	for one := range bytes.Lines(text.Bytes()) {
		one = bytes.TrimSuffix(one, []byte("\n"))
		rec, ok := snapshot.ParseRecord(one)
		if !ok {
			continue
		}
		l := line{section: rec.Section(), key: string(rec.Key()), text: string(one)}
		switch v := rec.Value().(type) {
		case snapshot.Balance:
			l.amount = v.Balance
		case snapshot.Escrow:
			l.amount = v.Amount
		case snapshot.PegIn:
			l.amount = v.BtcAmount
		case snapshot.PegOut:
			l.amount = v.AileeBurnAmount
		}
		all = append(all, l)
	}
	return all
}

// bySets is how many records of a section were added, removed and changed, and by how much
// their amounts grew. Of several with one key, those of both sides that follow each other in
// the order of their text are one that changed.
func bySets(section snapshot.Section, a, b []line) (n [3]int, amount *big.Int) {
	amount = new(big.Int)
	type one struct {
		line
		side int
	}
	var all []one
	for side, lines := range [2][]line{less(b, a), less(a, b)} {
		for _, l := range lines {
			if l.section != section {
				continue
			}
			all = append(all, one{l, side})
			add := new(big.Int).SetUint64(l.amount)
			if side == 1 {
				add.Neg(add)
			}
			amount.Add(amount, add)
		}
	}
	slices.SortFunc(all, func(a, b one) int { return cmp.Or(strings.Compare(a.key, b.key), strings.Compare(a.text, b.text)) })
	for i := 0; i < len(all); i++ {
		if i+1 < len(all) && all[i].key == all[i+1].key && all[i].side != all[i+1].side {
			n[2]++
			i++
		} else {
			n[all[i].side]++
		}
	}
	return n, amount
}
