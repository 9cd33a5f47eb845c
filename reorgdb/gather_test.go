package reorgdb_test

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/reorgdb"
)

func TestIsBlockHash(t *testing.T) {
	for c := range 256 {
		for i := range 8 {
			text := bytes.Repeat([]byte("0af9"), 16)
			text[8+i] = byte(c)
			require.Equal(t, bytes.IndexByte([]byte("0123456789abcdef"), byte(c)) >= 0, reorgdb.IsBlockHash(text), "%q", text)
		}
	}
	require.False(t, reorgdb.IsBlockHash([]byte("00")))
	require.False(t, reorgdb.IsBlockHash(bytes.Repeat([]byte("0"), 65)))
}

// TestRowsEnd: a range of blocks ends at a record that is not a block with a valid hash, and at
// the highest possible height.
func TestRowsEnd(t *testing.T) {
	hash := strings.Repeat("a", 64)
	path := filepath.Join(t.TempDir(), "db")
	db, err := reorgdb.Create(path)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(u *reorgdb.Update) error {
		put := func(key, value string) { require.NoError(t, u.Put(reorgdb.DefaultFamily, []byte(key), []byte(value))) }
		for _, height := range []uint64{0, 1, 8, 9, 10, 11, 98, 99, 100, 101, 102, 200, math.MaxUint64 - 1, math.MaxUint64} {
			put(string(reorgdb.BlockKey(height)), hash)
		}
		put(string(reorgdb.BlockKey(10)), "no hash")
		put(string(reorgdb.BlockKey(100))+"x", hash)
		put("block:18446744073709551616", hash)
		put("anchor:x", hash)
		return nil
	}))
	require.NoError(t, db.Close())
	db = openReadOnly(t, path)
	var rows []string
	for r, err := range db.Rows(ctx) {
		require.NoError(t, err)
		if r.Key == nil {
			rows = append(rows, fmt.Sprintf("%d to %d", r.First, r.Last))
		} else {
			rows = append(rows, string(r.Key))
		}
	}
	require.Equal(t, []string{"anchor:x", "0 to 1", "8 to 9", "block:00000000000000000010", "11 to 11", "98 to 100", "block:00000000000000000100x", "101 to 102", "200 to 200",
		"18446744073709551614 to 18446744073709551615", "block:18446744073709551616"}, rows)
	n, err := db.Count(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 17, n)
}
