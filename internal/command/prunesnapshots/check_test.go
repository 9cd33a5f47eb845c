package prunesnapshots

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/input"
	"ailee-recovery/snapshot"
)

// TestCheck: a file that the disk did not store as it was written does not replace another.
// With --in-place and with --output, the same check reads it back.
func TestCheck(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "f.dat")
	whole := clitest.Numbered(1) + clitest.Numbered(2)
	require.NoError(t, os.WriteFile(path, []byte(whole), 0o600))
	in, err := input.OpenRegular(ctx, path)
	require.NoError(t, err)
	defer in.Close()
	p := &pruning{Options: Options{File: path, Keep: 2}, in: in, judge: snapshot.Judge{Checker: snapshot.NewChecker(nil)}}
	p.plan, err = newPlan(ctx, in.Section(), in.Size, p.Keep, p.judge, false)
	require.NoError(t, err)
	c := &content{pruning: p}
	for name, written := range map[string]struct {
		text string
		ok   bool
	}{
		"the same":                    {whole, true},
		"empty":                       {"", false},
		"cut":                         {whole[:len(whole)-1], false},
		"longer":                      {whole + "\n", false},
		"another latest":              {clitest.Numbered(1) + clitest.Numbered(3), false},
		"the end marker is another":   {strings.Replace(whole, "END_SNAPSHOT", "END_SNAPSHOt", 2), false},
		"one byte of a peer's name":   {whole[:len(clitest.Numbered(1))] + strings.Replace(clitest.Numbered(2), "peer-0003", "peer-0O03", 1), false},
		"zeros for the last 64 bytes": {whole[:len(whole)-64] + strings.Repeat("\x00", 64), false},
	} {
		f, err := os.Create(filepath.Join(t.TempDir(), "written"))
		require.NoError(t, err)
		_, err = f.WriteString(written.text)
		require.NoError(t, err)
		for _, err := range []error{p.check(ctx, f), c.Check(ctx, f, nil)} {
			if written.ok {
				require.NoError(t, err, name)
			} else {
				require.ErrorIs(t, err, errCopy, name)
			}
		}
		require.NoError(t, f.Close())
	}
}
