package rocksfile_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/rocksfile"
)

// tables runs a subtest for every table of the test data.
func tables(t testing.TB, f func(t *testing.T, name string, data []byte)) {
	for _, db := range databases(t) {
		for _, file := range slices.Sorted(maps.Keys(db.files)) {
			if filepath.Ext(file) == ".sst" {
				t.(*testing.T).Run(db.name+"/"+file, func(t *testing.T) {
					t.Parallel()
					f(t, file, db.files[file])
				})
			}
		}
	}
}

// points returns the entries of a table as text, except for range deletions.
func points(data []byte) ([]string, rocksfile.TableReport, error) {
	var all []string
	report, err := rocksfile.ReadTable(data, func(e rocksfile.Entry) {
		if e.Kind != rocksfile.KindRangeDelete {
			all = append(all, fmt.Sprintf("%X %d %d %X", e.Key, e.Seq, e.Kind, e.Value))
		}
	})
	return all, report, err
}

func TestSoundTable(t *testing.T) {
	tables(t, func(t *testing.T, name string, data []byte) {
		all, report, err := points(data)
		require.NoError(t, err)
		require.Empty(t, report.Damaged)
		require.Empty(t, report.Metadata)
		require.False(t, report.RangesUnknown)
		require.Zero(t, report.Lost)
		require.EqualValues(t, report.Properties.Entries-report.Properties.RangeDeletions, len(all))
		require.LessOrEqual(t, report.Format, uint32(5))
	})
}

// TestDamagedMetadataLosesNoEntry: nothing after the data blocks is needed to read them.
func TestDamagedMetadataLosesNoEntry(t *testing.T) {
	tables(t, func(t *testing.T, name string, data []byte) {
		want, sound, err := points(data)
		require.NoError(t, err)
		from, step, footerStep := int(sound.Properties.DataSize), 211, 1
		if testing.Short() {
			step, footerStep = 2003, 29
		}
		for at := from; at < len(data); at += step {
			if at > len(data)-60 {
				step = footerStep
			}
			for _, broken := range [][]byte{flip(data, at), data[:at:at]} {
				got, report, err := points(broken)
				require.NoError(t, err)
				require.True(t, slices.Equal(want, got), "byte %d: %d entries instead of %d", at, len(got), len(want))
				require.LessOrEqual(t, report.Lost, int64(0))
				if len(broken) < len(data) {
					require.NotEmpty(t, report.Metadata)
				}
			}
		}
	})
}

func flip(data []byte, at int) []byte {
	data = bytes.Clone(data)
	data[at] ^= 1 << (at % 8)
	return data
}

// TestDamagedBlockIsPassedOver: a damaged block costs only its own entries, with or without the
// index.
func TestDamagedBlockIsPassedOver(t *testing.T) {
	tables(t, func(t *testing.T, name string, data []byte) {
		want, sound, err := points(data)
		require.NoError(t, err)
		size := int(sound.Properties.DataSize)
		places := 30
		if testing.Short() {
			places = 2
		}
		for at := 0; at < size; at += size/places + 1 {
			broken := flip(data, at)
			indexed, report, err := points(broken)
			require.NoError(t, err)
			require.Len(t, report.Damaged, 1)
			d := report.Damaged[0]
			require.True(t, d.Offset <= int64(at) && int64(at) < d.Offset+d.Length)
			require.Less(t, len(indexed), len(want))
			require.EqualValues(t, len(want)-len(indexed), report.Lost)
			rest := want
			for _, e := range indexed {
				at := slices.Index(rest, e)
				require.GreaterOrEqual(t, at, 0, e)
				rest = rest[at+1:]
			}

			// zlib does not show where a block starts.
			if scanned, report, err := points(broken[:len(broken)-1]); report.Properties != nil {
				require.NoError(t, err)
				require.True(t, slices.Equal(indexed, scanned), "byte %d: %d entries instead of %d", at, len(scanned), len(indexed))
				require.Len(t, report.Damaged, 1)
				require.Equal(t, d.Offset, report.Damaged[0].Offset)
				require.Equal(t, d.Length, report.Damaged[0].Length)
			}
		}
	})
}

func TestTooNewTable(t *testing.T) {
	tail := make([]byte, 100)
	copy(tail[47:], "\x04\x3e\x00\x7a\x00")
	binary.LittleEndian.PutUint32(tail[88:], 6)
	binary.LittleEndian.PutUint64(tail[92:], 0x88e241b785f4cff7)
	_, err := rocksfile.ReadTable(tail, nil)
	var tooNew *rocksfile.TooNewError
	require.ErrorAs(t, err, &tooNew)
	require.EqualValues(t, 6, tooNew.Format)

	// A damaged version number is damage.
	db := unpack(t, golden+"/node-odd-records.tar.gz")
	data := bytes.Clone(db.files["000004.sst"])
	data[len(data)-12] = 7
	got, report, err := points(data)
	require.NoError(t, err)
	require.Len(t, got, 27)
	require.Len(t, report.Metadata, 1)

	db.files["000004.sst"] = append(tail, make([]byte, 1379-100)...)
	copy(db.files["000004.sst"][1279:], tail)
	s, _ := salvage(t, db.write(t))
	require.True(t, lost(s))
	require.ErrorAs(t, s.Problems[0].Err, &tooNew)
	require.Equal(t, "000004.sst", tooNew.File)
}
