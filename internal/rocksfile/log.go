package rocksfile

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// A log is a row of blocks of logBlock bytes. A record is stored in fragments,
// none of which crosses a block: masked CRC32c (4 bytes, over all that follows
// it but the length), length (2), type (1), in recycled files the low 32 bits
// of the log's number (4), payload. Fewer bytes at the end of a block than a
// header takes are zeros.
const (
	logBlock         = 32 << 10
	logHeader        = 7
	logRecycledExtra = 4
)

const (
	logZero       = 0
	logFull       = 1
	logFirst      = 2
	logMiddle     = 3
	logLast       = 4
	logRecycled   = 4 // what is added to the four above in recycled files
	logCompress   = 9
	logIgnoreMask = 1 << 7
)

// logWindow is how much of a file is held at a time, in bytes: whole blocks.
const logWindow = 32 * logBlock

// fragment is one physical record.
type fragment struct {
	kind byte
	off  int64
	end  int64
	body []byte
	log  uint32
	old  bool // of the file's former life, before it was recycled
}

// LogReader takes the records out of a write-ahead log or a MANIFEST. After
// damage it goes on with the next fragment whose checksum holds. It holds a megabyte of
// the file, and of a record in several fragments the whole.
type LogReader struct {
	// Record gets each whole record, with the offset where it starts. The bytes are lent
	// until it returns.
	Record func(off int64, data []byte)
	// Damage gets each range that cannot be read, or that is not supported. Zeros up to
	// the end of the file are such, too: space that was reserved looks like them, and so
	// do records that were lost with the power.
	Damage func(Damage)
}

// Read reads a file, the first size bytes of it, or as many as there are. number is that
// of its name, 0 for a MANIFEST. The error is that of reading; what was found before it has
// been passed on.
func (r LogReader) Read(in io.ReaderAt, size int64, number uint64) error {
	f := &logFile{in: in, size: size, number: number, data: make([]byte, 0, min(size, logWindow))}
	var record []byte    // what there is of a record in several fragments
	started := int64(-1) // where that record starts
	bad := int64(-1)     // where the damage starts that was met last
	zeroed := int64(-1)  // where the zeros start that the file ends with
	var why string
	torn := false // it reaches beyond the end of the file
	damaged := func(off int64, reason string, t bool) {
		if bad < 0 {
			bad, why, torn = off, reason, t
			if started >= 0 {
				bad = started
			}
		}
		started = -1
	}
	// Damage ends where the next record starts.
	whole := func(off int64) {
		if started >= 0 {
			damaged(off, "a record without its end", false)
		}
		if bad >= 0 {
			r.Damage(Damage{Offset: bad, Length: off - bad, Why: why})
			bad = -1
		}
	}
	unknown := func(from, to int64, format string, args ...any) {
		err := unsupported(format, args...)
		r.Damage(Damage{Offset: from, Length: to - from, Why: err.Error(), Err: err})
	}

	pos := int64(0)
scan:
	for pos < f.size {
		frag, reason := f.fragment(pos)
		switch {
		case reason == "":
		case reason == logPadding:
			pos = f.blockEnd(pos)
			continue
		case reason == logReserved:
			zeroed = pos
			break scan
		default:
			damaged(pos, reason, reason == logCutShort)
			pos = f.next(pos)
			continue
		}
		if frag.old {
			break
		}
		pos = frag.end
		kind := frag.kind
		if kind > logLast && kind <= logLast+logRecycled {
			kind -= logRecycled
		}
		switch kind {
		case logFull:
			whole(frag.off)
			r.Record(frag.off, frag.body)
		case logFirst:
			whole(frag.off)
			record, started = append(record[:0], frag.body...), frag.off
		case logMiddle, logLast:
			if started < 0 {
				damaged(frag.off, "a record without its start", false)
				continue
			}
			record = append(record, frag.body...)
			if kind == logLast {
				r.Record(started, record)
				started = -1
			}
		case logCompress:
			whole(frag.off)
			if frag.end < f.size { // else it is still empty
				unknown(frag.off, f.size, "a compressed log")
			}
			pos = f.size
		default:
			if kind&logIgnoreMask == 0 {
				whole(frag.off)
				unknown(frag.off, frag.end, "records of type %d", kind)
			}
		}
	}
	if f.err != nil {
		return f.err
	}
	if started >= 0 {
		damaged(started, logCutShort, true)
	}
	switch {
	case bad >= 0:
		r.Damage(Damage{Offset: bad, Length: f.size - bad, Why: why, Torn: torn})
	case zeroed >= 0:
		r.Damage(Damage{Offset: zeroed, Length: f.size - zeroed, Why: "records may be missing there", Torn: true, Zeros: true})
	}
	return nil
}

// Reasons why there is no fragment, beside damage.
const (
	logPadding  = "padding"
	logReserved = "reserved"
	logCutShort = "a record cut short by the end of the file"
)

// logFile is a log that is read from front to back.
type logFile struct {
	in     io.ReaderAt
	size   int64 // less where the file turns out to be shorter, or after an error
	number uint64
	at     int64  // of data, where a block starts
	data   []byte // whole blocks, but for the last one
	err    error  // of reading

	notZero int64 // of a byte that is known to be none, the last that was looked for
}

func (f *logFile) blockEnd(pos int64) int64 { return min((pos/logBlock+1)*logBlock, f.size) }

// rest returns the bytes from pos on up to the end of its block, or of the file, until the
// next call.
func (f *logFile) rest(pos int64) []byte {
	if pos < f.at || pos >= f.at+int64(len(f.data)) {
		f.load(pos)
	}
	if pos >= f.size {
		return nil
	}
	return f.data[pos-f.at : f.blockEnd(pos)-f.at]
}

func (f *logFile) load(pos int64) {
	f.at = pos / logBlock * logBlock
	f.data = f.data[:max(0, min(logWindow, f.size-f.at))]
	n, err := f.in.ReadAt(f.data, f.at)
	if n == len(f.data) {
		return
	}
	if !errors.Is(err, io.EOF) {
		f.err = err
	}
	f.data, f.size = f.data[:n], f.at+int64(n)
}

// fragment reads the fragment at pos, or says why there is none.
func (f *logFile) fragment(pos int64) (fragment, string) {
	b := f.rest(pos)
	end := pos + int64(len(b))
	switch {
	case len(b) == 0:
		return fragment{}, logPadding // it was cut meanwhile
	case len(b) < logHeader && end%logBlock == 0:
		return fragment{}, logPadding
	}
	if len(b) < logHeader+logRecycledExtra || b[6] == logZero {
		switch z := zeros(b); {
		case z == len(b) && f.zerosFrom(end):
			return fragment{}, logReserved
		case z == len(b) && len(b) < logHeader+logRecycledExtra:
			return fragment{}, logPadding
		case z >= logHeader:
			return fragment{}, "zeros in place of records"
		}
		b = f.rest(pos)
	}
	if len(b) < logHeader {
		return fragment{}, logCutShort
	}
	frag := fragment{kind: b[6], off: pos}
	header := logHeader
	if isRecycled(frag.kind) {
		header += logRecycledExtra
	}
	n := header + int(binary.LittleEndian.Uint16(b[4:]))
	frag.end = pos + int64(n)
	switch {
	case n > len(b) && end == f.size && frag.end <= (pos/logBlock+1)*logBlock:
		return fragment{}, logCutShort
	case n > len(b):
		return fragment{}, "a record that is longer than its block"
	case crc32.Checksum(b[6:n], castagnoli) != unmask(binary.LittleEndian.Uint32(b)):
		return fragment{}, "checksum mismatch"
	}
	frag.body = b[header:n]
	if isRecycled(frag.kind) {
		frag.log = binary.LittleEndian.Uint32(b[logHeader:])
		frag.old = f.number != 0 && frag.log != uint32(f.number)
	}
	return frag, ""
}

func isRecycled(kind byte) bool {
	return kind > logLast && kind <= logLast+logRecycled || kind == 11 || kind == logIgnoreMask|3
}

// known reports whether RocksDB writes fragments of the kind, up to release 10.
func known(kind byte) bool {
	return kind != logZero && kind <= 11 || kind == logIgnoreMask|2 || kind == logIgnoreMask|3
}

// next finds the next fragment after the damage at pos, first where the damaged one says
// that it ends, then byte by byte: in a small log all records share a block. What is of no
// known kind does not count: the checksums of all that garbage may stand for would be most
// of the time.
func (f *logFile) next(pos int64) int64 {
	if b := f.rest(pos); len(b) >= logHeader {
		if n := int64(binary.LittleEndian.Uint16(b[4:])); n > 0 && f.sound(pos+logHeader+n) {
			return pos + logHeader + n
		}
	}
	for pos++; pos < f.size; pos = f.blockEnd(pos) {
		b := f.rest(pos)
		for i := range max(0, len(b)-logHeader+1) {
			if known(b[i+6]) && f.sound(pos+int64(i)) {
				return pos + int64(i)
			}
		}
	}
	return f.size
}

func (f *logFile) sound(pos int64) bool {
	if b := f.rest(pos); len(b) < logHeader || b[6] == logZero {
		return false
	}
	_, reason := f.fragment(pos)
	return reason == ""
}

// zerosFrom reports whether the file has nothing but zeros from pos on, where a block starts.
func (f *logFile) zerosFrom(pos int64) bool {
	for pos > f.notZero && pos < f.size {
		b := f.rest(pos)
		if z := zeros(b); z < len(b) {
			f.notZero = pos + int64(z)
			return false
		}
		pos = f.blockEnd(pos)
	}
	return pos >= f.size
}

// zeros returns how many zeros b starts with.
func zeros(b []byte) int {
	for i, c := range b {
		if c != 0 {
			return i
		}
	}
	return len(b)
}
