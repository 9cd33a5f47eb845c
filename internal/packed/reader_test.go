package packed_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/input"
	"ailee-recovery/internal/packed"
)

// TestNewReader: a sound file is read whatever it was compressed with; too little memory is not
// taken for damage, nor damage for too little memory.
func TestNewReader(t *testing.T) {
	text := bytes.Repeat([]byte("SNAPSHOT "), 100_000)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := z.Write(text)
	require.NoError(t, errors.Join(err, z.Close()))
	zstded := func(window int) []byte {
		z, err := zstd.NewWriter(nil, zstd.WithWindowSize(window))
		require.NoError(t, err)
		var b bytes.Buffer
		z.Reset(&b)
		for range 2 { // with a flush, the size of the content is not known in advance
			_, err = z.Write(text[:len(text)/2])
			require.NoError(t, errors.Join(err, z.Flush()))
		}
		require.NoError(t, z.Close())
		return b.Bytes()
	}
	const magic = "\x28\xb5\x2f\xfd"
	block := func(size int) string {
		return string(binary.LittleEndian.AppendUint32(nil, uint32(size)<<3|1<<1|1)[:3]) + "S"
	} // of one byte, repeated
	sized := func(size int64) string {
		return magic + "\xe0" + string(binary.LittleEndian.AppendUint64(nil, uint64(size)))
	} // a frame of one segment
	var memory *input.MemoryError
	for name, c := range map[string]struct {
		data   string
		want   []byte // nil for an error
		memory bool
	}{
		"gzip":                                {data: zipped.String(), want: text},
		"two members":                         {data: zipped.String() + zipped.String(), want: append(bytes.Clone(text), text...)},
		"gzip, cut off":                       {data: zipped.String()[:zipped.Len()/2]},
		"gzip, no header":                     {data: "\x1f\x8bjunk"},
		"zstd":                                {data: string(zstded(8 << 20)), want: text},
		"two frames":                          {data: string(zstded(1<<20)) + string(zstded(8<<20)), want: append(bytes.Clone(text), text...)},
		"zstd --long":                         {data: string(zstded(128 << 20)), want: text},
		"a larger window":                     {data: string(zstded(256 << 20)), memory: true},
		"a larger window in the second frame": {data: string(zstded(1<<20)) + string(zstded(256<<20)), memory: true},
		"the largest window":                  {data: magic + "\x00\xff" + block(1), memory: true},
		"one segment":                         {data: sized(3) + block(3), want: []byte("SSS")},
		"one segment that is too large":       {data: sized(1<<33) + block(3), memory: true},
		"a block larger than its window":      {data: sized(2048) + block(2049)},
		"zstd, cut off":                       {data: string(zstded(8 << 20)[:40])},
		"zstd, no header":                     {data: magic + "junk"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := packed.NewReader(input.FormatOf([]byte(c.data)), bytes.NewBufferString(c.data))
			var got []byte
			if err == nil {
				got, err = io.ReadAll(r)
				_ = r.Close() // that of gzip repeats the error
			}
			if c.want != nil {
				require.NoError(t, err)
				require.True(t, bytes.Equal(c.want, got))
				return
			}
			require.Error(t, err)
			require.Equal(t, c.memory, errors.As(err, &memory), "%v", err)
		})
	}
	xz := input.FormatOf([]byte("\xfd7zXZ\x00"))
	require.False(t, xz.Readable())
	_, err = packed.NewReader(xz, bytes.NewReader(nil))
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.Nil(t, input.FormatNamed("tar"))
}
