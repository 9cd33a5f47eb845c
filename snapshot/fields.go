package snapshot

import "math"

// fields reads the fields of one line the way a C++ input stream does: white
// space separates, a failure is sticky, and after it nothing is read any more.
type fields struct {
	line   []byte
	pos    int
	failed bool
}

// isSpace is isspace in the C locale without the newline, which no line holds.
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r' }

// skipSpace moves to the next field and reports whether there is one.
func (f *fields) skipSpace() bool {
	for f.pos < len(f.line) && isSpace(f.line[f.pos]) {
		f.pos++
	}
	return f.pos < len(f.line)
}

// word reads up to the next white space. It is empty when nothing is left.
func (f *fields) word() []byte {
	if !f.skipSpace() {
		f.failed = true
		return nil
	}
	start := f.pos
	for f.pos < len(f.line) && !isSpace(f.line[f.pos]) {
		f.pos++
	}
	return f.line[start:f.pos]
}

// str appends the next string field to dst, unescaped: a quoted string in
// which `\x` stands for x, or else a bare word, taken literally.
func (f *fields) str(dst []byte) []byte {
	if f.failed || !f.skipSpace() {
		f.failed = true
		return dst
	}
	if f.line[f.pos] != '"' {
		return append(dst, f.word()...)
	}
	f.pos++
	for f.pos < len(f.line) {
		c := f.line[f.pos]
		f.pos++
		switch c {
		case '"':
			return dst
		case '\\':
			if f.pos == len(f.line) {
				f.failed = true
				return dst
			}
			dst = append(dst, f.line[f.pos])
			f.pos++
		default:
			dst = append(dst, c)
		}
	}
	f.failed = true
	return dst
}

// digits reads an optional sign and as many digits as follow. The magnitude
// saturates with over set; any tells whether there was a digit at all, and
// present whether there was anything left to read.
func (f *fields) digits() (magnitude uint64, negative, over, any, present bool) {
	if f.failed || !f.skipSpace() {
		f.failed = true
		return 0, false, false, false, false
	}
	if c := f.line[f.pos]; c == '+' || c == '-' {
		negative = c == '-'
		f.pos++
	}
	for f.pos < len(f.line) {
		d := uint64(f.line[f.pos] - '0')
		if d > 9 {
			break
		}
		any = true
		f.pos++
		if over || magnitude > (math.MaxUint64-d)/10 {
			over = true
			continue
		}
		magnitude = magnitude*10 + d
	}
	return magnitude, negative, over, any, true
}

// unsigned reads an unsigned number of at most max, which is 2^bits-1. A minus
// sign negates modulo 2^bits and is no failure; a magnitude out of range is
// max and fails; no digit is 0 and fails.
func (f *fields) unsigned(max uint64) uint64 {
	v, negative, over, any, _ := f.digits()
	switch {
	case !any:
		f.failed = true
		return 0
	case over || v > max:
		f.failed = true
		return max
	case negative:
		return -v & max
	}
	return v
}

func (f *fields) u64() uint64 { return f.unsigned(math.MaxUint64) }
func (f *fields) u32() uint32 { return uint32(f.unsigned(math.MaxUint32)) }

// i32 reads a signed number; out of range it is the nearest bound and fails.
func (f *fields) i32() int32 {
	v, negative, over, any, _ := f.digits()
	switch {
	case !any:
		f.failed = true
		return 0
	case negative && (over || v > -math.MinInt32):
		f.failed = true
		return math.MinInt32
	case !negative && (over || v > math.MaxInt32):
		f.failed = true
		return math.MaxInt32
	case negative:
		return int32(-int64(v))
	}
	return int32(v)
}
