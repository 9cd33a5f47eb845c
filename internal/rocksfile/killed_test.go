package rocksfile_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/rocksfile"
)

// The folders that nodes left when they were killed while making or opening a database.
const (
	killedWhileCreating = golden + "/killed-while-creating-7.8.3.tar.gz"
	killedAtStart       = golden + "/killed-at-start-6.11.4.tar.gz"
)

func check(t testing.TB, dir string) []rocksfile.ProblemKind {
	t.Helper()
	c, err := rocksfile.Check(context.Background(), dir)
	require.NoError(t, err)
	return kinds(c.Problems)
}

// lossy returns the kinds of the problems with which records are lost or could be.
func lossy(problems []rocksfile.Problem) []rocksfile.ProblemKind {
	var found []rocksfile.ProblemKind
	for _, p := range problems {
		if p.Lost || p.Stale {
			found = append(found, p.Kind)
		}
	}
	return found
}

const newManifest, firstLog, nodeLog = "MANIFEST-000001", "000003.log", "LOG.old.1739578200000000"

// written returns a log with one record that has the given sequence number.
func written(seq uint64) []byte {
	return []byte(fragment(full, 0, string(batch(seq, 1, "\x01\x01a\x01o"))))
}

// TestKilledWhileCreating goes through the states of a new database, and through states that
// only look like one.
func TestKilledWhileCreating(t *testing.T) {
	type files map[string][]byte
	db := unpack(t, killedWhileCreating)
	manifest := db.files[newManifest]
	// The first edit of a later MANIFEST, with everything that a node demands.
	later := []byte(fragment(full, 0, "\x01\x1aleveldb.BytewiseComparator\x02\x03\x03\x05\x04\x00"))
	for _, test := range []struct {
		name string
		gone []string // files to remove from what the node left
		add  files
		want []rocksfile.ProblemKind
		lost []rocksfile.ProblemKind
		has  int // number of records
	}{
		{name: "as the node left it", want: []rocksfile.ProblemKind{rocksfile.BeingMade}},
		{name: "with an empty log", add: files{firstLog: {}}, want: []rocksfile.ProblemKind{rocksfile.BeingMade}},
		{name: "with the next MANIFEST", add: files{"MANIFEST-000005": later[:9], "000005.dbtmp": {}}, want: []rocksfile.ProblemKind{rocksfile.BeingMade}},
		{name: "RocksDB 6 writes to it", add: files{firstLog: written(1), "OPTIONS-000005": {}}, has: 1},
		{name: "RocksDB 6 has written nothing yet", add: files{firstLog: {}, "OPTIONS-000005": {}}},
		{name: "RocksDB 6 flushes", add: files{firstLog: written(1), "000004.sst": []byte("half"), "000006.log": written(2), "OPTIONS-000005": {}}, has: 1},
		{name: "CURRENT is not there yet", gone: []string{"CURRENT"}, want: []rocksfile.ProblemKind{rocksfile.BeingMade}},
		{name: "half of a MANIFEST", gone: []string{"CURRENT"}, add: files{newManifest: manifest[:9], "000001.dbtmp": []byte("MAN"), "LOG": {}, nodeLog: {}},
			want: []rocksfile.ProblemKind{rocksfile.BeingMade}},
		{name: "a MANIFEST of zeros", gone: []string{"CURRENT"}, add: files{newManifest: make([]byte, 13)}, want: []rocksfile.ProblemKind{rocksfile.BeingMade}},
		{name: "the lock alone", gone: []string{"CURRENT", "IDENTITY", newManifest}, want: []rocksfile.ProblemKind{rocksfile.BeingMade}},

		{name: "its log is gone", add: files{"OPTIONS-000005": {}}, lost: []rocksfile.ProblemKind{rocksfile.MissingLog}},
		{name: "the beginning of its log is gone", add: files{firstLog: written(2)}, lost: []rocksfile.ProblemKind{rocksfile.LogGap}, has: 1},
		{name: "a table that nothing lists", add: files{"000004.sst": []byte("half")}, lost: []rocksfile.ProblemKind{rocksfile.MissingLog}},
		{name: "a table, and an empty log", add: files{"000004.sst": []byte("half"), firstLog: {}}, lost: []rocksfile.ProblemKind{rocksfile.DamagedManifest}},
		{name: "no CURRENT, a table", gone: []string{"CURRENT"}, add: files{"000004.sst": []byte("half")}, lost: []rocksfile.ProblemKind{rocksfile.MissingLog}},
		{name: "a damaged MANIFEST", gone: []string{"CURRENT"}, add: files{newManifest: flip(manifest, 9)},
			lost: []rocksfile.ProblemKind{rocksfile.DamagedManifest, rocksfile.MissingManifest, rocksfile.MissingLog}},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := unpack(t, killedWhileCreating)
			for _, name := range test.gone {
				delete(db.files, name)
			}
			maps.Copy(db.files, test.add)
			dir := db.write(t)
			c, err := rocksfile.Check(context.Background(), dir)
			require.NoError(t, err)
			if test.lost == nil {
				require.Equal(t, test.want, kinds(c.Problems))
			}
			require.Equal(t, test.lost, lossy(c.Problems))
			s, got := salvage(t, dir)
			if test.lost == nil {
				require.Empty(t, lossy(s.Problems), "%v", s.Problems)
			} else {
				require.NotEmpty(t, lossy(s.Problems))
			}
			if !strings.Contains(test.name, "flushes") {
				require.Len(t, got, test.has)
			}
		})
	}
}

// TestUnfinishedIsADatabaseWithoutItsCurrent, and nothing else is unfinished.
func TestUnfinishedIsADatabaseWithoutItsCurrent(t *testing.T) {
	unfinished := unpack(t, killedWhileCreating)
	delete(unfinished.files, "CURRENT")
	require.True(t, rocksfile.Unfinished(unfinished.write(t)))

	require.False(t, rocksfile.Unfinished(t.TempDir()))
	require.False(t, rocksfile.Unfinished(filepath.Join(t.TempDir(), "none")))
	for _, name := range []string{"CURRENT", "OPTIONS-000005", "000003.log", "000004.sst", "MANIFEST-000005", "l2_snapshots.dat", "x.dbtmp"} {
		db := unpack(t, killedWhileCreating)
		delete(db.files, "CURRENT")
		db.files[name] = nil
		require.False(t, rocksfile.Unfinished(db.write(t)), name)
	}
	// A dangling link counts as a CURRENT.
	dir := unfinished.write(t)
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "CURRENT")))
	require.False(t, rocksfile.Unfinished(dir))
	for _, db := range databases(t) {
		delete(db.files, "CURRENT")
		require.False(t, rocksfile.Unfinished(db.write(t)), db.name)
	}
}

// TestKilledAtStart: the logs were replayed into tables, and the next log is not there yet.
func TestKilledAtStart(t *testing.T) {
	db := unpack(t, killedAtStart)
	dir := db.write(t)
	require.Empty(t, check(t, dir))
	s, got := salvage(t, dir)
	require.Empty(t, s.Problems)
	require.Len(t, got, 84)

	// Killed again at the next start, with nothing to replay: the number before the MANIFEST's
	// is that of the previous MANIFEST, or of the log.
	edits := func(log, next byte) []byte {
		return []byte(fragment(full, 0, "\x01\x1aleveldb.BytewiseComparator\x02"+string(log)+"\x03"+string(next)+"\x04\x00"))
	}
	restarted := database{files: map[string][]byte{"CURRENT": []byte("MANIFEST-000012\n"), "000011.log": {}, "MANIFEST-000012": edits(12, 13)}}
	require.Empty(t, check(t, restarted.write(t)))
	restarted.files["CURRENT"], restarted.files["MANIFEST-000013"] = []byte("MANIFEST-000013\n"), edits(12, 14)
	require.Empty(t, check(t, restarted.write(t)))
}

// TestAMissingLogIsNoKilledStart: a missing log that is needed is not taken for a killed start.
func TestAMissingLogIsNoKilledStart(t *testing.T) {
	db := unpack(t, killedAtStart)
	delete(db.files, "000011.log")
	require.Equal(t, []rocksfile.ProblemKind{rocksfile.MissingLog}, check(t, db.write(t)))

	for _, db := range databases(t) {
		last := ""
		for name := range db.files {
			if filepath.Ext(name) == ".log" {
				last = max(last, name)
			}
		}
		delete(db.files, last)
		require.Contains(t, check(t, db.write(t)), rocksfile.MissingLog, "%s without %s", db.name, last)
	}
}
