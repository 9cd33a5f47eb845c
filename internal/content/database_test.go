package content_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/content"
	"ailee-recovery/internal/golden"
	"ailee-recovery/reorgdb"
)

func readDatabase(t *testing.T, path string) *content.Database {
	t.Helper()
	d, err := content.ReadDatabase(t.Context(), path, content.DatabaseOptions{Now: now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

// made makes a database and fills it.
func made(t *testing.T, fill func(u *reorgdb.Update) error) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "reorg_db")
	db, err := reorgdb.Create(path)
	require.NoError(t, err)
	require.NoError(t, db.Update(fill))
	require.NoError(t, db.Close())
	return path
}

func anchorOf(n int, status reorgdb.AnchorStatus) reorgdb.Anchor {
	hash := fmt.Sprintf("%064x", n)
	return reorgdb.Anchor{Hash: hash, BitcoinTxID: hash, BitcoinHeight: uint64(n), BroadcastTime: uint64(n) * 1000, Status: status, L2StateRoot: hash}
}

// blocks writes a block at each height in [from, to].
func blocks(t *testing.T, u *reorgdb.Update, from, to uint64, fork byte) error {
	for h := from; h <= to; h++ {
		if _, _, err := u.Block(t.Context(), reorgdb.Block{Height: h, Hash: fmt.Sprintf("%062x%02x", h, fork)}, 1000+h); err != nil {
			return err
		}
	}
	return nil
}

// TestGoldenDatabases: databases that nodes wrote have the same content when they are read
// through RocksDB and when they are salvaged record by record.
func TestGoldenDatabases(t *testing.T) {
	for _, name := range golden.Databases {
		path := golden.Database(t, name)
		d := readDatabase(t, path)
		require.True(t, d.Sound(), name)
		require.Positive(t, d.Blocks+d.AnchorCount)
		n := int64(0)
		for _, err := range d.AnchorRecords() {
			require.NoError(t, err)
			n++
		}
		require.Equal(t, d.AnchorCount, n)
		// Without its CURRENT it is read from the files, and has the same content.
		require.NoError(t, os.Remove(filepath.Join(path, "CURRENT")))
		salvaged := readDatabase(t, path)
		require.Error(t, salvaged.Unopened)
		require.False(t, salvaged.Sound())
		require.Equal(t, d.SHA256, salvaged.SHA256, name)
		diff, err := content.CompareDatabases(t.Context(), d, salvaged)
		require.NoError(t, err)
		require.True(t, diff.Equal && diff.Contains())
	}
}

// TestCompareDatabases: databases are compared by their content.
func TestCompareDatabases(t *testing.T) {
	whole := func(u *reorgdb.Update) error {
		for n := 1; n <= 5; n++ {
			if err := u.Anchor(anchorOf(n, reorgdb.Confirmed)); err != nil {
				return err
			}
		}
		return blocks(t, u, 100, 110, 0)
	}
	reorged := func(u *reorgdb.Update) error {
		if err := whole(u); err != nil {
			return err
		}
		return u.Put(reorgdb.DefaultFamily, reorgdb.EventKey(0), []byte("105|a|b|1105|0"))
	}
	a, b := readDatabase(t, made(t, whole)), readDatabase(t, made(t, whole))
	require.Equal(t, a.SHA256, b.SHA256)
	require.EqualValues(t, []int64{11, 5, 0}, []int64{a.Blocks, a.AnchorCount, a.Events})
	require.EqualValues(t, []uint64{100, 110, 0}, []uint64{a.Lowest, a.Tip, a.Gaps})

	fewer := readDatabase(t, made(t, func(u *reorgdb.Update) error {
		if err := u.Anchor(anchorOf(2, reorgdb.Pending)); err != nil { // a different status does not count
			return err
		}
		if err := u.Anchor(anchorOf(9, reorgdb.Pending)); err != nil {
			return err
		}
		if err := blocks(t, u, 98, 101, 0); err != nil {
			return err
		}
		return blocks(t, u, 105, 112, 0)
	}))
	require.EqualValues(t, 3, fewer.Gaps)
	d, err := content.CompareDatabases(t.Context(), a, fewer)
	require.NoError(t, err)
	require.False(t, d.Contains())
	require.EqualValues(t, 4, d.AnchorsA.Count)
	require.EqualValues(t, 4, d.AnchorsA.ByStatus[reorgdb.Confirmed])
	require.Equal(t, []string{anchorOf(1, 0).Hash, anchorOf(5, 0).Hash}, []string{d.AnchorsA.First, d.AnchorsA.Last})
	require.EqualValues(t, 1, d.AnchorsB.Count)
	require.EqualValues(t, []uint64{3, 4}, []uint64{d.BlocksA, d.BlocksB})

	withEvent := readDatabase(t, made(t, reorged))
	require.False(t, withEvent.CounterSound) // the next event would overwrite it
	d, err = content.CompareDatabases(t.Context(), withEvent, a)
	require.NoError(t, err)
	require.EqualValues(t, 1, d.EventsA.Count)
	require.False(t, d.Contains())
	// With a different id it is still the same event.
	moved := readDatabase(t, made(t, func(u *reorgdb.Update) error {
		if err := whole(u); err != nil {
			return err
		}
		if err := u.Put(reorgdb.DefaultFamily, []byte(reorgdb.CounterKey), []byte("8")); err != nil {
			return err
		}
		return u.Put(reorgdb.DefaultFamily, reorgdb.EventKey(7), []byte("105|a|b|1105|0"))
	}))
	d, err = content.CompareDatabases(t.Context(), withEvent, moved)
	require.NoError(t, err)
	require.True(t, d.Contains())
	d, err = content.CompareDatabases(t.Context(), moved, withEvent)
	require.NoError(t, err)
	require.False(t, d.Contains(), "the counter is lower")
}

// TestRecordsAreSaved: saved records compare like the database.
func TestRecordsAreSaved(t *testing.T) {
	d := readDatabase(t, made(t, func(u *reorgdb.Update) error {
		odd := anchorOf(3, reorgdb.FailedOrphaned)
		odd.Hash = "an \"odd\" hash\n"[:13]
		for _, a := range []reorgdb.Anchor{anchorOf(1, reorgdb.Confirmed), anchorOf(2, reorgdb.Pending), odd} {
			if err := u.Anchor(a); err != nil {
				return err
			}
		}
		return u.Put(reorgdb.DefaultFamily, reorgdb.EventKey(0), []byte("105|a|b|1105|0"))
	}))
	var saved bytes.Buffer
	require.NoError(t, d.SaveRecords(&saved))
	known, err := content.LoadRecords(t.Context(), bytes.NewReader(saved.Bytes()), "")
	require.NoError(t, err)
	defer known.Close()
	require.Equal(t, d.SHA256, known.SHA256)
	require.Equal(t, d.Anchors, known.Anchors)
	diff, err := content.CompareDatabases(t.Context(), d, known)
	require.NoError(t, err)
	require.Zero(t, diff.AnchorsA.Count+diff.AnchorsB.Count+diff.EventsA.Count+diff.EventsB.Count)
	// Wherever they are cut off, they are refused.
	for n := 0; n < saved.Len(); n += 7 {
		_, err := content.LoadRecords(t.Context(), bytes.NewReader(saved.Bytes()[:n]), "")
		require.ErrorIs(t, err, content.ErrRecords, n)
	}
}

// TestDamagedDatabase: damage is found, and the rest can still be read.
func TestDamagedDatabase(t *testing.T) {
	path := golden.Database(t, "node-rocksdb-7.8.3-reopened")
	before := readDatabase(t, path)
	tables, err := filepath.Glob(filepath.Join(path, "*.sst"))
	require.NoError(t, err)
	require.NotEmpty(t, tables)
	data, err := os.ReadFile(tables[0])
	require.NoError(t, err)
	data[len(data)/3] ^= 1
	require.NoError(t, os.WriteFile(tables[0], data, 0o600))
	d := readDatabase(t, path)
	require.True(t, d.Lossy())
	require.False(t, d.Sound())
	require.Less(t, d.Records, before.Records)

	_, err = content.ReadDatabase(t.Context(), t.TempDir(), content.DatabaseOptions{})
	require.ErrorIs(t, err, reorgdb.ErrNoDatabase)
	_, err = content.ReadDatabase(t.Context(), "/nowhere", content.DatabaseOptions{})
	require.ErrorIs(t, err, os.ErrNotExist)
}
