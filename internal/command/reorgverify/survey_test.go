package reorgverify

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIsHash(t *testing.T) {
	for c := range 256 {
		for i := range 8 {
			text := bytes.Repeat([]byte("0af9"), 16)
			text[8+i] = byte(c)
			require.Equal(t, bytes.IndexByte([]byte("0123456789abcdef"), byte(c)) >= 0, isHash(text), "%q", text)
		}
	}
	require.False(t, isHash([]byte("00")))
	require.False(t, isHash(bytes.Repeat([]byte("0"), 65)))
}
