package createanchor

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/snapshot"
	"ailee-recovery/snapshot/statejson"
)

// TestReadBack: it is an error if the disk returns anything other than what was written,
// wherever it differs.
func TestReadBack(t *testing.T) {
	asJSON, err := os.ReadFile(clitest.StateFile(t, 5, 3))
	require.NoError(t, err)
	builder, _, err := statejson.Decode(t.Context(), bytes.NewReader(asJSON))
	require.NoError(t, err)
	text, err := builder.Text(snapshot.NewAnchor(strings.Repeat("ab", 32), 5, "m"))
	require.NoError(t, err)
	var written bytes.Buffer
	_, err = text.WriteTo(&written)
	require.NoError(t, err)
	at, err := snapshot.Latest(bytes.NewReader(written.Bytes()), int64(written.Len()))
	require.NoError(t, err)

	path := filepath.Join(t.TempDir(), "f")
	readBack := func(content []byte) error {
		require.NoError(t, os.WriteFile(path, content, 0o600))
		f, err := os.Open(path)
		require.NoError(t, err)
		defer f.Close()
		return new(anchoring).verify(t.Context(), f, text, at)
	}
	require.NoError(t, readBack(written.Bytes()))
	for i := range written.Len() {
		content := bytes.Clone(written.Bytes())
		content[i] ^= 1
		require.ErrorIs(t, readBack(content), errCopy, "byte %d", i)
	}
	// Nor may the snapshot be elsewhere.
	at.Size += 2
	require.ErrorIs(t, readBack(append([]byte("x\n"), written.Bytes()...)), errCopy)
}
