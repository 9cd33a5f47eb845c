// Package istream reads text the way the nodes' C++ input streams do: fields are separated by
// white space, a failure is sticky, and nothing is read after it.
package istream

import (
	"bytes"
	"math"
)

// Reader reads fields from Text. It is not safe for concurrent use.
type Reader struct {
	Text   []byte
	Pos    int
	Failed bool
}

// IsSpace is C's isspace in the C locale.
func IsSpace(c byte) bool { return c == ' ' || ('\t' <= c && c <= '\r') }

// SkipSpace moves to the next field and reports whether there is one.
func (r *Reader) SkipSpace() bool {
	for r.Pos < len(r.Text) && IsSpace(r.Text[r.Pos]) {
		r.Pos++
	}
	return r.Pos < len(r.Text)
}

// Word reads up to the next white space. If nothing is left, it is empty and fails.
func (r *Reader) Word() []byte {
	if !r.SkipSpace() {
		r.Failed = true
		return nil
	}
	start := r.Pos
	for r.Pos < len(r.Text) && !IsSpace(r.Text[r.Pos]) {
		r.Pos++
	}
	return r.Text[start:r.Pos]
}

// Until reads up to the delimiter, which it skips, or to the end of the text. It fails if
// nothing is left.
func (r *Reader) Until(delimiter byte) []byte {
	if r.Failed || r.Pos == len(r.Text) {
		r.Failed = true
		return nil
	}
	rest := r.Text[r.Pos:]
	field, _, found := bytes.Cut(rest, []byte{delimiter})
	r.Pos += len(field)
	if found {
		r.Pos++
	}
	return field
}

// Char skips white space and one character, whatever it is. It fails if nothing is left.
func (r *Reader) Char() {
	if r.Failed || !r.SkipSpace() {
		r.Failed = true
		return
	}
	r.Pos++
}

// digits reads an optional sign and the digits that follow. over reports whether the magnitude
// is too large for 64 bits; any reports whether there was a digit at all.
func (r *Reader) digits() (magnitude uint64, negative, over, any bool) {
	if r.Failed || !r.SkipSpace() {
		r.Failed = true
		return 0, false, false, false
	}
	if c := r.Text[r.Pos]; c == '+' || c == '-' {
		negative = c == '-'
		r.Pos++
	}
	for r.Pos < len(r.Text) {
		d := uint64(r.Text[r.Pos] - '0')
		if d > 9 {
			break
		}
		any = true
		r.Pos++
		if over || magnitude > (math.MaxUint64-d)/10 {
			over = true
			continue
		}
		magnitude = magnitude*10 + d
	}
	return magnitude, negative, over, any
}

// unsigned reads an unsigned number of at most max, which is 2^bits-1. A minus sign negates
// modulo 2^bits and is not a failure. A magnitude out of range gives max and fails. Without a
// digit, the result is 0 and it fails.
func (r *Reader) unsigned(max uint64) uint64 {
	v, negative, over, any := r.digits()
	switch {
	case !any:
		r.Failed = true
		return 0
	case over || v > max:
		r.Failed = true
		return max
	case negative:
		return -v & max
	}
	return v
}

// U64 reads an unsigned number of 64 bits.
func (r *Reader) U64() uint64 { return r.unsigned(math.MaxUint64) }

// U32 reads an unsigned number of 32 bits.
func (r *Reader) U32() uint32 { return uint32(r.unsigned(math.MaxUint32)) }

// I32 reads a signed number of 32 bits. Out of range, it gives the nearest bound and fails.
func (r *Reader) I32() int32 {
	v, negative, over, any := r.digits()
	switch {
	case !any:
		r.Failed = true
		return 0
	case negative && (over || v > -math.MinInt32):
		r.Failed = true
		return math.MinInt32
	case !negative && (over || v > math.MaxInt32):
		r.Failed = true
		return math.MaxInt32
	case negative:
		return int32(-int64(v))
	}
	return int32(v)
}
