package reorgmerge_test

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/reorgmerge"
	"ailee-recovery/reorgdb"
)

// asText has a line for each record of databases: the number of the database, the key and the
// value, and the column family in front of the key where it is not the default one.
func asText(sources []database) string {
	var b strings.Builder
	for k, s := range sources {
		for family, records := range s {
			for key, value := range records {
				if family != reorgdb.DefaultFamily {
					key = family + "/" + key
				}
				fmt.Fprintf(&b, "%d%s=%s\n", k, key, value)
			}
		}
	}
	return b.String()
}

// ofText reads what asText wrote. Of one key the last line counts.
func ofText(text string) []database {
	sources := []database{records(), records(), records()}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		key, value, ok := strings.Cut(line, "=")
		if !ok || key == "" || key[0] < '0' || key[0] > '2' {
			continue
		}
		s, key := sources[key[0]-'0'], key[1:]
		family, inFamily, ok := strings.Cut(key, "/")
		if !ok || family == reorgdb.DefaultFamily {
			family, inFamily = reorgdb.DefaultFamily, key
		}
		if s[family] == nil {
			s[family] = map[string]string{}
		}
		s[family][inFamily] = value
	}
	return sources
}

// FuzzMerge: three databases of any records come to what the reference makes of them.
func FuzzMerge(f *testing.F) {
	rng := rand.New(rand.NewSource(3))
	for range 40 {
		f.Add(asText([]database{random(rng), random(rng), random(rng)}))
	}
	f.Add("0block:00000000000000000012=new\n0reorg:00000000000000000000=12|old|new|5|1|x\n1block:00000000000000000012=old\n1block:00000000000000000013=y\n2reorg:+0x=12|old|new|5|1|x\n")
	f.Add("0reorg:-1=x\n1reorg:-1=y\n2reorg_counter=18446744073709551615\n")
	f.Fuzz(func(t *testing.T, text string) {
		sources := ofText(text)
		var all []reorgmerge.Source
		for _, s := range sources {
			all = append(all, s)
		}
		m, err := reorgmerge.New(t.Context(), all, temporary(t))
		if err != nil {
			require.ErrorIs(t, err, reorgmerge.ErrNoID)
			return
		}
		require.NoError(t, m.Close())
		want, got := reference(sources), merged(t, sources...)
		require.Equal(t, want.records, got.records)
		slices.Sort(got.differences)
		require.Equal(t, want.differences, got.differences)
		require.Equal(t, want.missing, got.missing)
		require.Equal(t, want.missingFrom, got.missingFrom)
		require.Equal(t, want.counter, got.counter)
		if !apart(sources) {
			checkShares(t, sources, got)
		}
	})
}

// apart reports whether a database has blocks too far apart for checkShares, which goes through
// all heights.
func apart(sources []database) bool {
	for _, s := range sources {
		var heights []uint64
		for key := range s[reorgdb.DefaultFamily] {
			if kind, number := reorgdb.KeyKind([]byte(key)); kind == reorgdb.BlockKind {
				heights = append(heights, number)
			}
		}
		if len(heights) > 0 && slices.Max(heights)-slices.Min(heights) > 10_000 {
			return true
		}
	}
	return false
}
