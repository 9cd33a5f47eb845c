package snapshot

import "bytes"

// appendPlain appends the canonical text of a record line that is written just
// as a node writes it: one space between fields, every string quoted and free
// of backslashes, every number in plain decimal with nothing behind the last.
// Nearly every line is, and its canonical text is then the line's own bytes
// with quotes and spaces replaced. It reports the length of the first field,
// and false (dst is then unchanged in length) for anything that takes the full
// rules, [record.parse].
//
// line starts with the layout's start and holds no newline and no backslash;
// dst has room for it, so that appending never moves dst.
func appendPlain(dst, line []byte, l *layout) (out []byte, keyLen int, ok bool) {
	rest := line[len(l.start):]
	out = append(dst, l.text...)
	for i, kind := range l.fields {
		if i > 0 {
			if len(rest) < 2 || rest[0] != ' ' {
				return dst, 0, false
			}
			rest = rest[1:]
			out = append(out, ':')
		}
		if kind == fieldString {
			if i > 0 {
				if rest[0] != '"' {
					return dst, 0, false
				}
				rest = rest[1:]
			}
			end := bytes.IndexByte(rest, '"')
			if end < 0 {
				return dst, 0, false
			}
			if i == 0 {
				keyLen = end
			}
			out = append(out, rest[:end]...)
			rest = rest[end+1:]
			continue
		}
		n := 0
		for n < len(rest) && rest[n]-'0' <= 9 {
			n++
		}
		if n == 0 || n > plainDigits[kind] || (rest[0] == '0' && n > 1) || (kind == fieldBool && rest[0] > '1') {
			return dst, 0, false
		}
		out = append(out, rest[:n]...)
		rest = rest[n:]
	}
	if len(rest) != 0 {
		return dst, 0, false
	}
	return append(out, '\n'), keyLen, true
}

// plainDigits is how many digits a number of each kind may have without a look
// at its range.
var plainDigits = [...]int{fieldU64: 19, fieldU32: 9, fieldI32: 9, fieldBool: 1}
