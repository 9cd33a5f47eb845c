package snapshot

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ErrNewline says that a string holds a newline, which no reader could read
// back.
var ErrNewline = errors.New("holds a newline")

// Encode writes the state as one snapshot, byte for byte as a node does: the
// records in their order, the header line first, the end line with its newline
// last. A string that holds a newline is refused with an error that wraps
// [ErrNewline]; w may then have taken a part.
func Encode(w io.Writer, st *State) error {
	buf := []byte(HeaderLine + "\n" + timestampTag + " ")
	buf = strconv.AppendUint(buf, st.TimestampMs, 10)
	buf = append(buf, '\n')
	var rec record
	for _, s := range Sections {
		records := st.records(s)
		buf = append(buf, layouts[s].countTag...)
		buf = append(buf, ' ')
		buf = strconv.AppendInt(buf, int64(len(records)), 10)
		buf = append(buf, '\n')
		for i, sr := range records {
			sr.fill(&rec)
			if rec.hasNewline() {
				return fmt.Errorf("%s[%d]: a string %w", s, i, ErrNewline)
			}
			buf = rec.appendLine(buf)
			if len(buf) >= textBlock {
				if _, err := w.Write(buf); err != nil {
					return err
				}
				buf = buf[:0]
			}
		}
	}
	if st.Anchor == nil {
		buf = append(buf, anchorTag+" none\n"...)
	} else {
		a := st.Anchor
		if strings.Contains(a.L2StateRoot+a.RecoveryMetadata+a.Payload+a.Hash, "\n") {
			return fmt.Errorf("anchor: a string %w", ErrNewline)
		}
		buf = append(buf, anchorTag+" "...)
		buf = appendQuoted(buf, a.L2StateRoot)
		buf = append(buf, ' ')
		buf = strconv.AppendUint(buf, a.TimestampMs, 10)
		for _, s := range []string{a.RecoveryMetadata, a.Payload, a.Hash} {
			buf = append(buf, ' ')
			buf = appendQuoted(buf, s)
		}
		buf = append(buf, '\n')
	}
	_, err := w.Write(append(buf, EndLine+"\n"...))
	return err
}

// appendLine appends the record as a node writes it.
func (r *record) appendLine(dst []byte) []byte {
	l := &layouts[r.section]
	dst = append(dst, l.tag...)
	s, n := 0, 0
	for _, kind := range l.fields {
		dst = append(dst, ' ')
		if kind == fieldString {
			dst = appendQuoted(dst, r.str(s))
			s++
			continue
		}
		if kind == fieldI32 {
			dst = strconv.AppendInt(dst, int64(r.numbers[n]), 10)
		} else {
			dst = strconv.AppendUint(dst, r.numbers[n], 10)
		}
		n++
	}
	return append(dst, '\n')
}

func appendQuoted[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}
