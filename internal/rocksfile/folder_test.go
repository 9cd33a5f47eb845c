package rocksfile_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/rocksfile"
)

func kinds(problems []rocksfile.Problem) []rocksfile.ProblemKind {
	var all []rocksfile.ProblemKind
	for _, p := range problems {
		all = append(all, p.Kind)
	}
	return all
}

// TestFolderWithoutCurrentAndManifest: if only other files than tables and logs are missing, no
// record is lost.
func TestFolderWithoutCurrentAndManifest(t *testing.T) {
	for _, db := range databases(t) {
		t.Run(db.name, func(t *testing.T) {
			dir := db.write(t)
			require.NoError(t, os.Remove(filepath.Join(dir, "CURRENT")))
			s, got := salvage(t, dir)
			require.Equal(t, []rocksfile.ProblemKind{rocksfile.MissingCurrent}, kinds(s.Problems))
			require.False(t, lost(s))
			require.False(t, stale(s))
			require.Equal(t, db.truth, got)

			manifests, err := filepath.Glob(filepath.Join(dir, "MANIFEST-*"))
			require.NoError(t, err)
			require.Len(t, manifests, 1)
			require.NoError(t, os.Remove(manifests[0]))
			s, got = salvage(t, dir)
			require.Equal(t, []rocksfile.ProblemKind{rocksfile.MissingCurrent, rocksfile.MissingManifest}, kinds(s.Problems))
			require.True(t, stale(s))
			if db.name == "ingested" {
				return // see TestIngestedTables
			}
			require.Equal(t, db.truth, got)
		})
	}
}

func TestCheckSaysWhatAnOpenDoesNot(t *testing.T) {
	const log = "000013.log"
	db := unpack(t, "testdata/defaults.tar.gz")
	whole := db.files[log]
	for name, test := range map[string]struct {
		log  []byte
		want []rocksfile.ProblemKind
	}{
		"sound":     {whole, nil},
		"torn":      {whole[:len(whole)-3], []rocksfile.ProblemKind{rocksfile.TornLog}},
		"flipped":   {flip(whole, 40), []rocksfile.ProblemKind{rocksfile.DamagedLog}},
		"missing":   {nil, []rocksfile.ProblemKind{rocksfile.MissingLog}},
		"zeros":     {append(bytes.Clone(whole), make([]byte, 100)...), []rocksfile.ProblemKind{rocksfile.ZeroedLog}},
		"all zeros": {make([]byte, 100), []rocksfile.ProblemKind{rocksfile.ZeroedLog}},
	} {
		t.Run(name, func(t *testing.T) {
			db.files[log] = test.log
			if test.log == nil {
				delete(db.files, log)
			}
			c, err := rocksfile.Check(context.Background(), db.write(t))
			require.NoError(t, err)
			require.Equal(t, test.want, kinds(c.Problems))
			require.Equal(t, "7.8.3", c.Version)
			require.EqualValues(t, 5, c.Format)
		})
	}
}

// TestManifestThatIsZerosToItsEnd: edits were written before a power cut, and their bytes never
// reached the disk.
func TestManifestThatIsZerosToItsEnd(t *testing.T) {
	db := unpack(t, golden+"/node-odd-records.tar.gz")
	for name, data := range db.files {
		if strings.HasPrefix(name, "MANIFEST-") {
			db.files[name] = append(bytes.Clone(data), make([]byte, 64)...)
		}
	}
	c, err := rocksfile.Check(context.Background(), db.write(t))
	require.NoError(t, err)
	require.Equal(t, []rocksfile.ProblemKind{rocksfile.DamagedManifest}, kinds(c.Problems))
	require.Contains(t, c.Problems[0].String(), "zeros to its end: edits may be missing there")
}

// TestGapInTheLog: a log lost its first records, exactly up to the start of another one.
func TestGapInTheLog(t *testing.T) {
	const log = "000013.log"
	db := unpack(t, "testdata/defaults.tar.gz")
	ends := recordEnds(log, db.files[log])
	require.Greater(t, len(ends), 3)
	kept := append([]byte(nil), db.files[log][ends[2]:ends[4]]...)
	db.files[log] = kept
	s, _ := salvage(t, db.write(t))
	require.Equal(t, []rocksfile.ProblemKind{rocksfile.LogGap}, kinds(s.Problems))
	require.True(t, lost(s))
}

func TestFolderThatIsNone(t *testing.T) {
	_, err := rocksfile.Salvage(context.Background(), filepath.Join(t.TempDir(), "none"), unnamed(t.TempDir()))
	require.ErrorIs(t, err, os.ErrNotExist)

	s, got := salvage(t, t.TempDir())
	require.Empty(t, got)
	require.True(t, lost(s))

	// A pipe in place of a table must not make the reader wait.
	db := unpack(t, golden+"/node-odd-records.tar.gz")
	dir := db.write(t)
	table := filepath.Join(dir, "000004.sst")
	require.NoError(t, os.Remove(table))
	require.NoError(t, syscall.Mkfifo(table, 0o600))
	s, got = salvage(t, dir)
	require.Empty(t, got)
	require.Equal(t, []rocksfile.ProblemKind{rocksfile.Unreadable}, kinds(s.Problems))
}

// TestLogsAreReadPerFamily: a log is replayed for the families that need it, and not for those
// that were flushed since. Otherwise records that were deleted and compacted away would come
// back.
func TestLogsAreReadPerFamily(t *testing.T) {
	edits := fragment(full, 0, "\x01\x1aleveldb.BytewiseComparator\x02\x06\x03\x09\x04\x02") + // family 0: log 6, next file 9, last sequence 2
		fragment(full, 0, "\xc8\x01\x01\xc9\x01\x05other\x02\x05") + // family 1: log 5
		fragment(full, 0, "\xc8\x01\x02\xc9\x01\x04gone") + fragment(full, 0, "\xc8\x01\x02\xca\x01")
	db := database{files: map[string][]byte{
		"CURRENT":         []byte("MANIFEST-000004\n"),
		"MANIFEST-000004": []byte(edits),
		"000005.log": []byte(fragment(full, 0, string(batch(1, 3,
			"\x01\x01a\x01o"+"\x05\x01\x01b\x01n"+"\x05\x02\x01c\x01g")))),
		"000006.log": []byte(fragment(full, 0, string(batch(4, 2, "\x01\x01d\x01n\x05\x07\x01e\x01s")))),
	}}
	s, got := salvage(t, db.write(t))
	require.Equal(t, map[string]string{"other 62": "6E", "default 64": "6E", "#7 65": "73"}, got)
	require.Equal(t, []rocksfile.ProblemKind{rocksfile.DamagedManifest}, kinds(s.Problems), "family 7 is only in the log")
}
