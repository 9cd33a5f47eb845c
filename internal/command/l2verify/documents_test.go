package l2verify_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/exit"
	"ailee-recovery/snapshot"
)

// TestDocumentOfManyPegOuts: a document lists only the first 1,000.
func TestDocumentOfManyPegOuts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file.dat")
	st := snapshot.State{}
	for i := range 1003 {
		st.Bridge.PegOuts = append(st.Bridge.PegOuts, snapshot.PegOut{PegID: fmt.Sprintf("%04d", i)})
	}
	st.Anchor = snapshot.NewAnchor(snapshot.Root(&st), 0, "")
	f, err := os.Create(file)
	require.NoError(t, err)
	require.NoError(t, errors.Join(snapshot.Encode(f, &st), f.Close()))
	code, stdout, _ := clitest.Run(l2verify.Tool(), "--json", "--snapshot", file)
	require.Equal(t, exit.Wrong, code)
	require.Contains(t, stdout, `"pegout_problems_not_listed": 3`)
}
