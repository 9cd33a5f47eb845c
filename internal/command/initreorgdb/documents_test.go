package initreorgdb_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
)

// TestDocumentsOfLostEvents damages, block by block, a table with many reorg events and the
// counter as its last record.
func TestDocumentsOfLostEvents(t *testing.T) {
	clitest.InMemory(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "reorg_db")
	for _, hash := range []string{"a", "b"} {
		db, err := reorgdb.Create(path)
		if err != nil {
			db, err = reorgdb.Open(path)
		}
		require.NoError(t, err)
		require.NoError(t, db.Update(func(u *reorgdb.Update) error {
			for height := range uint64(200) {
				_, _, err := u.Block(t.Context(), reorgdb.Block{Height: height, Hash: strings.Repeat(hash, 64)}, 0)
				require.NoError(t, err)
			}
			return nil
		}))
		require.NoError(t, db.Close())
	}
	clitest.RunTool(t, exit.OK, initreorgdb.Tool(), "--path", filepath.Join(dir, "copy"), "--copy-from", path)
	tables, err := filepath.Glob(filepath.Join(dir, "copy", "*.sst"))
	require.NoError(t, err)
	require.Len(t, tables, 1)
	whole := []byte(clitest.Read(t, tables[0]))
	lost := map[string]bool{}
	for at := len(whole) - 1; at > 0; at -= 100 {
		damaged := slices.Clone(whole)
		damaged[at] ^= 1
		require.NoError(t, os.WriteFile(tables[0], damaged, 0o600))
		_, stdout, _ := clitest.Run(initreorgdb.Tool(), "--json", "--path", filepath.Join(t.TempDir(), "new"), "--copy-from", filepath.Join(dir, "copy"))
		var doc struct{ Lost map[string]int }
		require.NoError(t, json.Unmarshal([]byte(stdout), &doc))
		for kind := range doc.Lost {
			lost[kind] = true
		}
	}
	require.Subset(t, slices.Collect(maps.Keys(lost)), []string{"block", "reorg", "counter"})
}
