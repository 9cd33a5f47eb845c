package snapshot_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/snapshot"
)

// TestPieces: what is meant as a snapshot where a node sees none, torn or hidden, with
// what hides it before its header or after its end.
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
