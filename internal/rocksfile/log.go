package rocksfile

import (
	"encoding/binary"
	"hash/crc32"
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

// fragment is one physical record.
type fragment struct {
	kind byte
	off  int
	end  int
	body []byte
	log  uint32
	old  bool // of the file's former life, before it was recycled
}

// LogReader takes the records out of a write-ahead log or a MANIFEST. After
// damage it goes on with the next fragment whose checksum holds.
type LogReader struct {
	// Record gets each whole record, with the offset where it starts. The bytes
	// are part of the file, or the caller's to keep.
	Record func(off int64, data []byte)
	// Damage gets each range that cannot be read, or that is not supported. Zeros up to
	// the end of the file are such, too: space that was reserved looks like them, and so
	// do records that were lost with the power.
	Damage func(Damage)
}

// Read reads a whole file. number is that of its name, 0 for a MANIFEST.
func (r LogReader) Read(data []byte, number uint64) {
	var record []byte // what there is of a record in several fragments
	first := -1       // where that record starts
	bad := -1         // where the damage starts that was met last
	var why string
	zeroed := len(data)
	torn := false // it reaches beyond the end of the file
	damaged := func(off int, reason string, t bool) {
		if bad < 0 {
			bad, why, torn = off, reason, t
			if first >= 0 {
				bad = first
			}
		}
		record, first = nil, -1
	}
	// Damage ends where the next record starts.
	whole := func(off int) {
		if first >= 0 {
			damaged(off, "a record without its end", false)
		}
		if bad >= 0 {
			r.Damage(Damage{Offset: int64(bad), Length: int64(off - bad), Why: why})
			bad = -1
		}
	}
	unknown := func(from, to int, format string, args ...any) {
		err := unsupported(format, args...)
		r.Damage(Damage{Offset: int64(from), Length: int64(to - from), Why: err.Error(), Err: err})
	}

	pos := 0
scan:
	for pos < len(data) {
		f, reason := logFragment(data, pos, number)
		switch {
		case reason == "":
		case reason == logPadding:
			pos = min((pos/logBlock+1)*logBlock, len(data))
			continue
		case reason == logReserved:
			zeroed = pos
			break scan
		default:
			damaged(pos, reason, reason == logCutShort)
			pos = nextFragment(data, pos, number)
			continue
		}
		if f.old {
			break
		}
		pos = f.end
		kind := f.kind
		if kind > logLast && kind <= logLast+logRecycled {
			kind -= logRecycled
		}
		switch kind {
		case logFull:
			whole(f.off)
			r.Record(int64(f.off), f.body)
		case logFirst:
			whole(f.off)
			record, first = append([]byte(nil), f.body...), f.off
		case logMiddle, logLast:
			if first < 0 {
				damaged(f.off, "a record without its start", false)
				continue
			}
			record = append(record, f.body...)
			if kind == logLast {
				r.Record(int64(first), record)
				record, first = nil, -1
			}
		case logCompress:
			whole(f.off)
			if f.end < len(data) { // else it is still empty
				unknown(f.off, len(data), "a compressed log")
			}
			pos = len(data)
		default:
			if kind&logIgnoreMask == 0 {
				whole(f.off)
				unknown(f.off, f.end, "records of type %d", kind)
			}
		}
	}
	if first >= 0 {
		damaged(first, logCutShort, true)
	}
	switch {
	case bad >= 0:
		r.Damage(Damage{Offset: int64(bad), Length: int64(len(data) - bad), Why: why, Torn: torn})
	case zeroed < len(data):
		r.Damage(Damage{Offset: int64(zeroed), Length: int64(len(data) - zeroed), Why: "records may be missing there", Torn: true, Zeros: true})
	}
}

// Reasons why there is no fragment, beside damage.
const (
	logPadding  = "padding"
	logReserved = "reserved"
	logCutShort = "a record that the file ends in"
)

// logFragment reads the fragment at pos, or says why there is none.
func logFragment(data []byte, pos int, number uint64) (fragment, string) {
	blockEnd := min((pos/logBlock+1)*logBlock, len(data))
	avail := blockEnd - pos
	if avail < logHeader && blockEnd%logBlock == 0 {
		return fragment{}, logPadding
	}
	if avail < logHeader+logRecycledExtra || data[pos+6] == logZero {
		if z := zeros(data[pos:]); pos+z == len(data) {
			return fragment{}, logReserved
		} else if z >= avail && avail < logHeader+logRecycledExtra {
			return fragment{}, logPadding
		} else if z >= logHeader {
			return fragment{}, "zeros in place of records"
		}
	}
	if avail < logHeader {
		return fragment{}, logCutShort
	}
	f := fragment{kind: data[pos+6], off: pos}
	header := logHeader
	if isRecycled(f.kind) {
		header += logRecycledExtra
	}
	f.end = pos + header + int(binary.LittleEndian.Uint16(data[pos+4:]))
	switch {
	case f.end > blockEnd && blockEnd == len(data) && f.end <= (pos/logBlock+1)*logBlock:
		return fragment{}, logCutShort
	case f.end > blockEnd:
		return fragment{}, "a record that is longer than its block"
	case crc32.Checksum(data[pos+6:f.end], castagnoli) != unmask(binary.LittleEndian.Uint32(data[pos:])):
		return fragment{}, "checksum mismatch"
	}
	f.body = data[pos+header : f.end]
	if isRecycled(f.kind) {
		f.log = binary.LittleEndian.Uint32(data[pos+logHeader:])
		f.old = number != 0 && f.log != uint32(number)
	}
	return f, ""
}

func isRecycled(kind byte) bool {
	return kind > logLast && kind <= logLast+logRecycled || kind == 11 || kind == logIgnoreMask|3
}

// nextFragment finds the next fragment behind the damage at pos, first where
// the damaged one says that it ends, then byte by byte: in a small log all
// records share a block.
func nextFragment(data []byte, pos int, number uint64) int {
	sound := func(at int) bool {
		if at+logHeader > len(data) || data[at+6] == logZero {
			return false
		}
		_, reason := logFragment(data, at, number)
		return reason == ""
	}
	if pos+logHeader <= len(data) {
		if end := pos + logHeader + int(binary.LittleEndian.Uint16(data[pos+4:])); end > pos+logHeader && sound(end) {
			return end
		}
	}
	for at := pos + 1; at < len(data); at++ {
		if sound(at) {
			return at
		}
	}
	return len(data)
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
