package reorgtest

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/require"
)

// LogWriter writes the records of a write-ahead log, or of a MANIFEST, as RocksDB does: in
// fragments that do not cross a block of 32 KiB, each with its masked CRC32c (4 bytes),
// length (2) and type (1).
type LogWriter struct {
	out *bufio.Writer
	at  int // in the block
}

const (
	logBlock, logHeader = 32 << 10, 7

	full, first, middle, last = 1, 2, 3, 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// NewLogWriter continues a file of the given size in bytes.
func NewLogWriter(out io.Writer, size int64) *LogWriter {
	return &LogWriter{bufio.NewWriterSize(out, 1<<20), int(size % logBlock)}
}

// Write writes a record. Errors are returned by Flush.
func (w *LogWriter) Write(record []byte) {
	for begin, end := true, false; !end; begin = false {
		if left := logBlock - w.at; left < logHeader {
			_, _ = w.out.Write(make([]byte, left))
			w.at = 0
		}
		n := min(len(record), logBlock-w.at-logHeader)
		end = n == len(record)
		kind := byte(middle)
		switch {
		case begin && end:
			kind = full
		case begin:
			kind = first
		case end:
			kind = last
		}
		crc := crc32.Update(crc32.Checksum([]byte{kind}, castagnoli), castagnoli, record[:n])
		head := binary.LittleEndian.AppendUint32(make([]byte, 0, logHeader), (crc>>15|crc<<17)+0xa282ead8)
		head = append(binary.LittleEndian.AppendUint16(head, uint16(n)), kind)
		_, _ = w.out.Write(head)
		_, _ = w.out.Write(record[:n])
		record = record[n:]
		w.at += logHeader + n
	}
}

// Flush writes buffered data to the file.
func (w *LogWriter) Flush() error { return w.out.Flush() }

// FillLog writes batches to the log of an empty database at path, which must not be open, until
// the log has the given size in bytes. next returns the key and value of the next record. Each
// record is a separate batch, as a node writes them.
func FillLog(t *testing.T, path string, size int64, next func() (key, value string)) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(path, "*.log"))
	require.NoError(t, err)
	require.Len(t, logs, 1)
	f, err := os.Create(logs[0])
	require.NoError(t, err)
	defer f.Close()
	w := NewLogWriter(f, 0)
	var batch []byte
	written := int64(0)
	for seq := uint64(1); written < size; seq++ {
		key, value := next()
		batch = binary.LittleEndian.AppendUint64(batch[:0], seq)
		batch = binary.LittleEndian.AppendUint32(batch, 1)
		batch = binary.AppendUvarint(append(batch, 1), uint64(len(key)))
		batch = binary.AppendUvarint(append(batch, key...), uint64(len(value)))
		batch = append(batch, value...)
		w.Write(batch)
		written += int64(len(batch) + logHeader)
	}
	require.NoError(t, w.Flush())
}

// AddEdits extends the MANIFEST of a database, which must not be open. Each edit is one that a
// compaction writes when it replaces a table with another.
func AddEdits(t *testing.T, path string, edits int) {
	t.Helper()
	current, err := os.ReadFile(filepath.Join(path, "CURRENT"))
	require.NoError(t, err)
	f, err := os.OpenFile(filepath.Join(path, strings.TrimSpace(string(current))), os.O_RDWR|os.O_APPEND, 0)
	require.NoError(t, err)
	defer f.Close()
	info, err := f.Stat()
	require.NoError(t, err)
	w := NewLogWriter(f, info.Size())
	const level, from = 6, 1_000_000
	field := func(b []byte, text string) []byte { return append(binary.AppendUvarint(b, uint64(len(text))), text...) }
	for i := range edits {
		e := binary.AppendUvarint([]byte{3}, uint64(from+edits+i)) // the next file's number
		if i > 0 {
			e = binary.AppendUvarint(append(e, 6, level), uint64(from+i-1)) // a deleted table
		}
		if i < edits-1 {
			key := fmt.Sprintf("block:%020d\x01\x00\x00\x00\x00\x00\x00\x00", i)
			e = binary.AppendUvarint(append(e, 103, level), uint64(from+i)) // a new table, its size, keys and sequence numbers
			e = field(field(binary.AppendUvarint(e, 1000), key), key)
			e = append(e, 0, 0, 1) // and no further fields
		}
		w.Write(e)
	}
	require.NoError(t, w.Flush())
}

// AddTables adds tables to a database: table i has the records that records returns, in the order
// of their keys.
func AddTables(t *testing.T, path string, tables int, records func(table int) (keysAndValues []string)) {
	t.Helper()
	opts := grocksdb.NewDefaultOptions()
	defer opts.Destroy()
	db, err := grocksdb.OpenDb(opts, path)
	require.NoError(t, err)
	defer db.Close()
	env := grocksdb.NewDefaultEnvOptions()
	defer env.Destroy()
	dir := t.TempDir()
	var files []string
	for i := range tables {
		w := grocksdb.NewSSTFileWriter(env, opts)
		name := filepath.Join(dir, fmt.Sprint(i))
		require.NoError(t, w.Open(name))
		r := records(i)
		for j := 0; j < len(r); j += 2 {
			require.NoError(t, w.Put([]byte(r[j]), []byte(r[j+1])))
		}
		require.NoError(t, w.Finish())
		w.Destroy()
		files = append(files, name)
	}
	ingest := grocksdb.NewDefaultIngestExternalFileOptions()
	defer ingest.Destroy()
	ingest.SetMoveFiles(true)
	require.NoError(t, db.IngestExternalFile(files, ingest))
}
