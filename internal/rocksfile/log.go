package rocksfile

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// A log is a sequence of blocks of logBlock bytes. A record is stored as one or more fragments,
// and no fragment crosses the end of a block. A fragment is a masked CRC32c (4 bytes, of
// everything after the length), a length (2), a type (1), in recycled files the low 32 bits of
// the log's number (4), and the payload. If a block has no room left for a header, the rest of
// it is zeros.
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
	logRecycled   = 4 // added to the four types above in recycled files
	logCompress   = 9
	logIgnoreMask = 1 << 7
)

// logWindow is how many bytes of a file are held at a time: whole blocks.
const logWindow = 32 * logBlock

// fragment is one physical record.
type fragment struct {
	kind byte
	off  int64
	end  int64
	body []byte
	log  uint32
	old  bool // written before the file was recycled
}

// LogReader reads the records of a write-ahead log or a MANIFEST. After damage it continues
// with the next fragment whose checksum holds. It holds a megabyte of the file in memory, and
// the whole of a record that has several fragments.
type LogReader struct {
	// Record is called with each complete record and the offset where it starts. The bytes are
	// valid until it returns.
	Record func(off int64, data []byte)
	// Damage is called with each range that cannot be read or is not supported. Zeros at the
	// end of the file are such a range, too: they may be reserved space, or records that were
	// lost in a power cut.
	Damage func(Damage)
}

// Read reads the first size bytes of a file, or as many as there are. number is the number in
// the file's name, or 0 for a MANIFEST. The error is that of reading; everything before it has
// been passed on.
func (r LogReader) Read(in io.ReaderAt, size int64, number uint64) error {
	f := &logFile{in: in, size: size, number: number, data: make([]byte, 0, min(size, logWindow))}
	var record []byte    // the fragments so far of a record that has several
	started := int64(-1) // where that record starts
	bad := int64(-1)     // where the current damage starts
	zeroed := int64(-1)  // where the zeros at the end of the file start
	var why string
	torn := false // the damage reaches beyond the end of the file
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
			if frag.end < f.size { // otherwise the log is still empty
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

// Reasons why there is no fragment, other than damage in the middle of the file.
const (
	logPadding  = "padding"
	logReserved = "reserved"
	logCutShort = "a record cut short by the end of the file"
)

// logFile is a log that is read from front to back.
type logFile struct {
	in     io.ReaderAt
	size   int64 // becomes less if the file turns out to be shorter, or after an error
	number uint64
	at     int64  // offset of data: the start of a block
	data   []byte // whole blocks, except for the last one
	err    error  // of reading

	notZero int64 // offset of the last byte that was found not to be zero
}

func (f *logFile) blockEnd(pos int64) int64 { return min((pos/logBlock+1)*logBlock, f.size) }

// rest returns the bytes from pos to the end of its block or of the file. They are valid until
// the next call.
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

// fragment reads the fragment at pos, or returns the reason why there is none.
func (f *logFile) fragment(pos int64) (fragment, string) {
	b := f.rest(pos)
	end := pos + int64(len(b))
	switch {
	case len(b) == 0:
		return fragment{}, logPadding // the file was cut meanwhile
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

// known reports whether any release of RocksDB up to 10 writes fragments of this kind.
func known(kind byte) bool {
	return kind != logZero && kind <= 11 || kind == logIgnoreMask|2 || kind == logIgnoreMask|3
}

// next finds the next fragment after the damage at pos. It first tries the end of the damaged
// fragment according to its length, and then every byte, because in a small log all records
// share a block. Fragments of unknown kinds do not count: otherwise most of the time would go
// into checksums of random bytes.
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

// zerosFrom reports whether the file has nothing but zeros from pos, the start of a block, to
// its end.
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

// zeros returns the number of zeros at the start of b.
func zeros(b []byte) int {
	for i, c := range b {
		if c != 0 {
			return i
		}
	}
	return len(b)
}
