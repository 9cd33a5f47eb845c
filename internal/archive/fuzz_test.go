package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/archive"
	"ailee-recovery/internal/golden"
	"ailee-recovery/internal/input"
)

// goldenTars adds the databases of nodes as tar archives that are not compressed.
func goldenTars(f *testing.F, add func(tar []byte)) {
	names, err := filepath.Glob(filepath.Join(golden.Dir(), "reorg_db", "*.tar.gz"))
	require.NoError(f, err)
	n := 0
	for _, name := range names {
		packed, err := os.Open(name)
		require.NoError(f, err)
		defer packed.Close()
		plain, err := gzip.NewReader(packed)
		require.NoError(f, err)
		data, err := io.ReadAll(plain)
		require.NoError(f, err)
		if len(data) < 128<<10 {
			add(data)
			n++
		}
	}
	require.Positive(f, n, "no seeds")
}

// FuzzForms: an archive unpacks to the same, or is refused for the same reason, whatever it is
// compressed with. What is unpacked is what the standard library reads. The fuzzer knows no
// checksums, so that it gets at the archive before it is compressed.
func FuzzForms(f *testing.F) {
	goldenTars(f, func(tar []byte) { f.Add(tar) })
	f.Add(packed(f, folder("./"), folder("./reorg_db/"), file("./reorg_db/CURRENT", "x"), file("./reorg_db/archive//1.log", "y")))
	f.Add(packed(f, file("CURRENT", "x"), file("CURRENT", "y")))
	f.Add(packed(f, link(tar.TypeLink, "CURRENT", "/etc/passwd"), file("a/../b", "x")))
	limits := archive.Limits{Members: 30, Bytes: 1 << 20}
	f.Fuzz(func(t *testing.T, data []byte) {
		if input.FormatOf(data) != nil {
			return // it is read as what it begins like
		}
		files, _, err := unpack(t, bytes.NewReader(data), limits)
		for _, compressed := range [][]byte{gzipped(t, data), zstded(t, data)} {
			got, _, gotErr := unpack(t, bytes.NewReader(compressed), limits)
			require.Equal(t, files, got)
			if errors.Is(err, archive.ErrNoArchive) {
				require.Error(t, gotErr)
				continue
			}
			require.Equal(t, err == nil, gotErr == nil, "%v, %v", err, gotErr)
			if err != nil {
				require.Equal(t, err.Error(), gotErr.Error())
			}
		}
		if err == nil {
			require.Equal(t, plainly(t, data), files)
		}
	})
}

// plainly reads the files of a sound archive below the folder of the database, or at the top.
func plainly(t *testing.T, data []byte) map[string]string {
	files := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(t, err)
		if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeGNUSparse {
			continue
		}
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		name := strings.TrimPrefix(path.Clean(h.Name), archive.Top+"/")
		require.NotContains(t, files, name)
		files[name] = string(text)
	}
}

// FuzzCompare: what is taken for the archive that was written holds just what was packed.
func FuzzCompare(f *testing.F) {
	dir := f.TempDir()
	want := map[string]string{"CURRENT": "MANIFEST-000005\n", "000004.sst": strings.Repeat("table", 300), "empty": ""}
	for name, text := range want {
		require.NoError(f, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	members := map[archive.Compression][]archive.Member{}
	forms := []archive.Compression{archive.None, archive.Gzip, archive.Zstd}
	for i, how := range forms {
		var out bytes.Buffer
		var err error
		members[how], err = archive.Write(f.Context(), &out, dir, archive.WriteOptions{Top: archive.Top, Compression: how})
		require.NoError(f, err)
		f.Add(out.Bytes(), uint8(i))
	}
	f.Fuzz(func(t *testing.T, data []byte, form uint8) {
		how := forms[int(form)%len(forms)]
		err := archive.Compare(t.Context(), bytes.NewReader(data), how, members[how])
		if err != nil {
			require.ErrorIs(t, err, archive.ErrNotWhatWasPacked)
			return
		}
		files, _, err := unpack(t, bytes.NewReader(data), enough)
		if how != archive.None {
			require.NoError(t, err)
		}
		require.Equal(t, want, files)
		for _, m := range members[how] {
			require.Equal(t, m.SHA256, sha256.Sum256([]byte(files[path.Base(m.Name)])))
		}
	})
}
