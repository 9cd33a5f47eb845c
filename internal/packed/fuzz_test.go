package packed_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/packed"
)

// errFull says that more is unpacked than the fuzz target wants.
var errFull = errors.New("enough")

// small takes a limited number of bytes.
type small struct{ bytes.Buffer }

func (s *small) Write(p []byte) (int, error) {
	if s.Len()+len(p) > 1<<20 {
		return 0, errFull
	}
	return s.Buffer.Write(p)
}

// FuzzUnpack: any file yields the same whether it is compressed once more or not, and an error
// either way or neither.
func FuzzUnpack(f *testing.F) {
	text := "SNAPSHOT v1\ntimestamp_ms 1\nEND_SNAPSHOT\n"
	for _, data := range []string{text, gzipped(f, text), zstded(f, text), tarred(f, text), tarred(f, text, text), gzipped(f, tarred(f, text)), zstded(f, gzipped(f, text)), gzipped(f, text)[:30]} {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var once, twice small
		err := packed.UnpackFrom(t.Context(), &once, bytes.NewReader(data), int64(len(data)))
		again := gzipped(t, string(data))
		errAgain := packed.UnpackFrom(t.Context(), &twice, strings.NewReader(again), int64(len(again)))
		require.Equal(t, err == nil, errAgain == nil, "%v, %v", err, errAgain)
		if !errors.Is(err, errFull) {
			require.Equal(t, once.Bytes(), twice.Bytes())
		}
	})
}
