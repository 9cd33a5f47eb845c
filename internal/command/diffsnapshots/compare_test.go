package diffsnapshots_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/diffsnapshots"
	"ailee-recovery/internal/exit"
	"ailee-recovery/snapshot"
)

// keys are few, so that they repeat, and hard to sort.
var keys = []string{"", "a", "a\x00", "a\x00b", "a\x00\x01", "ab", "a\"", "a\\", "b", "\xff", "a\x01", "ä"}

// randomState has records of two sections, sorted or not, with keys that repeat or not.
func randomState(rng *rand.Rand, count int) *snapshot.State {
	st := &snapshot.State{TimestampMs: 5}
	for range rng.Intn(count + 1) {
		st.Ledger.Balances = append(st.Ledger.Balances, snapshot.Balance{PeerID: keys[rng.Intn(len(keys))], Balance: uint64(rng.Intn(3))})
		st.Orchestration.Tasks = append(st.Orchestration.Tasks, snapshot.Task{TaskID: keys[rng.Intn(len(keys))], TaskType: int32(rng.Intn(2))})
	}
	byKey := func(a, b snapshot.Balance) int { return strings.Compare(a.PeerID, b.PeerID) }
	if rng.Intn(3) > 0 {
		slices.SortFunc(st.Ledger.Balances, byKey)
	}
	if rng.Intn(3) == 0 {
		st.Ledger.Balances = slices.CompactFunc(st.Ledger.Balances, func(a, b snapshot.Balance) bool { return byKey(a, b) == 0 })
	}
	return st
}

// less returns the records that are in a more often than in b.
func less[R comparable](a, b []R) (all []R) {
	left := slices.Clone(b)
	for _, record := range a {
		if i := slices.Index(left, record); i >= 0 {
			left = slices.Delete(left, i, i+1)
		} else {
			all = append(all, record)
		}
	}
	return all
}

// expect returns how many records were added, removed and changed. Among several with the
// same key, in the order of number, two neighbours from different sides are one that changed.
func expect[R comparable](a, b []R, key func(R) string, number func(R) int) (n [3]int) {
	type one struct {
		record R
		side   int
	}
	var all []one
	for _, record := range less(b, a) {
		all = append(all, one{record, 0})
	}
	for _, record := range less(a, b) {
		all = append(all, one{record, 1})
	}
	slices.SortFunc(all, func(a, b one) int {
		return cmp.Or(strings.Compare(key(a.record), key(b.record)), number(a.record)-number(b.record))
	})
	for i := 0; i < len(all); i++ {
		if i+1 < len(all) && key(all[i].record) == key(all[i+1].record) && all[i].side != all[i+1].side {
			n[2]++
			i++
		} else {
			n[all[i].side]++
		}
	}
	return n
}

// TestAgainstSets: whatever order the records have, and however often a key occurs, the
// difference is what the two sets do not have in common, in the order of the keys.
func TestAgainstSets(t *testing.T) {
	clitest.InMemory(t)
	dir := t.TempDir()
	rng := rand.New(rand.NewSource(7))
	cases := 600
	if testing.Short() {
		cases = 150
	}
	for i := range cases {
		states := [2]*snapshot.State{randomState(rng, 12), randomState(rng, 12)}
		if rng.Intn(3) == 0 {
			states[1].Ledger.Balances = slices.Clone(states[0].Ledger.Balances)
			rng.Shuffle(len(states[1].Ledger.Balances), func(a, b int) {
				states[1].Ledger.Balances[a], states[1].Ledger.Balances[b] = states[1].Ledger.Balances[b], states[1].Ledger.Balances[a]
			})
		}
		args := []string{"--json"}
		for j, st := range states {
			var b bytes.Buffer
			require.NoError(t, snapshot.Encode(&b, st))
			path := filepath.Join(dir, fmt.Sprint(j))
			require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
			args = append(args, path+"@1")
		}
		code, stdout, stderr := clitest.Run(diffsnapshots.Tool(), args...)
		lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
		var end struct {
			Same, Reordered bool
			Totals          map[string]struct {
				Added, Removed, Changed int
				Amount                  *json.Number
			}
		}
		require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &end), stderr)
		balances := expect(states[0].Ledger.Balances, states[1].Ledger.Balances, func(b snapshot.Balance) string { return b.PeerID }, func(b snapshot.Balance) int { return int(b.Balance) })
		tasks := expect(states[0].Orchestration.Tasks, states[1].Orchestration.Tasks, func(task snapshot.Task) string { return task.TaskID }, func(task snapshot.Task) int { return int(task.TaskType) })
		got := end.Totals["balances"]
		require.Equal(t, balances, [3]int{got.Added, got.Removed, got.Changed}, "%d: %s", i, stdout)
		sum := 0
		for _, b := range states[1].Ledger.Balances {
			sum += int(b.Balance)
		}
		for _, b := range states[0].Ledger.Balances {
			sum -= int(b.Balance)
		}
		require.Equal(t, fmt.Sprint(sum), got.Amount.String())
		got = end.Totals["tasks"]
		require.Equal(t, tasks, [3]int{got.Added, got.Removed, got.Changed}, "%d: %s", i, stdout)
		different := balances != [3]int{} || tasks != [3]int{}
		require.Equal(t, !different && snapshot.Root(states[0]) != snapshot.Root(states[1]), end.Reordered)
		require.Equal(t, !different && !end.Reordered, end.Same)
		require.Equal(t, end.Same, code == exit.OK)

		// In the order of the keys, as the text shows them.
		_, text, _ := clitest.Run(diffsnapshots.Tool(), args[1:]...)
		require.Equal(t, len(lines)-2, strings.Count(text, "\n- ")+strings.Count(text, "\n+ ")+strings.Count(text, "\n~ "), text)
		var last string
		for _, line := range strings.Split(text, "\n") {
			rec, ok := snapshot.ParseRecord([]byte(strings.TrimPrefix(strings.TrimPrefix(line, "+ "), "- ")))
			if ok && rec.Section() == snapshot.Balances && !strings.Contains(line, `\x`) {
				require.GreaterOrEqual(t, string(rec.Key()), last)
				last = string(rec.Key())
			}
		}
	}
}
