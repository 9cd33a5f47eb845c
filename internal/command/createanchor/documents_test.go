package createanchor_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/internal/exit"
	"ailee-recovery/snapshot"
)

// TestDocumentOfManyPegOuts: a document lists only the first 1,000.
func TestDocumentOfManyPegOuts(t *testing.T) {
	dir := t.TempDir()
	state, file := filepath.Join(dir, "state.json"), filepath.Join(dir, "file.dat")
	st := snapshot.State{}
	for i := range 1003 {
		st.Bridge.PegOuts = append(st.Bridge.PegOuts, snapshot.PegOut{PegID: fmt.Sprintf("%04d", i)})
	}
	f, err := os.Create(state)
	require.NoError(t, err)
	require.NoError(t, errors.Join(snapshot.Encode(f, &st), f.Close()))
	code, stdout, _ := clitest.Run(createanchor.Tool(), "--json", "--l2-state-file", state, "--output", file)
	require.Equal(t, exit.OK, code)
	require.Contains(t, stdout, `"pegouts_without_anchor_not_listed": 3`)
}

// TestDocumentHasTheScript: the script carries the payload, or its digest if the payload is
// too long to be relayed.
func TestDocumentHasTheScript(t *testing.T) {
	for metadata, length := range map[string]int{"": 0, strings.Repeat("long,", 20): 39} {
		out := filepath.Join(t.TempDir(), "anchored.dat")
		code, stdout, stderr := clitest.Run(createanchor.Tool(), "--json", "--l2-state-file", clitest.StateFile(t, 1, 1), "--recovery-metadata", metadata, "--output", out)
		require.Equal(t, exit.OK, code, stderr)
		var made struct {
			Payload string `json:"payload"`
			Script  string `json:"op_return_script"`
		}
		require.NoError(t, json.Unmarshal([]byte(stdout), &made))
		script, err := hex.DecodeString(made.Script)
		require.NoError(t, err)
		require.Equal(t, snapshot.OpReturnScript(snapshot.Commitment(made.Payload)), script)
		if length > 0 {
			require.Len(t, script, length)
		}
		require.Contains(t, clitest.Read(t, out), made.Payload)
	}
}
