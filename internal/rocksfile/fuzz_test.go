package rocksfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/rocksfile"
)

// seed adds the files of the test databases with matching names, and fails if there are none.
func seed(f *testing.F, match func(name string) bool, add func(data []byte)) {
	n := 0
	for _, db := range databases(f) {
		for _, name := range slices.Sorted(maps.Keys(db.files)) {
			if data := db.files[name]; match(name) && len(data) > 0 && len(data) < 100<<10 {
				add(data)
				n++
			}
		}
	}
	require.Positive(f, n, "no seeds")
}

func extension(ext string) func(string) bool {
	return func(name string) bool { return filepath.Ext(name) == ext }
}

// bounded runs f, and fails if it allocates much more memory than the size of its input.
func bounded(t *testing.T, input int, f func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	const perByte, fixed = 2000, 64 << 20
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(input)*perByte+fixed)
}

func FuzzLog(f *testing.F) {
	seed(f, extension(".log"), func(data []byte) { f.Add(data, uint64(13)) })
	f.Fuzz(func(t *testing.T, data []byte, number uint64) {
		bounded(t, len(data), func() {
			end := int64(0)
			readLog(data, number, func(off int64, record []byte) {
				require.GreaterOrEqual(t, off, end)
				end = off
				require.LessOrEqual(t, len(record), len(data))
			}, func(d rocksfile.Damage) {
				require.GreaterOrEqual(t, d.Offset, end)
				require.Positive(t, d.Length)
				end = d.Offset + d.Length
				require.LessOrEqual(t, end, int64(len(data)))
			})
		})
	})
}

func FuzzBatch(f *testing.F) {
	seed(f, extension(".log"), func(data []byte) {
		readLog(data, 0, func(_ int64, record []byte) { f.Add(bytes.Clone(record)) }, func(rocksfile.Damage) {})
	})
	f.Fuzz(func(t *testing.T, data []byte) {
		bounded(t, len(data), func() {
			_, entries, err := rocksfile.DecodeBatch(data)
			size := 0
			for _, e := range entries {
				size += len(e.Key) + len(e.Value)
			}
			require.LessOrEqual(t, size, len(data))
			require.True(t, err == nil || entries == nil)
		})
	})
}

// FuzzManifest: the fuzzer cannot make valid checksums. It also gets the edits alone, and the
// log around them is added here.
func FuzzManifest(f *testing.F) {
	seed(f, func(name string) bool { return strings.HasPrefix(name, "MANIFEST-") }, func(data []byte) {
		f.Add(data)
		readLog(data, 0, func(_ int64, record []byte) { f.Add(bytes.Clone(record)) }, func(rocksfile.Damage) {})
	})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, file := range [][]byte{data, asLog(data)} {
			bounded(t, len(data), func() {
				m, _ := decodeManifest(file)
				require.LessOrEqual(t, len(m.Tables), len(data))
			})
		}
	})
}

func FuzzTable(f *testing.F) {
	seed(f, extension(".sst"), func(data []byte) { f.Add(data, false) })
	f.Fuzz(func(t *testing.T, data []byte, block bool) {
		if block {
			data = asTable(data)
		}
		bounded(t, len(data), func() {
			_, _ = rocksfile.ReadTable(data, func(rocksfile.Entry) {})
		})
	})
}

// FuzzBlock: reading a block without RocksDB gives the records that it has.
func FuzzBlock(f *testing.F) {
	seed(f, extension(".sst"), func(data []byte) {
		for _, block := range rocksfile.DataBlocks(data) {
			f.Add(block)
		}
	})
	f.Fuzz(func(t *testing.T, block []byte) {
		var got, want []string
		bounded(t, len(block), func() {
			err := rocksfile.ReadBlock(block, func(key, value []byte) error {
				got = append(got, fmt.Sprintf("%q %q", key, value))
				return nil
			})
			if err != nil {
				require.True(t, errors.Is(err, rocksfile.ErrAskRocksDB) || errors.Is(err, rocksfile.ErrUnsupported), "%v", err)
				return
			}
			last, any := "", false
			require.NoError(t, rocksfile.EachEntry(block, func(internal, value []byte) error {
				key, kind := string(internal[:len(internal)-8]), rocksfile.Kind(internal[len(internal)-8])
				if (!any || key != last) && kind == rocksfile.KindPut {
					want = append(want, fmt.Sprintf("%q %q", key, value))
				}
				last, any = key, true
				return nil
			}))
			require.Equal(t, want, got)
		})
	})
}
