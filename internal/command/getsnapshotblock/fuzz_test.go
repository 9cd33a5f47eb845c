package getsnapshotblock

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/snapshot"
)

var heightField = regexp.MustCompile(`(?s)(?:^|,)btc_height=(0|[1-9][0-9]{0,18})(?:,|$)`)

// FuzzMetadata compares the height in an anchor's metadata with what a regular
// expression finds.
func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{"", "genesis", "btc_height=840000,btc_hash=ab", "btc_height=-1", "btc_height=+1", "btc_height=1,btc_height=1", "xbtc_height=1",
		" btc_height=1", "btc_height=01", "btc_height=9223372036854775808", "btc_height=", "a,btc_height=7", "btc_height=7\x1b,x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, metadata string) {
		anchor := snapshot.NewAnchor(strings.Repeat("0", 64), 7, metadata)
		f := &finder{snapshot: &snapshot.Report{Anchor: anchor, AnchorVerdict: snapshot.AnchorHolds}}
		got, err := f.fromMetadata(context.Background())
		match := heightField.FindStringSubmatch(metadata)
		known := match != nil && strings.Count(","+metadata, ",btc_height=") == 1
		var want int64
		if known {
			var parseErr error
			want, parseErr = strconv.ParseInt(match[1], 10, 64)
			known = parseErr == nil
		}
		require.Equal(t, known, err == nil, "%v", err)
		if known {
			require.Equal(t, want, got.Height)
		}
	})
}
