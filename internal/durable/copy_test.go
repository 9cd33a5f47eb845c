package durable_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/durable"
)

// patterned writes a file of n bytes that is not periodic.
func patterned(t *testing.T, n int) (*os.File, []byte) {
	t.Helper()
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i ^ i>>8 ^ i>>16)
	}
	path := filepath.Join(t.TempDir(), "src")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	f, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f, data
}

// TestCopyRange copies in the kernel, and through user space to a file that is open for
// appending, to which the kernel refuses to copy.
func TestCopyRange(t *testing.T) {
	src, data := patterned(t, 3<<20)
	for name, flags := range map[string]int{"in the kernel": os.O_RDWR | os.O_CREATE, "through user space": os.O_RDWR | os.O_CREATE | os.O_APPEND} {
		t.Run(name, func(t *testing.T) {
			for _, r := range [][2]int{{0, 0}, {0, len(data)}, {1, 1}, {5, 1<<20 + 3}, {len(data) - 1, 1}, {len(data), 0}} {
				path := filepath.Join(t.TempDir(), "dst")
				require.NoError(t, os.WriteFile(path, []byte("before"), 0o600))
				dst, err := os.OpenFile(path, flags, 0o600)
				require.NoError(t, err)
				_, err = dst.Seek(6, 0)
				require.NoError(t, err)
				copied := int64(0)
				require.NoError(t, durable.CopyRange(t.Context(), dst, src, int64(r[0]), int64(r[1]), func(n int64) { copied += n }))
				require.EqualValues(t, r[1], copied)
				// The next write goes after the copy.
				_, err = dst.WriteString("after")
				require.NoError(t, err)
				require.NoError(t, dst.Close())
				got, err := os.ReadFile(path)
				require.NoError(t, err)
				want := append(append([]byte("before"), data[r[0]:r[0]+r[1]]...), "after"...)
				require.True(t, bytes.Equal(want, got), "%v", r)
			}
			dst, err := os.OpenFile(filepath.Join(t.TempDir(), "dst"), flags, 0o600)
			require.NoError(t, err)
			defer dst.Close()
			err = durable.CopyRange(t.Context(), dst, src, int64(len(data))-10, 11, func(int64) {})
			require.ErrorIs(t, err, durable.ErrShort)
			require.ErrorContains(t, err, src.Name()+" at byte ")
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			require.ErrorIs(t, durable.CopyRange(ctx, dst, src, 0, 1, func(int64) {}), context.Canceled)
		})
	}
	// A write error is not reported as a short source.
	closed, err := os.Create(filepath.Join(t.TempDir(), "dst"))
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	err = durable.CopyRange(t.Context(), closed, src, 0, 1, func(int64) {})
	require.ErrorIs(t, err, os.ErrClosed)
}
