package rocksfile_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/rocksfile"
)

func masked(data []byte) uint32 {
	crc := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
	return (crc>>15 | crc<<17) + 0xa282ead8
}

// fragment returns a physical record, with the number of the log in it if that is not 0.
func fragment(kind byte, number uint32, body string) string {
	if number != 0 {
		body = string(binary.LittleEndian.AppendUint32(nil, number)) + body
	}
	b := binary.LittleEndian.AppendUint32(nil, masked(append([]byte{kind}, body...)))
	size := len(body)
	if number != 0 {
		size -= 4
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(size))
	return string(append(b, kind)) + body
}

const (
	block                     = 32 << 10
	full, first, middle, last = 1, 2, 3, 4
	recycled                  = 4
)

// asLog makes a log with data as its only record.
func asLog(data []byte) []byte {
	var log strings.Builder
	for kind := byte(first); ; kind = middle {
		room := block - log.Len()%block - 7
		if len(data) <= room {
			log.WriteString(fragment(map[byte]byte{first: full, middle: last}[kind], 0, string(data)))
			return []byte(log.String())
		}
		log.WriteString(fragment(kind, 0, string(data[:room])))
		data = data[room:]
	}
}

// asTable makes a table with data as its first block, and a footer without valid handles.
func asTable(data []byte) []byte {
	data = append(data[:len(data):len(data)], 0)
	data = binary.LittleEndian.AppendUint32(data, masked(data))
	data = append(data, 1)
	data = append(data, make([]byte, 40)...)
	data = binary.LittleEndian.AppendUint32(data, 5)
	return binary.LittleEndian.AppendUint64(data, 0x88e241b785f4cff7)
}

// readLog reads a log that is in memory.
func readLog(data []byte, number uint64, record func(off int64, data []byte), damage func(rocksfile.Damage)) {
	if err := (rocksfile.LogReader{Record: record, Damage: damage}).Read(bytes.NewReader(data), int64(len(data)), number); err != nil {
		panic(err)
	}
}

func decodeManifest(data []byte) (*rocksfile.Manifest, []rocksfile.Damage) {
	m, damage, err := rocksfile.DecodeManifest(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		panic(err)
	}
	return m, damage
}

func TestLog(t *testing.T) {
	type damage struct {
		off, length int
		torn        bool
	}
	abc := fragment(full, 0, "abc")
	flipped := "\x00" + abc[1:]
	long := strings.Repeat("l", block-7)
	for name, test := range map[string]struct {
		log     string
		records []string
		damage  []damage
	}{
		"empty":                 {"", nil, nil},
		"zeros":                 {strings.Repeat("\x00", 3*block), nil, []damage{{0, 3 * block, true}}},
		"reserved space":        {abc + strings.Repeat("\x00", block), []string{"abc"}, []damage{{10, block, true}}},
		"a block's padding":     {fragment(full, 0, long[:block-7-7-6]) + abc[:0] + fragment(full, 0, "") + "\x00\x00\x00\x00\x00\x00" + abc, []string{long[:block-7-7-6], "", "abc"}, nil},
		"fragments":             {fragment(first, 0, long) + fragment(middle, 0, long) + fragment(last, 0, "end") + abc, []string{long + long + "end", "abc"}, nil},
		"torn header":           {abc + abc[:5], []string{"abc"}, []damage{{10, 5, true}}},
		"torn body":             {abc + abc[:9], []string{"abc"}, []damage{{10, 9, true}}},
		"torn between":          {abc + fragment(first, 0, long[:block-7-10]), []string{"abc"}, []damage{{10, block - 10, true}}},
		"torn, and reserved":    {abc + fragment(first, 0, long[:block-7-10]) + strings.Repeat("\x00", 50), []string{"abc"}, []damage{{10, block + 40, true}}},
		"flipped":               {abc + flipped + abc, []string{"abc", "abc"}, []damage{{10, 10, false}}},
		"flipped at the end":    {abc + flipped, []string{"abc"}, []damage{{10, 10, false}}},
		"cut out":               {abc + abc[:4] + abc, []string{"abc", "abc"}, []damage{{10, 4, false}}},
		"zeros between records": {abc + strings.Repeat("\x00", 100) + abc, []string{"abc", "abc"}, []damage{{10, 100, false}}},
		"a block of zeros":      {fragment(full, 0, long) + strings.Repeat("\x00", block) + abc, []string{long, "abc"}, []damage{{block, block, false}}},
		"no start":              {fragment(middle, 0, "m") + fragment(last, 0, "l") + abc, []string{"abc"}, []damage{{0, 16, false}}},
		"no end":                {fragment(first, 0, "f") + abc, []string{"abc"}, []damage{{0, 8, false}}},
		"a damaged fragment":    {fragment(first, 0, long) + strings.Replace(fragment(middle, 0, long), "l", "L", 1) + fragment(last, 0, "end") + abc, []string{"abc"}, []damage{{0, 2*block + 10, false}}},
		"unknown type":          {fragment(99, 0, "?") + abc, []string{"abc"}, []damage{{0, 8, false}}},
		"type to ignore":        {fragment(130, 0, "?") + abc, []string{"abc"}, nil},
		"compressed":            {fragment(9, 0, "\x07\x00\x00\x00") + abc, nil, []damage{{0, 21, false}}},
		"compressed and empty":  {fragment(9, 0, "\x07\x00\x00\x00"), nil, nil},
		"recycled":              {fragment(full+recycled, 7, "abc") + fragment(full+recycled, 5, "old") + abc, []string{"abc"}, nil},
		"recycled fragments":    {fragment(first+recycled, 7, long[4:]) + fragment(last+recycled, 7, "l"), []string{long[3:]}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var records []string
			var found []damage
			readLog([]byte(test.log), 7, func(_ int64, data []byte) { records = append(records, string(data)) }, func(d rocksfile.Damage) {
				require.NotEmpty(t, d.Why)
				found = append(found, damage{int(d.Offset), int(d.Length), d.Torn})
			})
			require.Equal(t, test.records, records)
			require.Equal(t, test.damage, found)
		})
	}
}

// TestLogOfManyWindows: a log that is longer than the part held in memory is read like a short
// one, damaged or not, whatever is at the boundary of two parts.
func TestLogOfManyWindows(t *testing.T) {
	const blocks = 100 // a little more than three parts of a MiB
	var log strings.Builder
	var starts []int
	for i := 0; log.Len() < blocks*block; i++ {
		body := strings.Repeat(string(rune('a'+i%26)), 1+i*7919%(2*block))
		starts = append(starts, log.Len())
		for kind := byte(first); ; kind = middle {
			room := block - log.Len()%block - 7
			if room < 0 {
				log.WriteString(strings.Repeat("\x00", room+7))
				continue
			}
			if len(body) <= room {
				log.WriteString(fragment(map[byte]byte{first: full, middle: last}[kind], 0, body))
				break
			}
			log.WriteString(fragment(kind, 0, body[:room]))
			body = body[room:]
		}
	}
	whole := log.String()
	read := func(data string) (records []int, damage []rocksfile.Damage) {
		readLog([]byte(data), 0, func(off int64, data []byte) {
			require.Equal(t, strings.Repeat(string(data[:1]), len(data)), string(data))
			records = append(records, int(off))
		}, func(d rocksfile.Damage) { damage = append(damage, d) })
		return records, damage
	}
	records, damage := read(whole)
	require.Empty(t, damage)
	require.Len(t, records, len(starts))
	for _, window := range []int{32 * block, 64 * block} {
		for _, at := range []int{window - 8, window - 1, window, window + 6, window + 7, window + block} {
			// Flip a bit: one record is lost.
			flipped := []byte(whole)
			flipped[at] ^= 1
			got, damage := read(string(flipped))
			require.Len(t, damage, 1, at)
			require.LessOrEqual(t, damage[0].Offset, int64(at))
			require.Greater(t, damage[0].Offset+damage[0].Length, int64(at))
			require.Len(t, got, len(records)-1, at)
			// Zeros to the end, over more than one part.
			cut := whole[:at] + strings.Repeat("\x00", 70*block)
			_, damage = read(cut)
			require.Len(t, damage, 1, at)
			require.Equal(t, int64(len(cut)), damage[0].Offset+damage[0].Length)
			// Zeros in place of records, over more than one part.
			end := starts[len(starts)-2]
			wiped := whole[:at] + strings.Repeat("\x00", end-at) + whole[end:]
			got, damage = read(wiped)
			require.Equal(t, starts[len(starts)-2:], got[len(got)-2:], at)
			require.Equal(t, int64(end), damage[len(damage)-1].Offset+damage[len(damage)-1].Length, at)
		}
	}
}

// batch returns a write batch with the given entries or other parts as its body.
func batch(seq uint64, count uint32, body string) []byte {
	b := binary.LittleEndian.AppendUint64(nil, seq)
	return append(binary.LittleEndian.AppendUint32(b, count), body...)
}

func TestBatch(t *testing.T) {
	seq, entries, err := rocksfile.DecodeBatch(batch(7, 4, "\x0d\x01\x01k\x01v\x03\x04blob\x04\x05\x01d\x0f\x01a\x01b\x07\x01s"))
	require.NoError(t, err)
	require.EqualValues(t, 7, seq)
	require.Equal(t, []rocksfile.Entry{
		{Seq: 7, Kind: rocksfile.KindPut, Key: []byte("k"), Value: []byte("v")},
		{Seq: 8, Kind: rocksfile.KindDelete, Key: []byte("d"), Family: 5},
		{Seq: 9, Kind: rocksfile.KindRangeDelete, Key: []byte("a"), Value: []byte("b")},
		{Seq: 10, Kind: rocksfile.KindSingleDelete, Key: []byte("s")},
	}, entries)

	_, _, err = rocksfile.DecodeBatch(batch(1, 1, "\x09"))
	require.ErrorIs(t, err, rocksfile.ErrUnsupported)
	for _, body := range []string{"\x01\x01k\x05v", "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01k", ""} {
		_, _, err = rocksfile.DecodeBatch(batch(1, 1, body))
		require.Error(t, err)
		require.NotErrorIs(t, err, rocksfile.ErrUnsupported)
	}
}

func TestManifestNamesWhatItDoesNotKnow(t *testing.T) {
	for edit, want := range map[string]string{
		"\xe8\x07":     "tag 1000",
		"\x90\x03\x01": "blob files",
		"\x67\x00\x04\x0a\x00\x00\x00\x00\x7f\x00\x01":     "field 127",
		"\x67\x00\x04\x0a\x00\x00\x00\x00\x41\x01\x01\x01": "another folder",
		"\x67\x00\x04": "ends in the middle of a field",
	} {
		_, damage := decodeManifest(asLog([]byte(edit)))
		require.Len(t, damage, 1)
		require.Contains(t, damage[0].Why, want)
	}
	m, damage := decodeManifest(asLog([]byte("\x88\x40\x02??\x67\x00\x04\x0a\x00\x00\x02\x09\x3f\x01?\x01")))
	require.Empty(t, damage)
	require.Equal(t, rocksfile.Table{Number: 4, Size: 10, SmallestSeq: 2, LargestSeq: 9}, m.Tables[4])
	require.False(t, m.Complete)
}
