package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/snapshot"
)

// named returns a snapshot of about the given size whose peg-outs name these anchors.
func named(t testing.TB, n, size int, hashes ...string) (text []byte, anchor string) {
	st := &snapshot.State{TimestampMs: uint64(1_700_000_000_000 + n)}
	st.Ledger.Balances = []snapshot.Balance{{PeerID: fmt.Sprintf("p%d-%s", n, strings.Repeat("x", size)), Balance: 1}}
	for i, hash := range hashes {
		st.Bridge.PegOuts = append(st.Bridge.PegOuts, snapshot.PegOut{PegID: fmt.Sprintf("o%04d", i), AnchorCommitmentHash: hash})
	}
	st.Anchor = snapshot.NewAnchor(snapshot.Root(st), st.TimestampMs, "")
	var b bytes.Buffer
	require.NoError(t, snapshot.Encode(&b, st))
	return b.Bytes(), st.Anchor.Hash
}

// newestValidByDefinition reads the file once for each snapshot.
func newestValidByDefinition(t *testing.T, data []byte, acceptEarlier bool) *snapshot.Report {
	checker, newest := snapshot.NewChecker(nil), (*snapshot.Report)(nil)
	earlier := map[string]bool{}
	r := bytes.NewReader(data)
	for rep, err := range checker.CheckRange(t.Context(), r, 0, int64(len(data)), int64(len(data))) {
		require.NoError(t, err)
		valid := rep.Verdict() == snapshot.Valid
		if acceptEarlier && rep.Verdict() == snapshot.PegOutMismatch {
			valid = true
			for p, err := range checker.PegOutProblems(t.Context(), r, rep) {
				require.NoError(t, err)
				valid = valid && earlier[string(p.AnchorHash)]
			}
		}
		if valid {
			newest = rep
		}
		if rep.Holding() {
			earlier[rep.Anchor.Hash] = true
		}
	}
	return newest
}

// TestNewestValidIsTheNewest: in files whose peg-outs name earlier anchors, later ones and
// missing ones, also if the memory has room for only a few anchors.
func TestNewestValidIsTheNewest(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	accepted := 0
	for i := range 120 {
		count, size := 1+rng.Intn(40), []int{10, 1000, 1000, 50_000}[i%4]
		var data []byte
		var hashes []string
		for n := range count {
			var names []string
			for range rng.Intn(4) {
				switch k := rng.Intn(40 + i%40); {
				case k == 0:
					names = append(names, strings.Repeat("a", 64))
				case k == 1:
					names = append(names, "?")
				case k == 2:
					names = append(names, "")
				case n == 0:
				default:
					names = append(names, hashes[max(0, n-1-rng.Intn(1+rng.Intn(n)))])
				}
			}
			if i%2 == 0 && n > count/3 { // nothing newer is valid
				names = append(names, strings.Repeat("b", 64))
			}
			text, hash := named(t, n, size, names...)
			if rng.Intn(10) == 0 { // the root is wrong
				text = bytes.Replace(text, []byte("balance "), []byte("balance \"a\" 1\nbalance "), 1)
			}
			data, hashes = append(data, text...), append(hashes, hash)
			if rng.Intn(10) == 0 {
				data = append(data, text[:len(text)/2]...)
				data = append(data, '\n')
			}
		}
		for _, accept := range []bool{false, true} {
			for _, limit := range []int64{0, 3 * 160} {
				want := newestValidByDefinition(t, data, accept)
				judge := snapshot.Judge{Checker: snapshot.NewChecker(snapshot.NewMemory(limit)), AcceptEarlierAnchors: accept}
				got, err := judge.NewestValid(t.Context(), bytes.NewReader(data), int64(len(data)))
				if want == nil {
					require.ErrorIs(t, err, snapshot.ErrNoSnapshot)
					continue
				}
				require.NoError(t, err)
				require.Equal(t, want.Offset, got.Offset, "file %d, limit %d", i, limit)
				require.Equal(t, want.Root, got.Root)
				if got.Verdict() != snapshot.Valid {
					accepted++
				}
			}
		}
	}
	require.Greater(t, accepted, 20)
}

// counted counts the bytes that are read.
type counted struct {
	io.ReaderAt
	bytes atomic.Int64
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, off)
	c.bytes.Add(int64(n))
	return n, err
}

// TestNewestValidReadsInProportion: if all peg-outs name missing anchors, as after a prune,
// each a different one or all the same, what is read must not grow with the square of the file.
func TestNewestValidReadsInProportion(t *testing.T) {
	for _, several := range []bool{false, true} {
		var data []byte
		for n := range 2000 {
			hash := strings.Repeat("ab", 32)
			if several {
				hash = fmt.Sprintf("%064x", n+1)
			}
			text, _ := named(t, n, 1000, hash)
			data = append(data, text...)
		}
		for _, part := range []int{2, 1} {
			size := int64(len(data) / part)
			r := &counted{ReaderAt: bytes.NewReader(data)}
			_, err := snapshot.Judge{Checker: snapshot.NewChecker(nil), AcceptEarlierAnchors: true}.NewestValid(t.Context(), r, size)
			require.ErrorIs(t, err, snapshot.ErrNoSnapshot)
			require.Less(t, r.bytes.Load(), 3*size)

			r = &counted{ReaderAt: bytes.NewReader(data)}
			_, err = snapshot.Judge{Checker: snapshot.NewChecker(nil)}.NewestValid(t.Context(), r, size)
			require.ErrorIs(t, err, snapshot.ErrNoSnapshot)
			require.Less(t, r.bytes.Load(), 5*size/2)
		}
	}
}

// TestNewestValidReadsNoMoreThanItNeeds: what comes before the latest snapshot, if that is
// valid, and before the anchors that it names, is not read.
func TestNewestValidReadsNoMoreThanItNeeds(t *testing.T) {
	var data []byte
	var hashes []string
	for n := range 2000 {
		text, hash := named(t, n, 5000)
		data, hashes = append(data, text...), append(hashes, hash)
	}
	for _, test := range []struct {
		back int // how many snapshots before the latest the named anchor is; 0 for no peg-out
		most int64
	}{{0, 1}, {3, 4}, {100, 7}} { // in tenths of the file
		var names []string
		if test.back > 0 {
			names = []string{hashes[len(hashes)-test.back]}
		}
		text, _ := named(t, len(hashes), 5000, names...)
		r := &counted{ReaderAt: bytes.NewReader(append(data[:len(data):len(data)], text...))}
		size := int64(len(data) + len(text))
		rep, err := snapshot.Judge{Checker: snapshot.NewChecker(nil), AcceptEarlierAnchors: true}.NewestValid(t.Context(), r, size)
		require.NoError(t, err)
		require.EqualValues(t, len(data), rep.Offset)
		require.Less(t, r.bytes.Load(), test.most*size/10)
	}
}

// TestNewestValidPastWhatCannotBeRead: a line that is too long does not matter if it comes
// before everything that is needed.
func TestNewestValidPastWhatCannotBeRead(t *testing.T) {
	nowhere := strings.Repeat("ab", 32)
	first, _ := named(t, 0, 10)
	long, _ := named(t, 1, 1<<20)
	var middle []byte
	for n := range 2000 {
		text, _ := named(t, 2+n, 1000)
		middle = append(middle, text...)
	}
	_, recent := named(t, 2001, 1000)
	for _, test := range []struct {
		hash   string
		accept bool
		fails  bool
	}{{recent, true, false}, {nowhere, true, true}, {nowhere, false, false}} {
		last, _ := named(t, 9999, 10, test.hash)
		data := bytes.Join([][]byte{first, long, middle, last}, nil)
		judge := snapshot.Judge{Checker: snapshot.NewChecker(snapshot.NewMemory(1 << 20)), AcceptEarlierAnchors: test.accept}
		rep, err := judge.NewestValid(t.Context(), bytes.NewReader(data), int64(len(data)))
		if test.fails {
			require.ErrorAs(t, err, new(*snapshot.LineTooLongError))
			continue
		}
		require.NoError(t, err)
		end := int64(len(data))
		if !test.accept {
			end -= int64(len(last))
		}
		require.Equal(t, end, rep.End())
	}
}

// TestNewestValidIsInterrupted: when the context ends.
func TestNewestValidIsInterrupted(t *testing.T) {
	text, _ := named(t, 0, 10, strings.Repeat("ab", 32))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := snapshot.Judge{Checker: snapshot.NewChecker(nil), AcceptEarlierAnchors: true}.NewestValid(ctx, bytes.NewReader(text), int64(len(text)))
	require.True(t, errors.Is(err, context.Canceled))
}

// TestEarlierAnchorsOfOne: one snapshot is judged by the anchors before it, wherever they are.
func TestEarlierAnchorsOfOne(t *testing.T) {
	var data []byte
	var hashes []string
	for n := range 500 {
		text, hash := named(t, n, 5000)
		data, hashes = append(data, text...), append(hashes, hash)
	}
	for _, test := range []struct {
		names []string
		want  snapshot.Verdict
	}{
		{[]string{hashes[0]}, snapshot.Valid},
		{[]string{hashes[0], hashes[499], hashes[250]}, snapshot.Valid},
		{[]string{hashes[499]}, snapshot.Valid},
		{[]string{hashes[0], strings.Repeat("ab", 32)}, snapshot.PegOutMismatch},
	} {
		text, _ := named(t, 500, 10, test.names...)
		r := &counted{ReaderAt: bytes.NewReader(append(data[:len(data):len(data)], text...))}
		judge := snapshot.Judge{Checker: snapshot.NewChecker(nil), AcceptEarlierAnchors: true}
		judged, err := judge.Judge(t.Context(), r, snapshot.Located{Offset: int64(len(data)), Size: int64(len(text)), BodyEnd: int64(len(data) + len(text) - len("END_SNAPSHOT\n"))})
		require.NoError(t, err)
		require.Equal(t, test.want, judged.Verdict)
		require.Less(t, r.bytes.Load(), 5*int64(len(data))/2)
	}
}
