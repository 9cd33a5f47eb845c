package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/snapshot"
)

// compareRecords compares every other way of reading the records of a section with the first.
func compareRecords(t testing.TB, checker *snapshot.Checker, r io.ReaderAt, report *snapshot.Report, s snapshot.Section) {
	t.Helper()
	ctx := context.Background()
	var all []any
	var texts [][]byte
	for rec, err := range checker.Records(ctx, r, report, s) {
		require.NoError(t, err)
		require.Equal(t, s, rec.Section())
		if all = append(all, rec.Value()); len(rec.Key()) > 0 && len(texts) < 20 {
			texts = append(texts, bytes.Clone(rec.Key()), bytes.Clone(rec.Key()[1:]))
		}
	}
	var lines []any
	for line, err := range checker.Lines(ctx, r, report, s) {
		require.NoError(t, err)
		rec, ok := snapshot.ParseRecord(line)
		require.True(t, ok, "%q", line)
		lines = append(lines, rec.Value())
	}
	require.Equal(t, all, lines)
	for _, text := range texts {
		if len(text) == 0 {
			continue
		}
		var want, got []any
		for rec, err := range checker.Records(ctx, r, report, s) {
			require.NoError(t, err)
			if rec.Has(text) {
				want = append(want, rec.Value())
			}
		}
		for rec, err := range checker.RecordsWith(ctx, r, report, s, text) {
			require.NoError(t, err)
			got = append(got, rec.Value())
		}
		require.Equal(t, want, got, "%q", text)
	}
}

// compare compares every way of reading data with the reference, and returns the exit
// code of the nodes' verifier.
func compare(t testing.TB, data []byte) (code int) {
	t.Helper()
	want := refSnapshots(data)
	r, size := bytes.NewReader(data), int64(len(data))
	ctx := context.Background()

	// One after the other, starting at the beginning.
	got := reports(t, data)
	require.Len(t, got, len(want))
	for i, w := range want {
		compareReport(t, w, got[i])
		require.EqualValues(t, i+1, got[i].Index)
	}

	// One after the other, starting at the end.
	i := len(want)
	for l, err := range snapshot.Backward(r, size) {
		require.NoError(t, err)
		i--
		require.Equal(t, int64(want[i].offset), l.Offset)
		require.Equal(t, got[i].Located.Size, l.Size)
		require.Equal(t, got[i].BodyEnd, l.BodyEnd)
	}
	require.Zero(t, i)

	// In ranges.
	checker := snapshot.NewChecker(nil)
	i = 0
	for from, step := int64(0), size/3+1; from < size; from += step {
		for report, err := range checker.CheckRange(ctx, r, from, min(from+step, size), size) {
			require.NoError(t, err)
			compareReport(t, want[i], report)
			for _, s := range snapshot.Sections {
				count := uint64(0)
				for _, err := range checker.Records(ctx, r, report, s) {
					require.NoError(t, err)
					count++
				}
				require.Equal(t, report.Counts[s], count)
				compareRecords(t, checker, r, report, s)
			}
			i++
		}
	}
	require.Equal(t, len(want), i)

	// From a pipe.
	s := snapshot.NewStream(iotestReader{bytes.NewReader(data)})
	defer s.Close()
	for i := 0; ; i++ {
		l, lr, err := s.Next()
		if errors.Is(err, io.EOF) {
			require.Equal(t, len(want), i)
			break
		}
		require.NoError(t, err)
		report, err := checker.Check(ctx, lr, l)
		require.NoError(t, err)
		compareReport(t, want[i], report)
		require.Equal(t, got[i].Located, l)
	}
	end := int64(0)
	if len(want) > 0 {
		end = int64(want[len(want)-1].offset + want[len(want)-1].size)
	}
	tail, err := snapshot.TailFindings(r, end, size)
	require.NoError(t, err)
	require.Equal(t, tail, s.TailFindings())
	var hidden []snapshot.Finding
	from := int64(0)
	for _, w := range want {
		for l, err := range snapshot.Hidden(r, from, int64(w.offset), size) {
			require.NoError(t, err)
			if hidden == nil {
				hidden = []snapshot.Finding{{Kind: snapshot.HiddenSnapshot, Offset: l.Offset}}
			}
			hidden[0].Count++
		}
		from = int64(w.offset + w.size)
	}
	require.Equal(t, hidden, s.HiddenFindings())

	// The latest one, and its peg-outs.
	latest, err := snapshot.Latest(r, size)
	if len(want) == 0 {
		require.ErrorIs(t, err, snapshot.ErrNoSnapshot)
		return 1
	}
	require.NoError(t, err)
	last := want[len(want)-1]
	require.Equal(t, int64(last.offset), latest.Offset)
	report, err := checker.Check(ctx, r, latest)
	require.NoError(t, err)
	var problems, wantProblems [][2]string
	for p, err := range checker.PegOutProblems(ctx, r, report) {
		require.NoError(t, err)
		problems = append(problems, [2]string{string(p.PegID), string(p.AnchorHash)})
	}
	for _, p := range last.pegouts {
		if last.anchor != nil && (p[1] == "" || p[1] != last.anchor.hash) {
			wantProblems = append(wantProblems, p)
		}
	}
	require.Equal(t, wantProblems, problems)
	_, _, code = refVerdict(data)
	require.Equal(t, code == 0, report.Verdict() == snapshot.Valid)
	return code
}

func compareReport(t testing.TB, want *refSnapshot, got *snapshot.Report) {
	t.Helper()
	require.Equal(t, int64(want.offset), got.Offset)
	require.Equal(t, int64(want.size), got.Size)
	require.Equal(t, want.timestamp, got.TimestampMs)
	for i, tag := range refOrder {
		require.EqualValues(t, len(want.sections[tag]), got.Counts[i], tag)
	}
	require.Equal(t, want.root(), got.Root)
	require.Equal(t, want.anchor == nil, got.Anchor == nil)
	if want.anchor != nil {
		require.Equal(t, *want.anchor, refAnchor{got.Anchor.L2StateRoot, got.Anchor.RecoveryMetadata,
			got.Anchor.Payload, got.Anchor.Hash, got.Anchor.TimestampMs})
	}
}

// iotestReader returns odd numbers of bytes at a time.
type iotestReader struct{ r io.Reader }

func (r iotestReader) Read(p []byte) (int, error) { return r.r.Read(p[:min(len(p), 4099)]) }

func TestGoldenFilesAgainstReference(t *testing.T) {
	for _, file := range goldenFiles(t) {
		compare(t, read(t, file))
	}
}

// FuzzReader compares the streaming reader with the reference.
func FuzzReader(f *testing.F) {
	for _, file := range goldenFiles(f) {
		if data := read(f, file); len(data) < 64<<10 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { compare(t, data) })
}

// FuzzWriteAfterRead writes every state that can be read and written, and reads
// it back.
func FuzzWriteAfterRead(f *testing.F) {
	for _, file := range goldenFiles(f) {
		if data := read(f, file); len(data) < 64<<10 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var file bytes.Buffer
		states := statesOf(t, data)
		for _, st := range states {
			require.NoError(t, snapshot.Encode(&file, st))
		}
		require.Equal(t, states, statesOf(t, file.Bytes()))
		for i, r := range reports(t, file.Bytes()) {
			require.Equal(t, snapshot.Root(states[i]), r.Root)
		}
	})
}

// statesOf reads all snapshots into memory.
func statesOf(t testing.TB, data []byte) []*snapshot.State {
	var states []*snapshot.State
	checker := snapshot.NewChecker(nil)
	for _, r := range reports(t, data) {
		st, err := checker.Read(context.Background(), bytes.NewReader(data), r)
		require.NoError(t, err)
		states = append(states, st)
	}
	return states
}

// hostile reports whether the tests run at full size.
func hostile() bool { return os.Getenv("AILEE_HOSTILE") != "" }

// mutate damages files as a crash, an editor or a bad disk would.
func mutate(rng *rand.Rand, lines []string) []string {
	pick := func() int { return rng.Intn(len(lines)) }
	odd := []string{"", "+-5", "-0", "-1", "18446744073709551616", "-18446744073709551616", "2147483648", "-2147483649",
		"0x10", "1.5", "007", "+7", strings.Repeat("9", 40), `"`, `\`, `"a\"b"`, "\t", "\v\f", "\r", "\x00", "\xff\xfe", "none"}
	for range 1 + rng.Intn(4) {
		switch i := pick(); rng.Intn(11) {
		case 0:
			j := pick()
			lines[i], lines[j] = lines[j], lines[i]
		case 1:
			lines = append(lines[:i:i], append([]string{lines[pick()]}, lines[i:]...)...)
		case 2:
			if len(lines) > 1 {
				lines = append(lines[:i:i], lines[i+1:]...)
			}
		case 3:
			if len(lines[i]) > 0 {
				lines[i] = lines[i][:rng.Intn(len(lines[i]))]
			}
		case 4:
			words := strings.Split(lines[i], " ")
			words[rng.Intn(len(words))] = odd[rng.Intn(len(odd))]
			lines[i] = strings.Join(words, " ")
		case 5:
			if b := []byte(lines[i]); len(b) > 0 {
				b[rng.Intn(len(b))] = byte(rng.Intn(256))
				lines[i] = string(b)
			}
		case 6:
			lines[i] += lines[pick()]
		case 7:
			lines[i] = []string{"SNAPSHOT v1", "END_SNAPSHOT", "END_SNAPSHOTSNAPSHOT v1", "xSNAPSHOT v1"}[rng.Intn(4)]
		case 8:
			// Long enough to move everything after it across block boundaries.
			lines[i] = strings.Replace(lines[i], `"`, `"`+strings.Repeat("x", rng.Intn(200<<10)), 1)
		case 9, 10:
			lines = slices.Insert(lines, i, equalRecords(rng)...)
		}
	}
	return lines
}

// equalRecords returns records of one section, about as many as a node sorts stably or
// some more. Most of them have the same key as another.
func equalRecords(rng *rand.Rand) []string {
	tag := refOrder[rng.Intn(len(refOrder))]
	count := 2 + rng.Intn([]int{20, 60, 300}[rng.Intn(3)])
	keys := make([]int, count)
	for i := range keys {
		keys[i] = rng.Intn(1 + rng.Intn(count))
	}
	if rng.Intn(2) == 0 {
		slices.Sort(keys)
	}
	lines := make([]string, count)
	for i, key := range keys {
		lines[i] = fmt.Sprintf(`%s "key%d"`, tag, key)
		if rng.Intn(50) == 0 {
			lines[i] = fmt.Sprintf("%s\tkey%d", tag, key)
		}
		for _, kind := range refFields[tag][1:] {
			if kind == 's' {
				lines[i] += ` "s"`
			} else {
				lines[i] += fmt.Sprint(" ", i)
			}
		}
	}
	return lines
}

// anchor adds an anchor that holds to the end of the latest snapshot.
func anchor(data []byte) []byte {
	all := refSnapshots(data)
	if len(all) == 0 {
		return data
	}
	last := all[len(all)-1]
	root := last.root()
	line := fmt.Sprintf("anchor %s 1 m %[1]s:1:m %s\n", root, refHash(root+":1:m"))
	end := last.offset + bytes.LastIndex(data[last.offset:last.offset+last.size], []byte(snapshot.EndLine))
	return slices.Insert(data, end, []byte(line)...)
}

// TestDamagedFilesAgainstReference compares verdicts on golden files that were damaged.
func TestDamagedFilesAgainstReference(t *testing.T) {
	rounds := 800
	switch {
	case hostile():
		rounds = 100_000
	case testing.Short():
		rounds = 100
	}
	seeds := goldenFiles(t)
	round := 0
	defer func() {
		if t.Failed() {
			t.Logf("in round %d", round)
		}
	}()
	codes := map[int]int{}
	for ; round < rounds; round++ {
		rng := rand.New(rand.NewSource(int64(round)))
		var lines []string
		for range 1 + rng.Intn(3) {
			data := read(t, seeds[rng.Intn(len(seeds))])
			lines = append(lines, strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")...)
		}
		data := strings.Join(mutate(rng, lines), "\n")
		if rng.Intn(3) > 0 {
			data += "\n"
		}
		if rng.Intn(2) > 0 {
			data = string(anchor([]byte(data)))
		}
		codes[compare(t, []byte(data))]++
	}
	t.Logf("%d files: %d verified, %d wrong, %d without a snapshot", rounds, codes[0], codes[2], codes[1])
	require.Greater(t, codes[0], rounds/4)
	require.Greater(t, codes[2], rounds/8)
}

// TestEveryAlignment moves a file with markers and records of all kinds past the
// block boundaries, byte by byte.
func TestEveryAlignment(t *testing.T) {
	body := string(read(t, golden+"/write/node-written-clean.dat")) +
		string(read(t, golden+"/verify/torn_then_fused_header_after_balance.dat")) +
		string(read(t, golden+"/verify/end_fused_with_next_header.dat")) + "SNAPSHOT v1\nbal"
	step := 13
	if testing.Short() {
		step = 37
	}
	for _, block := range []int{64 << 10, 128 << 10} {
		for shift := 0; shift < len(body)+64; shift += step {
			compareLocations(t, strings.Repeat("-", block-shift%block-1)+"\n"+body)
		}
	}
}

// compareLocations is the part of compare that depends on the alignment most.
func compareLocations(t *testing.T, text string) {
	t.Helper()
	data := []byte(text)
	want := refSnapshots(data)
	r, size := bytes.NewReader(data), int64(len(data))
	i := len(want)
	for l, err := range snapshot.Backward(r, size) {
		require.NoError(t, err)
		i--
		require.Equal(t, int64(want[i].offset), l.Offset)
	}
	require.Zero(t, i)
	checker := snapshot.NewChecker(nil)
	for report, err := range checker.CheckRange(context.Background(), r, 0, size, size) {
		require.NoError(t, err)
		require.Equal(t, int64(want[i].offset), report.Offset)
		require.Equal(t, want[i].root(), report.Root)
		i++
	}
	require.Equal(t, len(want), i)
}

// TestHeaderAfterTornEndLine: if only END_ was written of an end line, it forms, with the
// header after it, a line that also begins like an end line.
func TestHeaderAfterTornEndLine(t *testing.T) {
	for _, end := range []string{"END_SNAPSHOT\n", "END_SNAPSHOT", "", "balance \"a\" 1\n"} {
		compare(t, []byte("SNAPSHOT v1\nbalances 0\nEND_SNAPSHOT v1\n"+end))
		compare(t, []byte("SNAPSHOT v1\nEND_SNAPSHOT\nSNAPSHOT v1\nEND_SNAPSHOT v1\nSNAPSHOT v1\n"+end))
		compare(t, []byte("SNAPSHOT v1\nEND_SNAPSHOTSNAPSHOT v1\nEND_SNAPSHOT v1\n"+end))
	}
	compare(t, []byte("SNAPSHOT v1\nEND_SNAPSHOT v1"))
}
