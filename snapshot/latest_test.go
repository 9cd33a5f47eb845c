package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/snapshot"
)

// TestJudgeLatest: the latest snapshot is judged even if the file begins with a large one,
// which is checked ahead, whatever comes after it.
func TestJudgeLatest(t *testing.T) {
	one := string(read(t, golden+"/write/node-written-clean.dat"))
	var long strings.Builder
	long.WriteString("SNAPSHOT v1\n")
	for i := 0; long.Len() < 36<<20; i++ {
		fmt.Fprintf(&long, "balance \"%0500d\" 1\n", i)
	}
	large := long.String()
	for name, text := range map[string]string{
		"small":         one,
		"large":         large + "END_SNAPSHOT\n",
		"large, valid":  strings.Replace(one, "SNAPSHOT v1\n", "SNAPSHOT v1\n"+strings.Repeat("#"+strings.Repeat("-", 1000)+"\n", 36<<10), 1),
		"unsorted":      large + "balance \"0\" 1\nEND_SNAPSHOT\n",
		"then torn":     large + "END_SNAPSHOT\nSNAPSHOT v1\nbal",
		"then stray":    large + "END_SNAPSHOT\n" + strings.Repeat(strings.Repeat("-", 1000)+"\n", 36<<10),
		"not the first": "-\n" + large + "END_SNAPSHOT\n",
		"not latest":    one + large + "END_SNAPSHOT\n",
		"not ended":     large + one,
		"then small":    large + "END_SNAPSHOT\n" + one,
		"none":          large,
		"empty":         "",
	} {
		t.Run(name, func(t *testing.T) {
			r, size := bytes.NewReader([]byte(text)), int64(len(text))
			judge := snapshot.Judge{Checker: snapshot.NewChecker(nil), AcceptEarlierAnchors: true}
			var want snapshot.Judgement
			l, wantErr := snapshot.Latest(r, size)
			if wantErr == nil {
				want, wantErr = judge.Judge(t.Context(), r, l)
			}
			got, err := judge.JudgeLatest(t.Context(), r, size)
			require.Equal(t, wantErr, err)
			require.Equal(t, want, got)
			cancelled, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := judge.JudgeLatest(cancelled, r, size); size > 0 && !errors.Is(err, snapshot.ErrNoSnapshot) {
				require.ErrorIs(t, err, context.Canceled)
			}
			if name == "unsorted" {
				small := snapshot.Judge{Checker: snapshot.NewChecker(snapshot.NewMemory(1 << 20))}
				_, err := small.JudgeLatest(t.Context(), r, size)
				require.ErrorAs(t, err, new(*snapshot.SectionTooLargeError))
			}
		})
	}
}
