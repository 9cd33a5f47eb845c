package content_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/content"
	"ailee-recovery/internal/golden"
)

// FuzzLoadRecords: a list of anchors and events is whole or refused, and one that is whole is
// the same after it was written and read again.
func FuzzLoadRecords(f *testing.F) {
	for _, name := range []string{"node-rocksdb-6.11.4", "node-odd-records", "lenient-keys"} {
		dir := f.TempDir()
		require.NoError(f, golden.Unpack(name, dir))
		d, err := content.ReadDatabase(f.Context(), filepath.Join(dir, name), content.DatabaseOptions{})
		require.NoError(f, err)
		var saved bytes.Buffer
		require.NoError(f, d.SaveRecords(&saved))
		require.NoError(f, d.Close())
		f.Add(saved.Bytes())
	}
	f.Add([]byte("ailee-records 1 x\nanchor \"a\\x00\" 1 2 3\nevent 00 1 2 3\nend"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := content.LoadRecords(t.Context(), bytes.NewReader(data), "")
		if err != nil {
			require.Nil(t, d)
			return
		}
		defer func() { require.NoError(t, d.Close()) }()
		require.True(t, bytes.Contains(data, []byte("\nend")), "it is whole")
		var saved, again bytes.Buffer
		require.NoError(t, d.SaveRecords(&saved))
		reread, err := content.LoadRecords(t.Context(), bytes.NewReader(saved.Bytes()), "")
		require.NoError(t, err, saved.String())
		defer func() { require.NoError(t, reread.Close()) }()
		require.NoError(t, reread.SaveRecords(&again))
		require.Equal(t, saved.String(), again.String())
		require.Equal(t, d.SHA256, reread.SHA256)
		require.Equal(t, d.Anchors, reread.Anchors)
		require.Equal(t, d.AnchorCount, reread.AnchorCount)
	})
}
