package snapshot

import (
	"bytes"

	"ailee-recovery/internal/istream"
)

// fields reads the fields of one line.
type fields struct{ istream.Reader }

func newFields(line []byte) fields { return fields{istream.Reader{Text: line}} }

// str appends the next string field to dst, unescaped: a quoted string in
// which `\x` means x, or else a bare word, taken literally.
func (f *fields) str(dst []byte) []byte {
	if f.Failed || !f.SkipSpace() {
		f.Failed = true
		return dst
	}
	if f.Text[f.Pos] != '"' {
		return append(dst, f.Word()...)
	}
	f.Pos++
	// Nearly every string ends at the next quote.
	rest := f.Text[f.Pos:]
	if size := bytes.IndexByte(rest, '"'); size >= 0 && bytes.IndexByte(rest[:size], '\\') < 0 {
		f.Pos += size + 1
		return append(dst, rest[:size]...)
	}
	for f.Pos < len(f.Text) {
		c := f.Text[f.Pos]
		f.Pos++
		switch c {
		case '"':
			return dst
		case '\\':
			if f.Pos == len(f.Text) {
				f.Failed = true
				return dst
			}
			dst = append(dst, f.Text[f.Pos])
			f.Pos++
		default:
			dst = append(dst, c)
		}
	}
	f.Failed = true
	return dst
}
