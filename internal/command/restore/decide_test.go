package restore

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDecide is the complete table of decisions: by the state of the part, by what it and its
// source have and lack, by whether the source was named, and by force.
func TestDecide(t *testing.T) {
	type outcome struct {
		decision
		code int
	}
	no, yes := false, true
	type row struct {
		live          state
		has, lacks    bool
		chosen, named outcome
	}
	rows := []row{
		{nothing, no, yes, outcome{replaced, 0}, outcome{replaced, 0}},
		{nothing, no, no, outcome{replaced, 0}, outcome{replaced, 0}},
		{wrong, no, no, outcome{replaced, 0}, outcome{replaced, 0}},
		{wrong, no, yes, outcome{replaced, 0}, outcome{replaced, 0}},
		{wrong, yes, no, outcome{refused, 2}, outcome{refused, 2}},
		{wrong, yes, yes, outcome{refused, 2}, outcome{refused, 2}},
		{sound, no, no, outcome{leftAlone, 0}, outcome{leftAlone, 0}},
		{sound, yes, no, outcome{leftAlone, 0}, outcome{refused, 2}},
		{sound, no, yes, outcome{leftAlone, 2}, outcome{replaced, 0}},
		{sound, yes, yes, outcome{leftAlone, 2}, outcome{leftAlone, 2}},
	}
	for _, row := range rows {
		for _, named := range []bool{no, yes} {
			what := fmt.Sprintf("%s, has %v, lacks %v, named %v", row.live, row.has, row.lacks, named)
			s := standing{live: row.live, has: row.has, lacks: row.lacks, known: true}
			want := row.chosen
			if named {
				want = row.named
			}
			got, code := decide(s, named, false)
			require.Equal(t, want, outcome{got, code}, what)
			got, code = decide(s, named, true)
			require.Equal(t, outcome{replaced, 0}, outcome{got, code}, what+", by force")
		}
	}
	// A part that could not be checked may have anything.
	for _, named := range []bool{no, yes} {
		got, code := decide(standing{}, named, false)
		require.Equal(t, outcome{refused, 1}, outcome{got, code})
		got, code = decide(standing{}, named, true)
		require.Equal(t, outcome{replaced, 0}, outcome{got, code})
	}
}
