package initreorgdb_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
)

// TestReportSaysWhatIsGone: the report says what is lost in an operator's words, and claims
// no more than is known.
func TestReportSaysWhatIsGone(t *testing.T) {
	clitest.InMemory(t)
	for _, test := range []struct {
		name   string
		damage func(data []byte) []byte // of the table
		head   string
		lost   string
	}{
		// Some of the first records, which are anchors, and some in the middle.
		{"blocks and others", func(data []byte) []byte {
			for at := range len(data) {
				if at < 200 || at > 20_000 && at < 21_000 {
					data[at] ^= 1
				}
			}
			return data
		}, "Copied what could be read of ", `lost: \d+ blocks, and \d+ records of unknown kind \(anchors may be among them\)`},
		{"blocks", func(data []byte) []byte {
			data[20_000] ^= 1
			return data
		}, "Copied what could be read of ", `lost: \d+ blocks$`},
		{"cut short", func(data []byte) []byte { return data[:20_000] }, "Copied what could be read of ", `lost: an unknown number of records \(anchors may be among them\)$`},
		{"nothing left", func(data []byte) []byte {
			clear(data)
			return data
		}, "Nothing could be read from ", `lost: an unknown number of records \(anchors may be among them\)$`},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "old")
			reorgtest.Rocks(t, path, "compression=kNoCompression", func(db *grocksdb.DB) {
				for n := range 100 {
					reorgtest.Put(t, db, fmt.Sprintf("anchor:%064x", n), fmt.Sprintf("%064x", n))
				}
				for height := range 1000 {
					reorgtest.Put(t, db, fmt.Sprintf("block:%020d", height), fmt.Sprintf("%064x", height))
				}
				reorgtest.Flush(t, db)
			})
			tables, err := filepath.Glob(filepath.Join(path, "*.sst"))
			require.NoError(t, err)
			require.Len(t, tables, 1)
			data, err := os.ReadFile(tables[0])
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(tables[0], test.damage(data), 0o600))
			code, stdout, stderr := clitest.Run(initreorgdb.Tool(), "--path", path+".new", "--copy-from", path)
			require.Equal(t, exit.Wrong, code)
			require.Regexp(t, "^"+test.head, stdout)
			require.Regexp(t, "(?m)error: .*: not everything could be read; "+test.lost, stderr)
		})
	}
}

// TestCounterIsAboveEveryEvent: the counter is corrected even if it is the only thing wrong
// with the only source, and nothing counts as lost.
func TestCounterIsAboveEveryEvent(t *testing.T) {
	clitest.InMemory(t)
	path := filepath.Join(t.TempDir(), "old")
	reorgtest.Rocks(t, path, "", func(db *grocksdb.DB) {
		for id := range uint64(2) {
			reorgtest.Put(t, db, string(reorgdb.EventKey(id)), fmt.Sprintf("%d|100|a|b|1700000000|0|", id))
		}
		reorgtest.Put(t, db, reorgdb.CounterKey, "1")
	})
	copied := filepath.Join(t.TempDir(), "copy")
	code, stdout, stderr := clitest.Run(initreorgdb.Tool(), "--json", "--path", copied, "--copy-from", path)
	require.Equal(t, exit.OK, code, stderr)
	require.NotContains(t, stdout, `"lost"`)
	require.Equal(t, "2", reorgtest.Records(t, copied)["default/"+reorgdb.CounterKey])
}
