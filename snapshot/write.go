package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ErrNewline says that a string contains a newline, which could not be read back.
var ErrNewline = errors.New("holds a newline")

// Encode writes the state as one snapshot, byte for byte as a node does: the header line
// first, the records in their order, the end line with its newline last. A string that
// contains a newline is refused with an error that wraps [ErrNewline]; a part may have
// been written to w by then.
func Encode(w io.Writer, st *State) error {
	buf := appendStart(nil, st.TimestampMs)
	var rec record
	for _, s := range Sections {
		records := st.records(s)
		buf = appendCount(buf, s, uint64(len(records)))
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
	buf, err := appendEnd(buf, st.Anchor)
	if err != nil {
		return err
	}
	_, err = w.Write(buf)
	return err
}

// Anchored returns the reported snapshot in r as a node writes it, with the given anchor
// in place of its own: the records that a node reads, in file order, and nothing else. It
// is written in bounded memory, and in one write if it has no more than a few megabytes.
// A string of the anchor that contains a newline is an error that wraps [ErrNewline]. The
// checker must not be used meanwhile.
func (c *Checker) Anchored(ctx context.Context, r io.ReaderAt, rep *Report, anchor *Anchor) io.WriterTo {
	return &anchored{c, ctx, r, rep, anchor}
}

type anchored struct {
	checker *Checker
	ctx     context.Context
	r       io.ReaderAt
	report  *Report
	anchor  *Anchor
}

// writeBlock is how much of a snapshot is written at a time.
const writeBlock = 4 << 20

func (a *anchored) WriteTo(w io.Writer) (written int64, err error) {
	write := func(buf []byte) error {
		n, err := w.Write(buf)
		written += int64(n)
		return err
	}
	buf := appendStart(nil, a.report.TimestampMs)
	for _, s := range Sections {
		buf = appendCount(buf, s, a.report.Counts[s])
		for rec, err := range a.checker.records(a.ctx, a.r, a.report.spans[s], s) {
			if err != nil {
				return written, err
			}
			if buf = rec.appendLine(buf); len(buf) < writeBlock {
				continue
			}
			if err := write(buf); err != nil {
				return written, err
			}
			buf = buf[:0]
		}
	}
	if buf, err = appendEnd(buf, a.anchor); err != nil {
		return written, err
	}
	return written, write(buf)
}

// appendStart appends the lines before the first section.
func appendStart(dst []byte, timestampMs uint64) []byte {
	dst = append(dst, HeaderLine+"\n"+timestampTag+" "...)
	dst = strconv.AppendUint(dst, timestampMs, 10)
	return append(dst, '\n')
}

// appendCount appends a section's count line.
func appendCount(dst []byte, s Section, n uint64) []byte {
	dst = append(dst, layouts[s].countTag...)
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, n, 10)
	return append(dst, '\n')
}

// appendEnd appends the lines after the last section.
func appendEnd(dst []byte, a *Anchor) ([]byte, error) {
	if a == nil {
		return append(dst, anchorTag+" none\n"+EndLine+"\n"...), nil
	}
	if strings.Contains(a.L2StateRoot+a.RecoveryMetadata+a.Payload+a.Hash, "\n") {
		return nil, fmt.Errorf("anchor: a string %w", ErrNewline)
	}
	dst = append(dst, anchorTag+" "...)
	dst = appendQuoted(dst, []byte(a.L2StateRoot))
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, a.TimestampMs, 10)
	for _, s := range []string{a.RecoveryMetadata, a.Payload, a.Hash} {
		dst = append(dst, ' ')
		dst = appendQuoted(dst, []byte(s))
	}
	return append(dst, "\n"+EndLine+"\n"...), nil
}

// appendLine appends the record as a node writes it.
func (r *record) appendLine(dst []byte) []byte {
	var strs [maxStrings][]byte
	for i := range r.strings {
		strs[i] = r.str(i)
	}
	return appendLine(dst, r.section, strs[:], r.numbers[:])
}

// appendLine appends a record's line, given its strings and numbers in file order.
func appendLine(dst []byte, section Section, strs [][]byte, numbers []uint64) []byte {
	l := &layouts[section]
	dst = append(dst, l.tag...)
	s, n := 0, 0
	for _, kind := range l.fields {
		dst = append(dst, ' ')
		if kind == fieldString {
			dst = appendQuoted(dst, strs[s])
			s++
			continue
		}
		if kind == fieldI32 {
			dst = strconv.AppendInt(dst, int64(numbers[n]), 10)
		} else {
			dst = strconv.AppendUint(dst, numbers[n], 10)
		}
		n++
	}
	return append(dst, '\n')
}

func appendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	if bytes.IndexByte(s, '"') < 0 && bytes.IndexByte(s, '\\') < 0 {
		dst = append(dst, s...)
		return append(dst, '"')
	}
	for _, b := range s {
		if b == '"' || b == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, b)
	}
	return append(dst, '"')
}
