package archive_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/archive"
)

// writtenTo packs a folder with some files.
func writtenTo(t *testing.T, how archive.Compression) (data []byte, members []archive.Member) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"CURRENT": "MANIFEST-000005\n", "000004.sst": strings.Repeat("table", 5000), "LOCK": "", "empty": ""} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		at := time.Now().Add(time.Duration(len(text)) * time.Hour)
		require.NoError(t, os.Chtimes(filepath.Join(dir, name), at, at))
	}
	var out bytes.Buffer
	members, err := archive.Write(t.Context(), &out, dir, archive.WriteOptions{Top: archive.Top, UID: 1, GID: 2, Compression: how,
		Omit: func(name string) bool { return name == "LOCK" }})
	require.NoError(t, err)
	return out.Bytes(), members
}

// TestWriteIsTheSameEachTime: packing the same files gives the same archive, which reads back as
// it was packed.
func TestWriteIsTheSameEachTime(t *testing.T) {
	for _, how := range []archive.Compression{archive.None, archive.Gzip, archive.Zstd} {
		first, members := writtenTo(t, how)
		again, _ := writtenTo(t, how)
		require.Equal(t, first, again)
		require.Equal(t, []string{"reorg_db/000004.sst", "reorg_db/CURRENT", "reorg_db/empty"}, []string{members[0].Name, members[1].Name, members[2].Name})
		require.NoError(t, archive.Compare(t.Context(), bytes.NewReader(first), how, members))
		to := t.TempDir()
		root, err := os.OpenRoot(to)
		require.NoError(t, err)
		_, err = archive.Unpack(t.Context(), bytes.NewReader(first), root, archive.Limits{Members: 10, Bytes: 1 << 20})
		require.NoError(t, err)
		require.NoError(t, root.Close())
		text, err := os.ReadFile(filepath.Join(to, "000004.sst"))
		require.NoError(t, err)
		require.Equal(t, strings.Repeat("table", 5000), string(text))
	}
}

// TestCompareSees: files that are missing, additional, different or damaged are found.
func TestCompareSees(t *testing.T) {
	data, members := writtenTo(t, archive.None)
	other := append([]archive.Member(nil), members...)
	other[0].SHA256[0] ^= 1
	changed := bytes.Replace(data, []byte("tabletable"), []byte("tableTable"), 1)
	for name, c := range map[string]struct {
		data    []byte
		members []archive.Member
	}{
		"missing": {data, append(members[:3:3], archive.Member{Name: "reorg_db/more"})}, "more": {data, members[:2]}, "other": {data, other},
		"changed": {changed, members}, "cut": {data[:len(data)/2], members}, "nothing": {nil, members},
	} {
		require.ErrorIs(t, archive.Compare(t.Context(), bytes.NewReader(c.data), archive.None, c.members), archive.ErrNotWhatWasPacked, name)
	}
	zipped, members := writtenTo(t, archive.Gzip)
	zipped[len(zipped)-6] ^= 1 // the checksum
	require.ErrorIs(t, archive.Compare(t.Context(), bytes.NewReader(zipped), archive.Gzip, members), archive.ErrNotWhatWasPacked)
}

// TestWriteRefusesLinks: a planted link is not followed.
func TestWriteRefusesLinks(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "CURRENT")))
	_, err := archive.Write(t.Context(), &bytes.Buffer{}, dir, archive.WriteOptions{Top: archive.Top})
	require.Error(t, err)
	require.NoError(t, os.Remove(filepath.Join(dir, "CURRENT")))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "folder"), 0o700))
	_, err = archive.Write(t.Context(), &bytes.Buffer{}, dir, archive.WriteOptions{Top: archive.Top})
	require.NoError(t, err)
}
