package recoversnapshots_test

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/recoversnapshots"
	"ailee-recovery/snapshot"
)

// piece is a snapshot that the slow reader finds.
type piece struct {
	text string // ends in a newline
	time uint64
}

// slowly finds every valid snapshot of a file, in file order. Everything is in memory and
// compared as text. What a node reads as one snapshot is one, unless something in it holds.
func slowly(t *testing.T, data string) (found []piece) {
	take := func(texts ...string) {
		for _, text := range texts {
			if p, _, ok := judged(t, text); ok {
				found = append(found, p)
			}
		}
	}
	from := 0 // everything before is done
	for at := 0; at < len(data); {
		line := data[at:]
		if end := strings.IndexByte(line, '\n'); end >= 0 {
			line = line[:end+1]
		}
		next := at + len(line)
		if line == snapshot.HeaderLine+"\n" {
			if size := asNodesRead(data[at:]); size > 0 {
				next = at + size
				take(asMeant(data[from:at])...)
				whole := strings.TrimSuffix(data[at:next], "\n") + "\n"
				inside := asMeant(data[at:next])
				if !slices.ContainsFunc(inside, func(text string) bool {
					_, holds, _ := judged(t, text)
					return holds && text != whole
				}) {
					inside = []string{whole}
				}
				take(inside...)
				from = next
			}
		}
		at = next
	}
	take(asMeant(data[from:])...)
	return found
}

// asNodesRead returns the size of the snapshot that a node reads at the header at the start of
// data, 0 if it does not end.
func asNodesRead(data string) (size int) {
	for line := range strings.Lines(data) {
		switch text := strings.TrimSuffix(line, "\n"); {
		case text == snapshot.HeaderLine && size > 0:
			return 0
		case text == snapshot.EndLine:
			return size + len(line)
		}
		size += len(line)
	}
	return 0
}

// asMeant returns the text from each header, at the end of a line or alone on it, to the next
// line that starts with an end, unless another header comes before.
func asMeant(data string) (texts []string) {
	start, at := -1, 0
	for line := range strings.Lines(data) {
		text, whole := strings.CutSuffix(line, "\n")
		if strings.HasPrefix(text, snapshot.EndLine) && start >= 0 {
			texts = append(texts, data[start:at]+snapshot.EndLine+"\n")
			start = -1
		}
		if strings.HasSuffix(text, snapshot.HeaderLine) && whole {
			start = at + len(text) - len(snapshot.HeaderLine)
		}
		at += len(line)
	}
	return texts
}

// judged computes the root from a state in memory, without a checker's verdict. It reports whether
// root and anchor hold, and whether the snapshot is valid.
func judged(t *testing.T, text string) (p piece, holds, valid bool) {
	r := strings.NewReader(text)
	l, err := snapshot.Latest(r, r.Size())
	if err != nil || l.Offset != 0 || l.Size != r.Size() {
		return piece{}, false, false
	}
	checker := snapshot.NewChecker(nil)
	report, err := checker.Check(t.Context(), r, l)
	require.NoError(t, err)
	st, err := checker.Read(t.Context(), r, report)
	require.NoError(t, err)
	a := st.Anchor
	if a == nil || a.L2StateRoot != snapshot.Root(st) || !strings.EqualFold(a.Hash, snapshot.AnchorHash(a.Payload)) {
		return piece{}, false, false
	}
	others := slices.ContainsFunc(st.Bridge.PegOuts, func(p snapshot.PegOut) bool { return p.AnchorCommitmentHash != a.Hash })
	return piece{text, st.TimestampMs}, true, !others
}

// inOrder finds the order that the help text promises by trying. Among the snapshots before
// which nothing is left in any source, the next is the earliest, by time and then by the first
// source that has it. If there is none, it is the next of the source named first.
func inOrder(sources [][]piece) (all []piece) {
	done := map[string]bool{}
	left := func(s []piece) []piece {
		return slices.DeleteFunc(slices.Clone(s), func(p piece) bool { return done[p.text] })
	}
	for {
		var next, first *piece
		for _, s := range sources {
			s = left(s)
			if len(s) == 0 {
				continue
			}
			if first == nil {
				first = &s[0]
			}
			ready := !slices.ContainsFunc(sources, func(other []piece) bool {
				other = left(other)
				return slices.Contains(other, s[0]) && other[0] != s[0]
			})
			if ready && (next == nil || s[0].time < next.time) {
				next = &s[0]
			}
		}
		if next == nil {
			next = first
		}
		if next == nil {
			return all
		}
		done[next.text] = true
		all = append(all, *next)
	}
}

// damage does to a file what crashes do.
func damage(rng *rand.Rand, data []byte) []byte {
	for range rng.Intn(4) {
		if len(data) == 0 {
			break
		}
		at := rng.Intn(len(data))
		until := min(len(data), at+rng.Intn(300))
		switch rng.Intn(8) {
		case 0:
			data = data[:at]
		case 1: // a part is missing
			data = slices.Concat(data[:at], data[until:])
		case 2: // zeros instead of what was written
			data = slices.Concat(data[:at], make([]byte, until-at), data[until:])
		case 3: // zeros before it
			data = slices.Concat(data[:at], make([]byte, until-at), data[at:])
		case 4: // zeros where a line starts
			at += bytes.IndexByte(data[at:], '\n') + 1
			data = slices.Concat(data[:at], make([]byte, 5), data[at:])
		case 5:
			data = slices.Concat([]byte("\xef\xbb\xbf"), data)
		case 6: // the newline of an end line is missing
			if end := bytes.Index(data[at:], []byte("\nEND_SNAPSHOT\n")); end >= 0 {
				at += end + len("\nEND_SNAPSHOT")
				data = slices.Concat(data[:at], data[at+1:])
			}
		case 7:
			data = slices.Clone(data)
			data[at] ^= 1 << rng.Intn(8)
		}
	}
	return data
}

// TestOracle: from any files, damaged in any way, the tool recovers the same snapshots in the
// same order as a slow reader, and accounts for what was dropped from each file.
func TestOracle(t *testing.T) {
	clitest.InMemory(t)
	rounds := 1000
	if testing.Short() || clitest.UnderRace {
		rounds = 200
	}
	history := make([]string, 40)
	for i := range history {
		history[i] = small(i/2*2, i) // two with each time
	}
	for seed := range rounds {
		rng := rand.New(rand.NewSource(int64(seed)))
		dir := t.TempDir()
		var args []string
		var found [][]piece
		for i := range 1 + rng.Intn(4) {
			var data []byte
			from := rng.Intn(len(history))
			for _, text := range history[from:min(len(history), from+rng.Intn(12))] {
				if rng.Intn(6) > 0 {
					data = append(data, text...)
				}
				if rng.Intn(12) == 0 {
					data = append(data, history[rng.Intn(len(history))]...)
				}
			}
			data = damage(rng, data)
			name := filepath.Join(dir, fmt.Sprint(i))
			require.NoError(t, os.WriteFile(name, data, 0o600))
			args = append(args, name)
			found = append(found, slowly(t, string(data)))
		}
		var want strings.Builder
		for _, p := range inOrder(found) {
			want.WriteString(p.text)
		}
		out := filepath.Join(dir, "out")
		dryCode, _, _ := clitest.Run(recoversnapshots.Tool(), append([]string{"--dry-run"}, append(args, out)...)...)
		require.NoFileExists(t, out)
		code, stdout, stderr := clitest.Run(recoversnapshots.Tool(), append(args, out)...)
		require.Equal(t, dryCode, code, "seed %d", seed)
		if want.Len() == 0 {
			require.Equal(t, 1, code, "seed %d: %s%s", seed, stdout, stderr)
			require.NoFileExists(t, out)
			continue
		}
		require.Contains(t, []int{0, 2}, code, "seed %d: %s%s", seed, stdout, stderr)
		require.Equal(t, want.String(), clitest.Read(t, out), "seed %d: %s%s", seed, stdout, stderr)
		require.NotEmpty(t, clitest.Times(t, out))
		require.Equal(t, 1, strings.Count(stdout, "Recovered "))
		names := clitest.Names(t, dir)
		require.Len(t, names, len(args)+1, "seed %d: %v", seed, names)
	}
}

// small is a valid snapshot of about 400 bytes.
func small(time, number int) string {
	st := snapshot.State{TimestampMs: uint64(time)}
	st.Ledger.Balances = []snapshot.Balance{{PeerID: "p", Balance: uint64(number)}}
	st.Anchor = snapshot.NewAnchor(snapshot.Root(&st), st.TimestampMs, "m")
	var b bytes.Buffer
	if err := snapshot.Encode(&b, &st); err != nil {
		panic(err)
	}
	return b.String()
}

// TestMany: what does not fit in memory gives the same result as what does, and leaves nothing
// behind.
func TestMany(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes 150,000 snapshots")
	}
	clitest.InMemory(t)
	const count = 150_000
	dir := t.TempDir()
	var want bytes.Buffer
	var parts [3]bytes.Buffer // each snapshot is in two of the three sources
	for i := range count {
		text := small(i/2, i)
		want.WriteString(text)
		for j := range parts {
			if i%3 != j {
				parts[j].WriteString(text)
			}
		}
	}
	var args []string
	for j := range parts {
		args = append(args, filepath.Join(dir, fmt.Sprint(j)))
		require.NoError(t, os.WriteFile(args[j], parts[j].Bytes(), 0o600))
	}
	out := filepath.Join(dir, "out")
	code, stdout, stderr := clitest.Run(recoversnapshots.Tool(), append(args, out)...)
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "0: 100000 snapshot(s) taken")
	require.Contains(t, stdout, "2: 0 snapshot(s) taken, 0 bytes; 100000 more are duplicates")
	require.Contains(t, stderr, "75000 snapshot(s) have the same time as a different one")
	require.Len(t, clitest.Names(t, dir), 4)
	got, err := os.ReadFile(out)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want.Bytes(), got), "the snapshots are not in their order")
}

// TestOneLarge: what was copied while it was being checked stays, as far as it is right. That
// also goes for a file that has not been written to for long, where OUT is not completely read
// back.
func TestOneLarge(t *testing.T) {
	clitest.InMemory(t)
	size := 40 << 20
	if testing.Short() {
		size = 18 << 20 // still more than two pieces that are checked at the same time
	}
	var whole strings.Builder
	for number := 1; whole.Len() < size; number++ {
		whole.WriteString(clitest.Numbered(number))
	}
	text := whole.String()
	second := strings.Index(text[1:], snapshot.HeaderLine) + 1
	middle := len(text)/2 + strings.Index(text[len(text)/2:], snapshot.HeaderLine)
	for name, c := range map[string]struct {
		content, want string
		code          int
	}{
		"sound":       {text, text, 0},
		"marked":      {"\xef\xbb\xbf" + text, text, 2},
		"torn":        {text[:len(text)-100], text[:strings.LastIndex(text, snapshot.HeaderLine)], 2},
		"repeated":    {text + text[:second], text, 0},
		"in between":  {text[:middle] + text[:second] + text[middle:], text, 0},
		"first twice": {text[:second] + text, text, 0},
		"no newline":  {text[:len(text)-1], text, 0},
	} {
		for _, age := range []time.Duration{0, time.Hour} {
			if age == 0 && testing.Short() {
				continue
			}
			dir := t.TempDir()
			source, out := filepath.Join(dir, "source"), filepath.Join(dir, "out")
			require.NoError(t, os.WriteFile(source, []byte(c.content), 0o600))
			written := time.Now().Add(-age)
			require.NoError(t, os.Chtimes(source, written, written))
			code, stdout, stderr := clitest.Run(recoversnapshots.Tool(), source, out)
			require.Equal(t, c.code, code, "%s: %s%s", name, stdout, stderr)
			require.True(t, c.want == clitest.Read(t, out), name)
			require.Len(t, clitest.Names(t, dir), 2)
		}
	}
}
