package content_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/content"
	"ailee-recovery/internal/golden"
	"ailee-recovery/snapshot"
)

// now is the clock of the tests.
var now = time.Date(2026, time.March, 18, 10, 17, 0, 0, time.UTC)

// numbered returns a snapshot for each time in [from, to], in milliseconds.
func numbered(from, to int) string {
	var b strings.Builder
	for i := from; i <= to; i++ {
		b.WriteString(clitest.Numbered(i))
	}
	return b.String()
}

func tampered(number int) string {
	return strings.Replace(clitest.Numbered(number), " 7\n", " 8\n", 1)
}

func read(t *testing.T, text string, at ...int64) *content.Snapshots {
	t.Helper()
	s, err := content.ReadSnapshots(t.Context(), strings.NewReader(text), int64(len(text)), content.SnapshotsOptions{Now: now, DigestsAt: at})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func sum(text string) string {
	digest := sha256.Sum256([]byte(text))
	return hex.EncodeToString(digest[:])
}

func kinds(found []snapshot.Finding) (all []snapshot.Kind) {
	for _, f := range found {
		all = append(all, f.Kind)
	}
	return all
}

// TestSnapshots: what a node sees in a file, and what it does not see.
func TestSnapshots(t *testing.T) {
	one, two, three := clitest.Numbered(1), clitest.Numbered(2), clitest.Numbered(3)
	torn := three[:len(three)/2]
	future := clitest.Numbered(int(now.Add(2 * time.Hour).UnixMilli()))
	for name, c := range map[string]struct {
		text                      string
		complete, valid, doubtful int64
		end                       int
		latest, newest            int64 // numbers
		hidden, hiddenBad         int64
		sound                     bool
		outside                   []snapshot.Kind
		first                     int64
	}{
		"empty":               {text: ""},
		"nothing":             {text: "xyz\n", outside: []snapshot.Kind{snapshot.StrayBytes}},
		"one":                 {text: one, complete: 1, valid: 1, end: len(one), first: 1, latest: 1, newest: 1, sound: true},
		"two":                 {text: one + two, complete: 2, valid: 2, end: len(one + two), first: 1, latest: 2, newest: 2, sound: true},
		"an older one last":   {text: two + one, complete: 2, valid: 2, end: len(one + two), first: 1, latest: 2, newest: 1, sound: true},
		"a torn tail":         {text: one + two + torn, complete: 2, valid: 2, end: len(one + two), first: 1, latest: 2, newest: 2, sound: true, outside: []snapshot.Kind{snapshot.TornTail}},
		"no newline":          {text: strings.TrimSuffix(one+two, "\n"), complete: 2, valid: 2, end: len(one+two) - 1, first: 1, latest: 2, newest: 2, sound: true, outside: []snapshot.Kind{snapshot.MissingNewline}},
		"the latest tampered": {text: one + tampered(2), complete: 2, valid: 1, end: len(one + two), first: 1, latest: 2, newest: 1},
		"the first tampered":  {text: tampered(1) + two, complete: 2, valid: 1, end: len(one + two), first: 2, latest: 2, newest: 2, sound: true},
		"dated in the future": {text: one + future + two, complete: 3, valid: 3, doubtful: 1, end: len(one + future + two), first: 1, latest: 3, newest: 3, sound: true},
		"only in the future":  {text: future, complete: 1, valid: 1, doubtful: 1, end: len(future), first: 1, latest: 1, newest: 1, sound: true},
		"hidden at the end":   {text: one + "xyz" + two, complete: 1, valid: 1, end: len(one), first: 1, latest: 1, newest: 1, hidden: 1, outside: []snapshot.Kind{snapshot.HiddenSnapshot, snapshot.StrayBytes}},
		"hidden between":      {text: one + "xyz" + two + three, complete: 2, valid: 2, end: len(one + "xyz" + two + three), first: 1, latest: 2, newest: 2, hidden: 1, outside: []snapshot.Kind{snapshot.HiddenSnapshot, snapshot.StrayBytes}},
		"hidden, and not valid": {text: one + "xyz" + tampered(2), complete: 1, valid: 1, end: len(one), first: 1, latest: 1, newest: 1, hiddenBad: 1, sound: true,
			outside: []snapshot.Kind{snapshot.HiddenSnapshot, snapshot.StrayBytes}},
		"within a torn one": {text: torn + two + three, complete: 2, valid: 1, end: len(torn + two + three), first: 2, latest: 2, newest: 2, hidden: 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := read(t, c.text)
			require.Equal(t, []int64{c.complete, c.valid, c.doubtful, c.hidden, c.hiddenBad, int64(c.end)},
				[]int64{s.Complete, s.Valid, s.Doubtful, s.HiddenCount, s.HiddenBad, s.End})
			require.EqualValues(t, len(c.text), s.Size)
			require.Equal(t, c.sound, s.Sound())
			require.Equal(t, c.outside, kinds(s.Outside))
			require.Len(t, s.Hidden, int(c.hidden))
			require.Len(t, s.Bad, int(c.complete-c.valid))
			number := func(one *content.Snapshot) int64 {
				if one == nil {
					return 0
				}
				return one.Number
			}
			require.Equal(t, []int64{c.first, c.latest, c.newest}, []int64{number(s.First), number(s.Latest), number(s.Newest)})
			whole := c.text[:c.end]
			if name == "no newline" {
				whole += "\n"
			}
			require.Equal(t, sum(whole), s.SHA256)
			require.EqualValues(t, len(whole), s.ContentSize)
			for _, one := range []*content.Snapshot{s.First, s.Newest, s.Latest, s.Oldest} {
				if one != nil {
					text := c.text[one.Offset : one.Offset+one.Size]
					require.Equal(t, sum(strings.TrimSuffix(text, "\n")+"\n"), one.SHA256)
				}
			}
		})
	}
}

// TestPegOutsAreNoDamage: the nodes' own verifier rejects all snapshots with peg-outs, but they
// are not damaged.
func TestPegOutsAreNoDamage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(golden.Dir(), "write", "node-written.dat"))
	require.NoError(t, err)
	s := read(t, string(text))
	require.Positive(t, s.PegOutsOpen)
	require.True(t, s.Sound())
}

// TestPrefixes: the digest of the beginning of a file is right, wherever it ends.
func TestPrefixes(t *testing.T) {
	text := numbered(1, 5) + "torn"
	at := []int64{0, 1, 4000, int64(len(clitest.Numbered(1))), int64(len(text)) - 2, int64(len(text)), int64(len(text)) + 1}
	s := read(t, text, at...)
	for _, n := range at[:len(at)-1] {
		got, ok := s.PrefixSHA256(n)
		require.True(t, ok, n)
		require.Equal(t, sum(text[:n]), got, n)
	}
	_, ok := s.PrefixSHA256(at[len(at)-1])
	require.False(t, ok)
	got, ok := s.PrefixSHA256(s.End)
	require.True(t, ok)
	require.Equal(t, s.SHA256, got)
}

// TestCompareSnapshots: what each file has that the other lacks.
func TestCompareSnapshots(t *testing.T) {
	all := numbered(1, 10)
	ms := func(n int) time.Time { return time.UnixMilli(int64(n)).UTC() }
	for name, c := range map[string]struct {
		a, b                 string
		common, onlyA, onlyB int64
		equal, begins        bool
		front, end           bool
		parting              int64
		first, last          int // of what only a has
	}{
		"equal":             {a: all, b: all, common: 10, equal: true, begins: true, parting: 10},
		"grown":             {a: all, b: all + numbered(11, 12), common: 10, onlyB: 2, begins: true, parting: 10},
		"cut at the end":    {a: all, b: numbered(1, 7), common: 7, onlyA: 3, end: true, parting: 7, first: 8, last: 10},
		"cut at the front":  {a: all, b: numbered(8, 10), common: 3, onlyA: 7, front: true, parting: 10, first: 1, last: 7},
		"pruned and grown":  {a: all, b: numbered(8, 12), common: 3, onlyA: 7, onlyB: 2, front: true, parting: 10, first: 1, last: 7},
		"nothing in common": {a: numbered(1, 3), b: numbered(4, 5), onlyA: 3, onlyB: 2, front: true, first: 1, last: 3},
		"one in the middle": {a: all, b: numbered(1, 4) + numbered(6, 10), common: 9, onlyA: 1, parting: 10, first: 5, last: 5},
		"another order":     {a: numbered(1, 2), b: numbered(2, 2) + numbered(1, 1), common: 2, parting: 2},
		"diverged":          {a: numbered(1, 5), b: numbered(1, 3) + numbered(8, 9), common: 3, onlyA: 2, onlyB: 2, end: true, parting: 3, first: 4, last: 5},
		"no last newline":   {a: strings.TrimSuffix(all, "\n"), b: all, common: 10, equal: true, begins: true, parting: 10},
		"tampered later":    {a: numbered(1, 2), b: numbered(1, 1) + tampered(2) + numbered(3, 3), common: 1, onlyA: 1, onlyB: 1, end: true, parting: 1, first: 2, last: 2},
		"tampered before":   {a: tampered(1) + numbered(2, 2), b: numbered(2, 3), common: 1, onlyB: 1, parting: 2},
		"twice the same":    {a: numbered(1, 1) + numbered(1, 1) + numbered(2, 2), b: numbered(2, 2), common: 1, onlyA: 1, front: true, parting: 3, first: 1, last: 1},
		"nothing at all":    {a: "", b: numbered(1, 1), onlyB: 1, begins: true},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := read(t, c.a), read(t, c.b)
			d, err := content.CompareSnapshots(t.Context(), a, b)
			require.NoError(t, err)
			require.Equal(t, []int64{c.common, c.onlyA, c.onlyB, c.parting}, []int64{d.Common, d.OnlyA.Count, d.OnlyB.Count, d.Parting})
			require.Equal(t, []bool{c.equal, c.begins, c.front, c.end}, []bool{d.Equal, d.Begins, d.AtFront, d.AtEnd})
			require.Equal(t, c.onlyA == 0, d.Contains())
			if c.onlyA > 0 {
				require.Equal(t, []time.Time{ms(c.first), ms(c.last)}, []time.Time{d.OnlyA.First, d.OnlyA.Last})
			}
			back, err := content.CompareSnapshots(t.Context(), b, a)
			require.NoError(t, err)
			require.Equal(t, []int64{c.common, c.onlyB, c.onlyA}, []int64{back.Common, back.OnlyA.Count, back.OnlyB.Count})
		})
	}
}

// TestAnchorsAndDigests: each is yielded once, in order.
func TestAnchorsAndDigests(t *testing.T) {
	s := read(t, numbered(1, 9)+numbered(3, 4)+tampered(10))
	var last string
	n := 0
	for a, err := range s.Anchors() {
		require.NoError(t, err)
		require.Greater(t, a.Hash, last)
		last = a.Hash
		n++
	}
	require.Equal(t, 9, n)
	numbers := map[int64]bool{}
	for d, err := range s.ValidDigests(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, sum(clitest.Numbered(int(d.Number))), hex.EncodeToString(d.SHA256[:]))
		require.Equal(t, d.Number, d.Time.UnixMilli())
		numbers[d.Number] = true
	}
	require.Len(t, numbers, 9)
	has, err := s.Has(t.Context(), sum(clitest.Numbered(7)))
	require.NoError(t, err)
	require.True(t, has)
	has, err = s.Has(t.Context(), sum(tampered(10)))
	require.NoError(t, err)
	require.False(t, has)
}

// TestManySnapshots: so many that their entries are in temporary files.
func TestManySnapshots(t *testing.T) {
	var all bytes.Buffer
	const n = 40_000
	for i := range n {
		st := snapshot.State{TimestampMs: uint64(i)}
		st.Anchor = snapshot.NewAnchor(snapshot.Root(&st), st.TimestampMs, "")
		require.NoError(t, snapshot.Encode(&all, &st))
	}
	text := all.String()
	cut := strings.Index(text[len(text)/2:], "\nSNAPSHOT v1") + len(text)/2 + 1
	whole, half := read(t, text), read(t, text[cut:])
	d, err := content.CompareSnapshots(t.Context(), whole, half)
	require.NoError(t, err)
	require.EqualValues(t, n, whole.Valid)
	require.Equal(t, half.Valid, d.Common)
	require.Equal(t, n-half.Valid, d.OnlyA.Count)
	require.True(t, d.AtFront)
	require.EqualValues(t, n-half.Valid-1, d.OnlyA.Last.UnixMilli())
}

func TestSnapshotsThatCannotBeRead(t *testing.T) {
	broken := errors.New("broken")
	text := numbered(1, 3)
	r := failingAt{strings.NewReader(text), int64(len(text)) / 2, broken}
	_, err := content.ReadSnapshots(t.Context(), r, int64(len(text)), content.SnapshotsOptions{Now: now})
	require.ErrorIs(t, err, broken)
	_, err = content.ReadSnapshots(t.Context(), strings.NewReader(text), int64(len(text))+1, content.SnapshotsOptions{Now: now})
	require.ErrorIs(t, err, snapshot.ErrShrunk)
}

// failingAt fails for reads that reach beyond an offset.
type failingAt struct {
	io.ReaderAt
	offset int64
	err    error
}

func (f failingAt) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.offset {
		return 0, f.err
	}
	return f.ReaderAt.ReadAt(p, off)
}
