package snapshot_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/snapshot"
	"ailee-recovery/snapshot/statejson"
)

// TestStdSort compares the order of equal keys with that of std::sort itself
// (testdata/stdsort/main.cc).
func TestStdSort(t *testing.T) {
	sequences, heaped := 0, 0
	lines := strings.Split(strings.TrimSuffix(string(read(t, "testdata/stdsort/orders.txt")), "\n"), "\n")
	for ; len(lines) > 0; lines = lines[2:] {
		keys, order := ints(t, lines[0], "keys"), ints(t, lines[1], "order")
		got, heaps := refSort(len(keys), func(i, j int) bool { return keys[i] < keys[j] })
		require.Equal(t, order, got)
		if heaps > 0 {
			heaped++
		}
		st := &snapshot.State{}
		want := refSnapshot{sections: map[string][]refRecord{}}
		for i, key := range keys {
			st.Ledger.Balances = append(st.Ledger.Balances, snapshot.Balance{PeerID: fmt.Sprintf("%09d", key), Balance: uint64(i)})
		}
		// Each key once, in that order: there is nothing left to sort.
		for place, i := range order {
			want.sections["balance"] = append(want.sections["balance"],
				refRecord{fmt.Sprint(place + 1e6), fmt.Sprintf("balance:%09d:%d", keys[i], i)})
		}
		require.Equal(t, want.root(), snapshot.Root(st))
		var file bytes.Buffer
		require.NoError(t, snapshot.Encode(&file, st))
		require.Equal(t, want.root(), reports(t, file.Bytes())[0].Root)
		sequences++
	}
	require.Equal(t, 96, sequences)
	require.Equal(t, 7, heaped)
}

func ints(t testing.TB, line, name string) []int {
	t.Helper()
	words := strings.Fields(line)
	require.Equal(t, name, words[0])
	numbers := make([]int, len(words)-1)
	for i, word := range words[1:] {
		_, err := fmt.Sscan(word, &numbers[i])
		require.NoError(t, err)
	}
	return numbers
}

// equalKeys returns up to n keys with many or few duplicates among them, in an order
// that a node may find them in, or that is hard for std::sort.
func equalKeys(rng *rand.Rand, n int) []int {
	distinct := 1 + rng.Intn(n)
	switch rng.Intn(4) {
	case 0:
		distinct = 1 + rng.Intn(1+distinct/8)
	case 1:
		distinct = n + rng.Intn(10*n)
	}
	keys := make([]int, n)
	for i := range keys {
		keys[i] = i * distinct / n
	}
	switch rng.Intn(6) {
	case 0:
		rng.Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	case 1:
		slices.Reverse(keys)
	case 2: // in order, except for a few
		for range 1 + rng.Intn(5) {
			keys[rng.Intn(n)] = rng.Intn(distinct)
		}
	case 3: // a single key is there twice
		for i := range keys {
			keys[i] = i
		}
		if i := rng.Intn(n); i > 0 {
			keys[i] = keys[i-1]
		}
	case 4:
		keys = killer(n)
		from, group := rng.Intn(n), 1+rng.Intn(8)
		for i, key := range keys {
			if key > from {
				keys[i] = from + (key-from)/group
			}
		}
	}
	return keys
}

// killer returns keys that make std::sort cut off as few as possible at a time (McIlroy,
// A Killer Adversary for Quicksort, 1999).
func killer(n int) []int {
	keys := make([]int, n)
	for i := range keys {
		keys[i] = n
	}
	next, candidate := 0, 0
	refSort(n, func(i, j int) bool {
		if keys[i] == n && keys[j] == n {
			chosen := j
			if i == candidate {
				chosen = i
			}
			keys[chosen] = next
			next++
		}
		if keys[i] == n {
			candidate = i
		} else if keys[j] == n {
			candidate = j
		}
		return keys[i] < keys[j]
	})
	return keys
}

// The ways in which keys are written. Numbers keep their order.
var keyFormats = []string{"%05d", "peer-%05d", "%020b", `"\%05d`, strings.Repeat("long", 20) + "%05d"}

// stateOfKeys returns a state whose sections have the given keys, with numbers that
// distinguish its records, and the same state for the reference.
func stateOfKeys(rng *rand.Rand, keys [5][]int) (*snapshot.State, *refSnapshot) {
	st, ref := &snapshot.State{}, &refSnapshot{sections: map[string][]refRecord{}}
	add := func(tag, key, format string, args ...any) {
		ref.sections[tag] = append(ref.sections[tag], refRecord{key, fmt.Sprintf(tag+":%s:"+format, append([]any{key}, args...)...)})
	}
	for s, all := range keys {
		format := keyFormats[rng.Intn(len(keyFormats))]
		for i, number := range all {
			key, n := fmt.Sprintf(format, number), uint64(i)
			switch snapshot.Section(s) {
			case snapshot.Balances:
				st.Ledger.Balances = append(st.Ledger.Balances, snapshot.Balance{PeerID: key, Balance: n})
				add("balance", key, "%d", n)
			case snapshot.Escrows:
				st.Ledger.Escrows = append(st.Ledger.Escrows, snapshot.Escrow{TaskID: key, ClientPeerID: "c", CreatedAt: n})
				add("escrow", key, "c:0:0:%d", n)
			case snapshot.PegIns:
				st.Bridge.PegIns = append(st.Bridge.PegIns, snapshot.PegIn{PegID: key, CompletedTime: n})
				add("pegin", key, ":0:0:::0:0:0:%d", n)
			case snapshot.PegOuts:
				st.Bridge.PegOuts = append(st.Bridge.PegOuts, snapshot.PegOut{PegID: key, CompletedTime: n})
				add("pegout", key, "::0:0:0::0:%d", n)
			default:
				st.Orchestration.Tasks = append(st.Orchestration.Tasks, snapshot.Task{TaskID: key, SubmittedAtMs: n})
				add("task", key, "0:0::%d::", n)
			}
		}
	}
	return st, ref
}

// mixed shuffles the sections together; the records of each section keep their order.
func mixed(rng *rand.Rand, file string) []byte {
	bySection := map[string][]string{}
	for line := range strings.Lines(file) {
		tag, _, _ := strings.Cut(line, " ")
		bySection[tag] = append(bySection[tag], line)
	}
	out := []byte("SNAPSHOT v1\n")
	for rest := slices.Clone(refOrder); len(rest) > 0; {
		i := rng.Intn(len(rest))
		lines := bySection[rest[i]]
		n := rng.Intn(min(len(lines), 100) + 1)
		out = append(out, strings.Join(lines[:n], "")...)
		if bySection[rest[i]] = lines[n:]; n == len(lines) {
			rest = slices.Delete(rest, i, i+1)
		}
	}
	return append(out, "END_SNAPSHOT\n"...)
}

// TestEqualKeys: however a root is computed, equal keys are where std::sort leaves them.
func TestEqualKeys(t *testing.T) {
	rounds := 250
	switch {
	case hostile():
		rounds = 10_000
	case testing.Short():
		rounds = 25
	}
	rng := rand.New(rand.NewSource(1))
	repeating, heaped := 0, 0
	for round := range rounds {
		var keys [5][]int
		for s := range keys {
			keys[s] = equalKeys(rng, int(2*math.Pow(2500, rng.Float64())))
			distinct := slices.Compact(slices.Sorted(slices.Values(keys[s])))
			if len(keys[s]) <= 16 || len(distinct) == len(keys[s]) {
				continue
			}
			repeating++
			if _, heaps := refSort(len(keys[s]), func(i, j int) bool { return keys[s][i] < keys[s][j] }); heaps > 0 {
				heaped++
			}
		}
		st, ref := stateOfKeys(rng, keys)
		root := ref.root()
		require.Equal(t, root, snapshot.Root(st))
		st.Anchor = snapshot.NewAnchor(root, 1, "m")
		var file bytes.Buffer
		require.NoError(t, snapshot.Encode(&file, st))
		report := reports(t, file.Bytes())[0]
		require.Equal(t, root, report.Root)
		require.Equal(t, snapshot.AnchorHolds, report.AnchorVerdict)
		if round%5 == 0 {
			requireRootElsewhere(t, rng, file.Bytes(), report)
		}
	}
	require.Greater(t, repeating, 2*rounds)
	require.Greater(t, heaped, rounds/10)
	t.Logf("%d sections of more than 16 records repeat keys, %d reached the heap sort", repeating, heaped)
}

// requireRootElsewhere asserts that a snapshot has the root of the report also when it is
// found on the way through a file, turned into JSON and back, given another anchor,
// miscounted, or has its sections mixed.
func requireRootElsewhere(t *testing.T, rng *rand.Rand, file []byte, want *snapshot.Report) {
	t.Helper()
	ctx, r, checker := context.Background(), bytes.NewReader(file), snapshot.NewChecker(nil)
	for report, err := range checker.CheckRange(ctx, r, 0, r.Size(), r.Size()) {
		require.NoError(t, err)
		require.Equal(t, want.Root, report.Root)
	}

	var text bytes.Buffer
	require.NoError(t, statejson.Encode(ctx, &text, checker, r, want))
	builder, _, err := statejson.Decode(ctx, &text)
	require.NoError(t, err)
	built, err := builder.Text(nil)
	require.NoError(t, err)
	report, err := checker.Check(ctx, built, built.Located())
	require.NoError(t, err)
	require.Equal(t, want.Root, report.Root)

	var anchored bytes.Buffer
	_, err = checker.Anchored(ctx, r, want, snapshot.NewAnchor(want.Root, 2, "m")).WriteTo(&anchored)
	require.NoError(t, err)
	require.Equal(t, snapshot.AnchorHolds, reports(t, anchored.Bytes())[0].AnchorVerdict)

	miscounted := bytes.Replace(file, []byte("\nbalances "), []byte("\nbalances 1"), 1)
	require.Equal(t, want.Root, reports(t, miscounted)[0].Root)
	require.Equal(t, want.Root, reports(t, mixed(rng, string(file)))[0].Root)
}

// TestEqualKeysInBoundedMemory: a single repeated key in a sorted section takes a few
// bytes for each record, not the text of the section.
func TestEqualKeysInBoundedMemory(t *testing.T) {
	const records = 50_000
	file := func(key func(i int) int) []byte {
		st := &snapshot.State{}
		for i := range records {
			st.Ledger.Balances = append(st.Ledger.Balances, snapshot.Balance{PeerID: fmt.Sprintf("%0100d", key(i)), Balance: uint64(i)})
		}
		var b bytes.Buffer
		require.NoError(t, snapshot.Encode(&b, st))
		return b.Bytes()
	}
	check := func(data []byte, memory int64) (*snapshot.Report, error) {
		r := bytes.NewReader(data)
		l, err := snapshot.Latest(r, r.Size())
		require.NoError(t, err)
		return snapshot.NewChecker(snapshot.NewMemory(memory)).Check(context.Background(), r, l)
	}
	const few = records * 10
	twice := file(func(i int) int { return max(i, 1) })
	report, err := check(twice, few)
	require.NoError(t, err)
	require.Equal(t, refSnapshots(twice)[0].root(), report.Root)
	require.Equal(t, []snapshot.Finding{{Kind: snapshot.DuplicateKey, Section: "balances", Offset: report.Findings[0].Offset, Count: 1}}, report.Findings)

	var tooLarge *snapshot.SectionTooLargeError
	all := file(func(int) int { return 1 })
	_, err = check(all, few)
	require.ErrorAs(t, err, &tooLarge)
	require.True(t, tooLarge.Repeats)
	require.Contains(t, err.Error(), "the balances repeat a key, and sorting them takes ")
	_, err = check(all, tooLarge.Need)
	require.NoError(t, err)

	_, err = check(file(func(i int) int { return records - i }), few)
	require.ErrorAs(t, err, &tooLarge)
	require.False(t, tooLarge.Repeats)
}

// overwritten has other content once it is read from its start again.
type overwritten struct {
	*bytes.Reader
	then *bytes.Reader
	next int64
}

func (o *overwritten) ReadAt(p []byte, off int64) (int, error) {
	if off < o.next {
		o.Reader = o.then
	}
	n, err := o.Reader.ReadAt(p, off)
	o.next = off + int64(n)
	return n, err
}

// TestOverwrittenBetweenTwoReadings: missing and additional records are an error.
func TestOverwrittenBetweenTwoReadings(t *testing.T) {
	for _, keys := range []string{"aaaaaaaaaaaaaaaaaaaaaaaa", "abcdefghijklmnopqrstuvwa"} {
		whole := "SNAPSHOT v1\n"
		for _, key := range keys {
			whole += fmt.Sprintf("balance \"%c\" 1\n", key)
		}
		whole += "END_SNAPSHOT\n"
		fewer := strings.Replace(whole, "\nbalance \"a\" 1\nbalance", "\nbalance \"a\" 1\n-------", 1)
		none := strings.ReplaceAll(whole, "balance", "-------")
		for _, files := range [][2]string{{whole, fewer}, {fewer, whole}, {whole, none}} {
			r := &overwritten{Reader: bytes.NewReader([]byte(files[0])), then: bytes.NewReader([]byte(files[1]))}
			l, err := snapshot.Latest(r.Reader, r.Size())
			require.NoError(t, err)
			_, err = snapshot.NewChecker(nil).Check(context.Background(), r, l)
			require.ErrorIs(t, err, snapshot.ErrChanged, "%q", files)
		}
	}
}
