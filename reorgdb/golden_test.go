package reorgdb_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/golden"
	"ailee-recovery/reorgdb"
)

var ctx = context.Background()

// readerLines returns what the nodes' own reader prints for a database.
func readerLines(t *testing.T, name string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(golden.Dir(), "reorg_db", name+".reader.txt"))
	require.NoError(t, err)
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

func openReadOnly(t *testing.T, path string) *reorgdb.DB {
	t.Helper()
	db, err := reorgdb.OpenReadOnly(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// asReader prints an anchor as the nodes' reader does.
func asReader(a reorgdb.Anchor) string {
	return fmt.Sprintf("anchor %s tx=%s h=%d c=%d t=%d r=%d s=%d root=%s",
		a.Hash, a.BitcoinTxID, a.BitcoinHeight, a.Confirmations, a.BroadcastTime, a.RetryCount, a.Status, a.L2StateRoot)
}

// eventAsReader prints an event as the nodes' reader does, which drops the first character of
// every anchor except the first, and has an empty anchor for each missing one.
func eventAsReader(e reorgdb.ReorgEvent) string {
	anchors := append([]string{}, e.InvalidatedAnchors...)
	for i := 1; i < len(anchors); i++ {
		anchors[i] = anchors[i][1:]
	}
	anchors = append(anchors, make([]string, e.Missing)...)
	line := fmt.Sprintf("reorg h=%d old=%s new=%s t=%d n=%d", e.Height, e.OldBlockHash, e.NewBlockHash, e.DetectedAt, len(anchors))
	if len(anchors) > 0 {
		line += " " + strings.Join(anchors, " ")
	}
	return line
}

func anchorsAndEvents(t *testing.T, db *reorgdb.DB) (anchors, events []string) {
	t.Helper()
	for a, err := range db.Anchors(ctx) {
		require.NoError(t, err)
		anchors = append(anchors, asReader(a.Anchor))
	}
	for e, err := range db.Events(ctx) {
		require.NoError(t, err)
		events = append([]string{eventAsReader(e)}, events...) // the newest first
	}
	return anchors, events
}

// TestRecordsAreTheNodes compares every anchor and event with what the nodes'
// reader returns.
func TestRecordsAreTheNodes(t *testing.T) {
	for _, name := range []string{"node-rocksdb-6.11.4", "node-current-reputation-cf"} {
		t.Run(name, func(t *testing.T) {
			var wantAnchors, wantEvents []string
			for _, line := range readerLines(t, name) {
				switch {
				case strings.HasPrefix(line, "anchor "):
					wantAnchors = append(wantAnchors, line)
				case strings.HasPrefix(line, "reorg "):
					wantEvents = append(wantEvents, line)
				}
			}
			require.NotEmpty(t, wantAnchors)
			require.NotEmpty(t, wantEvents)
			anchors, events := anchorsAndEvents(t, openReadOnly(t, golden.Database(t, name)))
			require.Equal(t, wantAnchors, anchors)
			require.Equal(t, wantEvents, events)
		})
	}
}

// TestBlocksAreTheNodes compares the blocks at the heights that the reader was asked for.
func TestBlocksAreTheNodes(t *testing.T) {
	for name, heights := range map[string][]uint64{
		"node-rocksdb-6.11.4":        {838000, 839990, 840000, 840001},
		"node-current-reputation-cf": {850000, 850090, 850099},
	} {
		db := openReadOnly(t, golden.Database(t, name))
		var want []string
		for _, line := range readerLines(t, name) {
			if hash, ok := strings.CutPrefix(line, "block "); ok {
				want = append(want, hash)
			}
		}
		var got []string
		for _, height := range heights {
			hash, ok, err := db.BlockHash(height)
			require.NoError(t, err)
			if !ok {
				hash = "none"
			}
			got = append(got, hash)
		}
		require.Equal(t, want, got)
	}
}

// TestOddRecordsAreTheNodes compares records that a careful reader and a node might read
// differently.
func TestOddRecordsAreTheNodes(t *testing.T) {
	db := openReadOnly(t, golden.Database(t, "node-odd-records"))
	lookUp := regexp.MustCompile(`^get (\S+) => (.*)$`)
	history := false
	var wantEvents []string
	looked := 0
	for _, line := range readerLines(t, "node-odd-records") {
		if get := lookUp.FindStringSubmatch(line); get != nil {
			looked++
			a, ok, err := db.Anchor(get[1])
			if get[2] == "none" {
				require.ErrorIs(t, err, reorgdb.ErrUnreadable, line)
				continue
			}
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, get[2], asReader(a))
		}
		if history {
			wantEvents = append(wantEvents, line)
		}
		history = history || line == "history:"
	}
	require.Greater(t, looked, 10)
	_, events := anchorsAndEvents(t, db)
	require.Equal(t, wantEvents, events)
}

// contents returns every record of every column family.
func contents(t *testing.T, path string) map[string]string {
	t.Helper()
	db, err := reorgdb.OpenReadOnly(path)
	require.NoError(t, err)
	all := map[string]string{}
	for _, family := range db.Families() {
		for r, err := range db.Records(ctx, family) {
			require.NoError(t, err)
			all[family+"/"+string(r.Key)] = string(r.Value)
		}
	}
	require.NoError(t, db.Close())
	require.NotEmpty(t, all)
	return all
}

// files returns the content of every file in a folder.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	all := map[string]string{}
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		require.NoError(t, err)
		all[entry.Name()] = string(data)
	}
	return all
}

func TestReadingChangesNothing(t *testing.T) {
	for _, name := range golden.Databases {
		path := golden.Database(t, name)
		before := files(t, path)
		contents(t, path)
		require.Equal(t, before, files(t, path))
	}
}

// TestWritingKeepsWhatIsUnknown opens every database for writing, writes to it, and reads it
// back: only the written record has changed, and a RocksDB of 2020 can read all new files.
func TestWritingKeepsWhatIsUnknown(t *testing.T) {
	for _, name := range golden.Databases {
		t.Run(name, func(t *testing.T) {
			path := golden.Database(t, name)
			want, before := contents(t, path), files(t, path)
			db, err := reorgdb.Open(path)
			require.NoError(t, err)
			hash := strings.Repeat("ab", 32)
			anchor := reorgdb.Anchor{Hash: hash, BitcoinTxID: hash, BroadcastTime: 1, L2StateRoot: "root"}
			update(t, db, func(u *reorgdb.Update) { require.NoError(t, u.Anchor(anchor)) })
			require.NoError(t, db.Sync())
			require.NoError(t, db.Close())
			want["default/anchor:"+hash] = hash + "|" + hash + "|0|0|1|0|0|root"
			require.Equal(t, want, contents(t, path))
			requireOldTables(t, path, before)
			// A compaction rewrites the tables that were there before.
			db, err = reorgdb.Open(path)
			require.NoError(t, err)
			db.Compact()
			require.NoError(t, db.Close())
			require.Equal(t, want, contents(t, path))
			requireOldTables(t, path, nil)
		})
	}
}

func TestCreateHasOnlyTheDefaultFamily(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db, err := reorgdb.Create(path)
	require.NoError(t, err)
	require.Equal(t, []string{"default"}, db.Families())
	require.NoError(t, db.Close())
	_, err = reorgdb.Create(path)
	require.Error(t, err)
}

func TestNewerDatabaseIsNamed(t *testing.T) {
	path := golden.Database(t, "node-rocksdb-6.11.4")
	makeNewer(t, filepath.Join(path, "000004.sst"))
	_, err := reorgdb.OpenReadOnly(path)
	var tooNew *reorgdb.TooNewError
	require.ErrorAs(t, err, &tooNew)
	require.False(t, errors.Is(err, reorgdb.ErrCorrupt))
	require.Equal(t, reorgdb.NewestFormat()+1, tooNew.Format)
	require.ErrorContains(t, err, fmt.Sprintf("this build reads up to version %d", reorgdb.NewestFormat()))
}

// makeNewer gives a table a footer like RocksDB 9 and later write it: other fields follow the
// checksum type, starting with a magic number. The RocksDB linked here does not know the format
// version.
func makeNewer(t *testing.T, table string) {
	t.Helper()
	data, err := os.ReadFile(table)
	require.NoError(t, err)
	footer := data[len(data)-footerSize:]
	copy(footer[1:], "\x3e\x00\x7a\x00")
	footer[41] = byte(reorgdb.NewestFormat() + 1)
	require.NoError(t, os.WriteFile(table, data, 0o600))
}
