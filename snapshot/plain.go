package snapshot

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// plainSlack is how many bytes appendPlain may read after a line, and write after
// its text: short fields are copied with a fixed size.
const plainSlack = shortString + 8

// shortString is the length up to which strings are copied that way. Ids and hashes are no longer.
const shortString = 64

// startsPlain reports whether lines, of at least eight bytes, begin as a node writes the
// section's records, the quote aside.
func (l *layout) startsPlain(lines []byte) bool {
	return (binary.LittleEndian.Uint64(lines)^l.startWord)&l.startMask == 0
}

// appendPlain appends the canonical text of the record line lines[:n], if it is
// written exactly as a node writes it: one space between fields, every string
// quoted and without backslashes, every number in plain decimal, and nothing after
// the last field. Nearly every line is, and its canonical text is then the line's own
// bytes with quotes and spaces replaced. It returns the length of the first field, and
// false for a line that needs the full rules, [record.parse].
//
// lines[:n] must begin as [layout.startsPlain] says, have no backslash, and be followed by
// its newline. lines must have plainSlack bytes after it, and dst room for n and plainSlack.
func appendPlain(dst, lines []byte, n int, l *layout) (text []byte, keyLen int, ok bool) {
	text = dst[:cap(dst)]
	j := len(dst)
	binary.LittleEndian.PutUint64(text[j:], l.textWord)
	j += len(l.text)
	i := len(l.start) - 1 // at the first quote
	for k, kind := range l.fields {
		// The line ends in a newline, which is none of the bytes looked for.
		if k > 0 {
			if lines[i] != ' ' {
				return dst, 0, false
			}
			i++
			text[j] = ':'
			j++
		}
		if kind == fieldString {
			if lines[i] != '"' {
				return dst, 0, false
			}
			i++
			size := bytes.IndexByte(lines[i:n], '"')
			if size < 0 {
				return dst, 0, false
			}
			if k == 0 {
				keyLen = size
			}
			if size <= shortString {
				*(*[shortString]byte)(text[j:]) = *(*[shortString]byte)(lines[i:])
			} else {
				copy(text[j:], lines[i:i+size])
			}
			i += size + 1
			j += size
			continue
		}
		size := digits(lines[i:])
		if !kind.isPlain(size, lines[i]) {
			return dst, 0, false
		}
		*(*[24]byte)(text[j:]) = [24]byte(lines[i:])
		i += size
		j += size
	}
	if i != n {
		return dst, 0, false
	}
	text[j] = '\n'
	return text[:j+1], keyLen, true
}

// plainRun is how many lines appendRun takes at a time.
const plainRun = 512

// plainLine is a line that appendRun or appendPlain took.
type plainLine struct {
	text, next uint32 // the ends of its text in what was appended, and of the line in the lines
	keyLen     uint32
}

// appendRun is appendPlain for as many of the first lines as are written that way and as run
// has room for. None of the lines may have a backslash. It assumes that a string is as long
// as that of the previous line if there is a quote at that position. Counting the quotes and
// newlines of all lines then shows that no string contains one, which takes much less time
// than looking for each. If a string does contain one, appendRun takes nothing.
func (l *layout) appendRun(dst, lines []byte, run []plainLine) (_ []plainLine, text []byte) {
	text = dst[:cap(dst)]
	i, j, n := 0, len(dst), 0
	limit := len(lines) - plainSlack - 1
	var sizes [maxStrings]int
next:
	for n < len(run) && i <= limit && l.startsPlain(lines[i:]) {
		binary.LittleEndian.PutUint64(text[j:], l.textWord)
		end := j + len(l.text)
		i += len(l.start) - 1
		str, keyLen := 0, 0
		for k, kind := range l.fields {
			if i >= limit {
				break next
			}
			if k > 0 {
				if lines[i] != ' ' {
					break next
				}
				i++
				text[end] = ':'
				end++
			}
			if kind == fieldString {
				if lines[i] != '"' {
					break next
				}
				i++
				size := sizes[str]
				if i+size >= limit || lines[i+size] != '"' {
					if size = bytes.IndexByte(lines[i:], '"'); size < 0 {
						break next
					}
					sizes[str] = size
				}
				if k == 0 {
					keyLen = size
				}
				if size <= shortString {
					to, from := (*[shortString]byte)(text[end:]), (*[shortString]byte)(lines[i:])
					copyHalf((*[shortString / 2]byte)(to[:]), (*[shortString / 2]byte)(from[:]))
					copyHalf((*[shortString / 2]byte)(to[shortString/2:]), (*[shortString / 2]byte)(from[shortString/2:]))
				} else {
					copy(text[end:], lines[i:i+size])
				}
				str++
				i += size + 1
				end += size
				continue
			}
			size := digits(lines[i:])
			if !kind.isPlain(size, lines[i]) {
				break next
			}
			copyHalf((*[shortString / 2]byte)(text[end:]), (*[shortString / 2]byte)(lines[i:]))
			i += size
			end += size
		}
		if i >= len(lines) || lines[i] != '\n' {
			break
		}
		text[end] = '\n'
		i++
		j = end + 1
		run[n] = plainLine{text: uint32(j - len(dst)), next: uint32(i), keyLen: uint32(keyLen)}
		n++
	}
	if n == 0 {
		return nil, dst
	}
	taken := lines[:run[n-1].next]
	if bytes.Count(taken, newline) != n || bytes.Count(taken, quote) != 2*l.strings*n {
		return nil, dst
	}
	return run[:n], text[:j]
}

// copyHalf copies half a short string. Assigning the array would be a call, since the two
// might overlap.
func copyHalf(to, from *[shortString / 2]byte) {
	a, b := binary.LittleEndian.Uint64(from[0:]), binary.LittleEndian.Uint64(from[8:])
	c, d := binary.LittleEndian.Uint64(from[16:]), binary.LittleEndian.Uint64(from[24:])
	binary.LittleEndian.PutUint64(to[0:], a)
	binary.LittleEndian.PutUint64(to[8:], b)
	binary.LittleEndian.PutUint64(to[16:], c)
	binary.LittleEndian.PutUint64(to[24:], d)
}

var newline, quote = []byte{'\n'}, []byte{'"'}

// plainDigits is how many digits a number of each kind may have without its range being
// checked.
var plainDigits = [...]int{fieldU64: 19, fieldU32: 9, fieldI32: 9, fieldBool: 1}

// isPlain reports whether a node writes numbers of this kind, with that many digits, the first
// of which is given, and whether its range need not be checked.
func (kind fieldKind) isPlain(size int, first byte) bool {
	return size > 0 && size <= plainDigits[kind] && (first != '0' || size == 1) && (kind != fieldBool || first <= '1')
}

// digits returns how many decimal digits b, of at least 24 bytes, starts with; 24 means
// 24 or more.
func digits(b []byte) int {
	for i := 0; i < 24; i += 8 {
		if other := notDigits(binary.LittleEndian.Uint64(b[i:])); other != 0 {
			return i + bits.TrailingZeros64(other)/8
		}
	}
	return 24
}

// notDigits sets the high bit of each byte of word that is not a decimal digit. A byte
// after the first of these may be marked too; the lowest mark is right.
func notDigits(word uint64) uint64 {
	const everyByte = 0x0101010101010101
	word ^= everyByte * '0'
	return (word + everyByte*(0x80-10) | word) & (everyByte * 0x80)
}
