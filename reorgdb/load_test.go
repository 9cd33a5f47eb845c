package reorgdb_test

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/reorgdb"
)

// newDatabase makes a database with another column family.
func newDatabase(t *testing.T) *reorgdb.DB {
	t.Helper()
	db, err := reorgdb.Create(filepath.Join(t.TempDir(), "db"), "other")
	require.NoError(t, err)
	t.Cleanup(func() {
		if db != nil {
			require.NoError(t, db.Close())
		}
	})
	return db
}

// records returns the records of a column family, by key.
func records(t *testing.T, db *reorgdb.DB, family string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for r, err := range db.Records(ctx, family) {
		require.NoError(t, err)
		all[string(r.Key)] = string(r.Value)
	}
	return all
}

func pairs(all []string) iter.Seq2[reorgdb.Record, error] {
	return func(yield func(reorgdb.Record, error) bool) {
		for i := 0; i < len(all); i += 2 {
			// The bytes are only valid until the next record.
			r := reorgdb.Record{Key: []byte(all[i]), Value: []byte(all[i+1])}
			more := yield(r, nil)
			clear(r.Key)
			clear(r.Value)
			if !more {
				return
			}
		}
	}
}

// TestBulkLoadTakesEveryOrder: for each key the last record counts, even if others were stored
// before.
func TestBulkLoadTakesEveryOrder(t *testing.T) {
	clitest.InMemory(t)
	smallParts(t)
	rng := rand.New(rand.NewSource(1))
	key := func(i int) string { return fmt.Sprintf("key%05d", i) }
	orders := map[string]func(i int) string{
		"ascending":               key,
		"descending":              func(i int) string { return key(5000 - i) },
		"at random":               func(int) string { return key(rng.Intn(1000)) },
		"ascending, then again":   func(i int) string { return key(i % 700) },
		"ascending until the end": func(i int) string { return key(i - i/999*500) },
		"one key":                 func(int) string { return key(1) },
	}
	for _, name := range slices.Sorted(maps.Keys(orders)) {
		for _, family := range []string{reorgdb.DefaultFamily, "other"} {
			t.Run(name+"/"+family, func(t *testing.T) {
				db := newDatabase(t)
				want := map[string]string{}
				for range 2 {
					all := []string{}
					if name == "ascending" {
						all = append(all, "", "the value of the empty key")
					}
					for i := range 1000 {
						value := string(bytes.Repeat([]byte{byte('a' + rng.Intn(26))}, rng.Intn(300)))
						if rng.Intn(300) == 0 {
							value = string(bytes.Repeat([]byte{'l'}, 100<<10))
						}
						all = append(all, orders[name](i), value)
					}
					for i := 0; i < len(all); i += 2 {
						want[all[i]] = all[i+1]
					}
					require.NoError(t, db.BulkLoad(family, pairs(all)))
					require.Equal(t, want, records(t, db, family))
				}
				require.NoError(t, db.Sync())
				requireOldTables(t, db.Path(), nil)
				requireNoLeftover(t, db.Path())
				read := openReadOnly(t, db.Path())
				require.Equal(t, want, records(t, read, family))
			})
		}
	}
}

func requireNoLeftover(t *testing.T, path string) {
	t.Helper()
	leftover, err := filepath.Glob(filepath.Join(path, "*.dbtmp"))
	require.NoError(t, err)
	require.Empty(t, leftover)
}

// TestBulkLoadEndsWithAnError of reading or of the disk, and leaves nothing behind.
func TestBulkLoadEndsWithAnError(t *testing.T) {
	clitest.InMemory(t)
	errTest := errors.New("a test")
	for _, n := range []int{0, 1, 10, 100_000} {
		db := newDatabase(t)
		require.ErrorIs(t, db.BulkLoad(reorgdb.DefaultFamily, func(yield func(reorgdb.Record, error) bool) {
			for i := range n {
				if !yield(reorgdb.Record{Key: fmt.Appendf(nil, "%06d", i), Value: make([]byte, 100)}, nil) {
					return
				}
			}
			yield(reorgdb.Record{}, errTest)
		}), errTest)
		requireNoLeftover(t, db.Path())
		require.Empty(t, records(t, db, reorgdb.DefaultFamily))
	}
	// The name of the table is taken.
	db := newDatabase(t)
	for n := range 2 {
		require.Error(t, db.BulkLoad(reorgdb.DefaultFamily, func(yield func(reorgdb.Record, error) bool) {
			blocked := filepath.Join(db.Path(), "000000.dbtmp")
			require.NoError(t, os.MkdirAll(filepath.Join(blocked, "x"), 0o700))
			for i := range 1 + n*100_000 {
				if !yield(reorgdb.Record{Key: fmt.Appendf(nil, "%06d", i), Value: make([]byte, 100)}, nil) {
					break
				}
			}
		}))
		require.NoError(t, os.RemoveAll(filepath.Join(db.Path(), "000000.dbtmp")))
	}
	require.Empty(t, records(t, db, reorgdb.DefaultFamily))
}

// requireCopied copies a database, and compares the copy with what RocksDB's iterator shows of
// the database, or the error with the error of the iterator.
func requireCopied(t *testing.T, path, what string) {
	t.Helper()
	from, err := reorgdb.OpenReadOnly(path)
	if err != nil {
		return
	}
	defer func() { require.NoError(t, from.Close()) }()
	dir := filepath.Join(t.TempDir(), "copy")
	to, err := reorgdb.Create(dir, from.Families()...)
	require.NoError(t, err)
	var seen []string
	var copied error
	for _, family := range from.Families() {
		if copied == nil {
			copied = to.CopyFamily(ctx, from, family, func(r reorgdb.Row) {
				if r.Key != nil {
					seen = append(seen, fmt.Sprintf("%s %X", family, r.Key))
					return
				}
				for height := r.First; height-r.First <= r.Last-r.First; height++ {
					seen = append(seen, fmt.Sprintf("%s %X", family, reorgdb.BlockKey(height)))
				}
			})
		}
	}
	require.NoError(t, to.Sync())
	require.NoError(t, to.Close())
	requireNoLeftover(t, dir)
	want, wantErr := read(from, func(family string) iter.Seq2[reorgdb.Record, error] { return from.RocksRecords(ctx, family) })
	if wantErr != nil {
		require.ErrorContains(t, copied, wantErr.Error(), what)
		return
	}
	require.NoError(t, copied, what)
	if len(want) > 0 {
		requireOldTables(t, dir, nil)
	}
	// Closed at once, since a test makes thousands of copies.
	db, err := reorgdb.OpenReadOnly(dir)
	require.NoError(t, err)
	got, err := read(db, func(family string) iter.Seq2[reorgdb.Record, error] { return db.RocksRecords(ctx, family) })
	require.NoError(t, errors.Join(err, db.Close()))
	require.Equal(t, want, got, what)
	for i, r := range want {
		want[i] = r[:strings.LastIndexByte(r, ' ')]
	}
	require.Equal(t, want, seen, what)
}
