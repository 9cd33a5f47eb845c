package snapshot_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/snapshot"
)

// TestPieces: torn and hidden snapshots, which no node sees, with different bytes before
// the header or after the end that hide them.
func TestPieces(t *testing.T) {
	const one, torn = "SNAPSHOT v1\ntimestamp_ms 1\nEND_SNAPSHOT\n", "SNAPSHOT v1\ntimest"
	end := strings.TrimSuffix(one, "\n")
	type piece struct {
		text string
		torn bool
	}
	for name, c := range map[string]struct {
		content string
		want    []piece
	}{
		"nothing":                  {"abc\n", nil},
		"torn":                     {torn, []piece{{torn, true}}},
		"torn, then hidden":        {torn + one, []piece{{torn, true}, {one, false}}},
		"behind zeros":             {"\x00\x00" + one, []piece{{one, false}}},
		"behind a mark":            {"\xef\xbb\xbf" + one, []piece{{one, false}}},
		"end before zeros":         {end + "\x00\x00", []piece{{end, false}}},
		"end before a header":      {end + one, []piece{{end, false}, {one, false}}},
		"end before zeros, header": {end + "\x00" + one, []piece{{end, false}, {one, false}}},
		"end of none":              {"END_SNAPSHOTx\n" + torn, []piece{{torn, true}}},
		"two torn":                 {torn + "\n" + torn, []piece{{torn + "\n", true}, {torn, true}}},
		"end in a line":            {torn + "xEND_SNAPSHOT\n", []piece{{torn + "xEND_SNAPSHOT\n", true}}},
	} {
		r := strings.NewReader(c.content)
		var found []piece
		for p, err := range snapshot.Pieces(r, 0, r.Size(), r.Size()) {
			require.NoError(t, err)
			found = append(found, piece{c.content[p.Offset:p.End()], p.Torn})
			if !p.Torn {
				require.Equal(t, snapshot.EndLine, c.content[p.BodyEnd:p.BodyEnd+int64(len(snapshot.EndLine))], name)
			}
		}
		require.Equal(t, c.want, found, name)
		for range snapshot.Pieces(r, 0, r.Size(), r.Size()) {
			break
		}
	}
}

// TestLinesOfAnother: if a file no longer has the records of the report, the error says that
// it has changed.
func TestLinesOfAnother(t *testing.T) {
	const text = "SNAPSHOT v1\nbalance \"a\" 1\nbalance \"b\" 2\nEND_SNAPSHOT\n"
	r, checker := strings.NewReader(text), snapshot.NewChecker(nil)
	l, err := snapshot.Latest(r, r.Size())
	require.NoError(t, err)
	report, err := checker.Check(t.Context(), r, l)
	require.NoError(t, err)
	for changed, want := range map[string]error{
		text: nil,
		strings.Replace(text, "balance \"b\"", "balanc_ \"b\"", 1): snapshot.ErrChanged,
		text[:30]: snapshot.ErrShrunk,
	} {
		var last error
		for _, err := range checker.Lines(t.Context(), strings.NewReader(changed), report, snapshot.Balances) {
			last = err
		}
		require.ErrorIs(t, last, want)
	}
}
