package snapshottool_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/input"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/snapshot"
)

// numbered returns a snapshot whose time is the number.
func numbered(number int) string {
	return fmt.Sprintf("SNAPSHOT v1\ntimestamp_ms %d\nEND_SNAPSHOT\n", number)
}

func file(t *testing.T, content string) *input.Input {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	in, err := input.Open(t.Context(), path, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = in.Close() })
	return in
}

func pipe(t *testing.T, content string) *input.Input {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	go func() {
		_, _ = w.WriteString(content)
		_ = w.Close()
	}()
	in, err := input.Open(t.Context(), input.Stdin, r)
	require.NoError(t, err)
	t.Cleanup(func() { _ = in.Close() })
	return in
}

func kinds(found []snapshot.Finding) (all []snapshot.Kind) {
	for _, f := range found {
		all = append(all, f.Kind)
	}
	return all
}

// TestFindLatest: a file and a pipe give the same snapshot. Only for a pipe, which was
// completely read, what was before it is known.
func TestFindLatest(t *testing.T) {
	torn := numbered(9)[:20]
	for name, c := range map[string]struct {
		content      string
		offset       int64
		before, tail []snapshot.Kind
	}{
		"one":                {numbered(2), 0, nil, nil},
		"two":                {numbered(1) + numbered(2), int64(len(numbered(1))), nil, nil},
		"torn before":        {torn + "\n" + numbered(2), 21, []snapshot.Kind{snapshot.StrayBytes}, nil},
		"torn between":       {numbered(1) + "xyz\n" + numbered(2), int64(len(numbered(1))) + 4, []snapshot.Kind{snapshot.StrayBytes}, nil},
		"a tail":             {numbered(2) + torn, 0, nil, []snapshot.Kind{snapshot.TornTail}},
		"stray, and a tail":  {"xyz\n" + numbered(2) + torn, 4, []snapshot.Kind{snapshot.StrayBytes}, []snapshot.Kind{snapshot.TornTail}},
		"hidden, then a one": {numbered(1) + "xyz" + numbered(3) + numbered(2), int64(2*len(numbered(1))) + 3, []snapshot.Kind{snapshot.HiddenSnapshot, snapshot.StrayBytes}, nil},
	} {
		for _, in := range []*input.Input{file(t, c.content), pipe(t, c.content)} {
			latest, err := snapshottool.FindLatest(in, in)
			require.NoError(t, err, name)
			require.Equal(t, c.offset, latest.Offset, name)
			text := make([]byte, latest.Size)
			_, err = latest.Reader.ReadAt(text, latest.Offset)
			require.NoError(t, err)
			require.Equal(t, numbered(2), string(text), name)
			found, err := latest.Outside()
			require.NoError(t, err)
			if in.Seekable {
				require.Equal(t, c.tail, kinds(found), name)
			} else {
				require.ElementsMatch(t, append(c.before, c.tail...), kinds(found), name)
			}
		}
	}
	for _, content := range []string{"", "xyz", torn} {
		for _, in := range []*input.Input{file(t, content), pipe(t, content)} {
			latest, err := snapshottool.FindLatest(in, in)
			require.ErrorIs(t, err, snapshot.ErrNoSnapshot)
			_, err = latest.Outside()
			require.NoError(t, err)
		}
	}
	broken := errors.New("broken")
	_, err := snapshottool.FindLatest(pipe(t, ""), io.MultiReader(strings.NewReader(numbered(1)), iotest.ErrReader(broken)))
	require.ErrorIs(t, err, broken)
}

// TestStray counts the gaps and their bytes, and names the first.
func TestStray(t *testing.T) {
	at := func(offset, size int64) snapshot.Located { return snapshot.Located{Offset: offset, Size: size} }
	var s snapshottool.Stray
	require.Empty(t, s.Findings())
	s.Before(at(0, 10))
	s.Before(at(10, 10))
	require.Empty(t, s.Findings())
	s.Before(at(25, 10))
	s.Before(at(35, 10))
	s.Before(at(52, 8))
	require.EqualValues(t, 60, s.End())
	found := s.Findings()
	require.Len(t, found, 1)
	require.Equal(t, snapshot.Finding{Kind: snapshot.StrayBytes, Offset: 20, Length: 12, Count: 2}, found[0])
}

// TestStrayHidden: a complete snapshot that no node sees is distinguished from other bytes.
func TestStrayHidden(t *testing.T) {
	content := numbered(1) + "xyz" + numbered(2) + "uvw" + numbered(3) + numbered(4)
	first, last := int64(len(numbered(1))), int64(len(content)-len(numbered(4)))
	var s snapshottool.Stray
	r := strings.NewReader(content)
	require.NoError(t, s.BeforeIn(r, snapshot.Located{Size: first}, int64(len(content))))
	require.NoError(t, s.BeforeIn(r, snapshot.Located{Offset: last, Size: first}, int64(len(content))))
	found := s.Findings()
	require.Equal(t, []snapshot.Kind{snapshot.HiddenSnapshot, snapshot.StrayBytes}, kinds(found))
	require.EqualValues(t, []uint64{2, 1}, []uint64{found[0].Count, found[1].Count})
	require.Equal(t, last-first, found[1].Length)
	require.Equal(t, first+3, found[0].Offset)
}

func TestReadHint(t *testing.T) {
	for hint, err := range map[string]error{
		"--max-memory 1GiB": &snapshot.LineTooLongError{},
		"the file was replaced or cut while it was read: run the command again": snapshot.ErrShrunk,
		"check the path": fs.ErrNotExist,
		"root":           fs.ErrPermission,
	} {
		require.Contains(t, snapshottool.ReadHint(fmt.Errorf("read: %w", err)), hint)
	}
	require.Equal(t, "the file was replaced or cut while it was read: run the command again", snapshottool.ReadHint(fmt.Errorf("f: %w", snapshot.ErrChanged)))
	require.Contains(t, snapshottool.ReadHint(&snapshot.SectionTooLargeError{}), "--max-memory")
	require.Contains(t, snapshottool.ReadHint(&snapshot.TooManyAnchorsError{}), "--max-memory")
	require.Empty(t, snapshottool.ReadHint(io.ErrUnexpectedEOF))
}

// TestTime: up to the last millisecond of the year 9999, and the bare number after it.
func TestTime(t *testing.T) {
	for ms, want := range map[uint64]string{
		0:                   "1970-01-01T00:00:00.000Z",
		1739577600123:       "2025-02-15T00:00:00.123Z",
		253402300799999:     "9999-12-31T23:59:59.999Z",
		253402300800000:     "253402300800000 ms",
		1<<64 - 1:           "18446744073709551615 ms",
		9223372036854775808: "9223372036854775808 ms",
	} {
		require.Equal(t, want, snapshottool.Time(ms))
		_, ok := snapshottool.UTC(ms)
		require.Equal(t, strings.HasSuffix(want, "Z"), ok)
	}
}

// TestEverything: without overlaps. A snapshot that torn lines merged from several comes as
// its parts if one of them holds.
func TestEverything(t *testing.T) {
	valid := func(number int) string {
		st := snapshot.State{TimestampMs: uint64(number)}
		st.Anchor = snapshot.NewAnchor(snapshot.Root(&st), st.TimestampMs, "m")
		var b strings.Builder
		require.NoError(t, snapshot.Encode(&b, &st))
		return b.String()
	}
	const torn = "SNAPSHOT v1\nbalance \"a\" 5\nbalance \"b"
	bad := numbered(7)
	content := bad + torn + "\n" + valid(1) + torn + valid(2) + torn + bad + "xyz\n" + valid(3) + torn
	r := strings.NewReader(content)
	var found []string
	for f, err := range snapshottool.Everything(t.Context(), r, r.Size(), snapshot.NewMemory(0), snapshot.NewChecker(nil)) {
		require.NoError(t, err)
		what := "torn"
		if !f.Torn() {
			what = string(f.Report.Verdict())
		}
		found = append(found, what+" "+content[f.Offset:f.End()])
	}
	require.Equal(t, []string{"no anchor " + bad, "torn " + torn + "\n", "valid " + valid(1), "torn " + torn, "valid " + valid(2),
		"no anchor " + torn + bad, "valid " + valid(3), "torn " + torn}, found)
}
