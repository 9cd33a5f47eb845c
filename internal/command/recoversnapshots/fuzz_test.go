package recoversnapshots_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/recoversnapshots"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/golden"
	"ailee-recovery/internal/input"
	"ailee-recovery/snapshot"
)

// FuzzRecover: of any two files, the same snapshots in the same order as a slow reader has
// them.
func FuzzRecover(f *testing.F) {
	var before []byte
	for _, data := range golden.Snapshots(f, 4<<10) {
		f.Add(before, data)
		before = data
	}
	one, two, three := small(2, 1), small(1, 2), small(1, 3)
	f.Add([]byte(one+two+three), []byte(two+one))
	f.Add([]byte(one[:100]+two+one), []byte("\xef\xbb\xbf"+three+"\x00\x00"+two))
	f.Add([]byte(strings.TrimSuffix(one, "\n")), []byte(one+three+one))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, a, b []byte) {
		out := filepath.Join(dir, "out")
		var args []string
		var found [][]piece
		for i, data := range [][]byte{a, b} {
			if input.FormatOf(data) != nil {
				return
			}
			name := filepath.Join(dir, []string{"a", "b"}[i])
			require.NoError(t, os.WriteFile(name, data, 0o600))
			args = append(args, name)
			found = append(found, slowly(t, string(data)))
		}
		var want strings.Builder
		for _, p := range inOrder(found) {
			want.WriteString(p.text)
		}
		dryCode, _, _ := clitest.Run(recoversnapshots.Tool(), append([]string{"--dry-run"}, append(args, out)...)...)
		code, stdout, stderr := clitest.Run(recoversnapshots.Tool(), append(args, out)...)
		require.Equal(t, dryCode, code, "%s%s", stdout, stderr)
		require.NotContains(t, stderr, "internal error")
		if want.Len() == 0 {
			require.Equal(t, exit.Failed, code, "%s%s", stdout, stderr)
			require.NoFileExists(t, out)
			return
		}
		require.Equal(t, want.String(), clitest.Read(t, out), "%s%s", stdout, stderr)
		require.NoError(t, os.Remove(out))
		wantCode := exit.OK
		if lost(string(a), found[0]) || lost(string(b), found[1]) {
			wantCode = exit.Wrong
		}
		require.Equal(t, wantCode, code, "%s%s", stdout, stderr)
	})
}

// lost reports whether a file has more than the snapshots that were found in it. The newline
// after an end may be missing.
func lost(data string, found []piece) bool {
	var all strings.Builder
	for _, p := range found {
		all.WriteString(p.text)
	}
	noNewlines := func(text string) string {
		return strings.ReplaceAll(text, snapshot.EndLine+"\n", snapshot.EndLine)
	}
	return noNewlines(all.String()) != noNewlines(data)
}
