package packed_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/packed"
)

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := io.WriteString(z, text)
	require.NoError(t, errors.Join(err, z.Close()))
	return b.String()
}

func zstded(t testing.TB, text string) string {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	return string(z.EncodeAll([]byte(text), nil))
}

func tarred(t testing.TB, texts ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o700}))
	for _, text := range texts {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: "./f", Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(text))}))
		_, err := io.WriteString(w, text)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.String()
}

// unpack unpacks data, from a file and from a stream, and returns what came out.
func unpack(t *testing.T, data string) (got string, form packed.Form, err error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f.gz") // the name says nothing
	require.NoError(t, os.WriteFile(path, []byte(data), 0o600))
	from, err := os.Open(path)
	require.NoError(t, err)
	defer from.Close()
	to, err := os.Create(path + ".unpacked")
	require.NoError(t, err)
	defer to.Close()
	form, err = packed.FormOf(from)
	require.NoError(t, err)
	err = packed.Unpack(t.Context(), to, from)
	file, readErr := os.ReadFile(to.Name())
	require.NoError(t, readErr)
	var stream bytes.Buffer
	streamErr := packed.UnpackFrom(t.Context(), &stream, strings.NewReader(data), int64(len(data)))
	require.Equal(t, err, streamErr)
	require.Equal(t, string(file), stream.String())
	return stream.String(), form, err
}

// TestUnpack: a file of any form is unpacked, by its first bytes and not by its name.
func TestUnpack(t *testing.T) {
	text := strings.Repeat("SNAPSHOT v1\ntimestamp_ms 1\nEND_SNAPSHOT\n", 100)
	for name, c := range map[string]struct {
		data string
		form packed.Form
	}{
		"plain":        {text, packed.Plain},
		"gzip":         {gzipped(t, text), packed.Gzip},
		"zstd":         {zstded(t, text), packed.Zstd},
		"tar":          {tarred(t, text), packed.Tar},
		"tar in gzip":  {gzipped(t, tarred(t, text)), packed.Gzip},
		"zstd in gzip": {gzipped(t, zstded(t, text)), packed.Gzip},
	} {
		t.Run(name, func(t *testing.T) {
			got, form, err := unpack(t, c.data)
			require.NoError(t, err)
			require.Equal(t, c.form, form)
			require.Equal(t, text, got)
			if c.form == packed.Plain {
				return
			}
			// Cut off anywhere, it is wrong, and what comes before that is written.
			var damaged *packed.DamagedError
			for _, cut := range []int{len(c.data) / 2, len(c.data) - 600, len(c.data) - 9, len(c.data) - 1} {
				if cut < 9 || c.form == packed.Tar && cut > len(text) {
					continue // the blocks of zeros after the last file may be missing
				}
				got, _, err := unpack(t, c.data[:cut])
				require.ErrorAs(t, err, &damaged, "%d of %d", cut, len(c.data))
				require.True(t, strings.HasPrefix(text, got))
			}
		})
	}
	got, _, err := unpack(t, tarred(t, text, text))
	require.ErrorContains(t, err, "it does not hold exactly one file")
	require.Equal(t, text, got)
	_, _, err = unpack(t, tarred(t))
	require.ErrorContains(t, err, "it does not hold exactly one file")
}

// TestUnpackShort: what comes before the damage counts, however little it is.
func TestUnpackShort(t *testing.T) {
	text := "SNAPSHOT v1\ntimestamp_ms 1\nEND_SNAPSHOT\n"
	data := gzipped(t, text)
	got, _, err := unpack(t, data[:len(data)-1]) // a byte of its length at the end is missing
	var damaged *packed.DamagedError
	require.ErrorAs(t, err, &damaged)
	require.ErrorContains(t, err, "ends after")
	require.Equal(t, text, got)
}

// TestNoTar: the magic of an archive in a snapshot file, such as in an id, does not make it one.
func TestNoTar(t *testing.T) {
	text := "SNAPSHOT v1\n" + strings.Repeat("x", 245) + "ustar\x0000\n" + strings.Repeat("y", 1000)
	got, form, err := unpack(t, text)
	require.NoError(t, err)
	require.Equal(t, packed.Plain, form)
	require.Equal(t, text, got)
}
