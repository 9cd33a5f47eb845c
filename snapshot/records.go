package snapshot

import (
	"bytes"
	"context"
	"io"
	"iter"
)

// Records yields every record that a node reads in one section of the reported snapshot, in
// file order. A record is valid until the next one. The iteration ends after an error; the
// errors are those of [Checker.Check]. Meanwhile, the checker must not be used for anything
// else.
func (c *Checker) Records(ctx context.Context, r io.ReaderAt, rep *Report, s Section) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for rec, err := range c.records(ctx, r, rep.spans[s], s) {
			if !yield(Record{rec}, err) {
				return
			}
		}
	}
}

// RecordsWith is [Checker.Records] for the records in which one of the strings is the text,
// which must not be empty. It parses only lines that may have it.
func (c *Checker) RecordsWith(ctx context.Context, r io.ReaderAt, rep *Report, s Section, text []byte) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		err := c.eachBlock(ctx, r, rep.spans[s], func(lines []byte, cut bool) bool {
			for line := range mayHave(lines, text, cut) {
				if c.parseLine(line, s) && (Record{&c.rec}).Has(text) && !yield(Record{&c.rec}, nil) {
					return false
				}
			}
			return true
		})
		if err != nil {
			yield(Record{}, err)
		}
	}
}

// needleLen is how many bytes of a text are searched for: the last ones, since ids of one
// kind start alike.
const needleLen = 16

// mayHave yields the lines that may have the text as a string: those that contain it
// literally, and those with a backslash. If all is set, it yields every line.
func mayHave(lines, text []byte, all bool) iter.Seq[[]byte] {
	needle := text[max(0, len(text)-needleLen):]
	return func(yield func([]byte) bool) {
		found := -1 // the next place of the needle
		for at := 0; at < len(lines); {
			if found < at {
				if found = bytes.Index(lines[at:], needle); found < 0 {
					found = len(lines)
				} else {
					found += at
				}
			}
			first := found
			if i := bytes.IndexByte(lines[at:found], '\\'); i >= 0 {
				first = at + i
			}
			if all {
				first = at
			}
			if first == len(lines) {
				return
			}
			start := at + bytes.LastIndexByte(lines[at:first], '\n') + 1
			line, _, _ := bytes.Cut(lines[start:], []byte{'\n'})
			if !yield(line) {
				return
			}
			at = start + len(line) + 1
		}
	}
}

// Lines yields the records of one section, like [Checker.Records], as the lines that a node
// would write for them, without the newline. A line is valid until the next one. The error
// is also [ErrChanged] if there are not as many records as the report says.
func (c *Checker) Lines(ctx context.Context, r io.ReaderAt, rep *Report, s Section) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var written, scratch []byte
		l, count := &layouts[s], uint64(0)
		more := true
		err := c.eachBlock(ctx, r, rep.spans[s], func(lines []byte, cut bool) bool {
			unescaped := !cut && bytes.IndexByte(lines, '\\') < 0
			for len(lines) > 0 && more {
				line, rest, _ := bytes.Cut(lines, []byte{'\n'})
				plain := false
				if n := len(line); unescaped && n >= len(l.start) && len(lines) >= n+plainSlack && l.startsPlain(lines) {
					if cap(scratch) < n+plainSlack {
						scratch = make([]byte, 0, 2*n+plainSlack)
					}
					_, _, plain = appendPlain(scratch, lines, n, l)
				}
				lines = rest
				switch {
				case plain: // the line is what a node writes
				case c.parseLine(line, s):
					written = c.rec.appendLine(written[:0])
					line = written[:len(written)-1]
				default:
					continue
				}
				count++
				more = yield(line, nil)
			}
			return more
		})
		switch {
		case !more:
		case err != nil:
			yield(nil, err)
		case count != rep.Counts[s]:
			yield(nil, ErrChanged)
		}
	}
}

// records yields every record of section s among the lines of in.
func (c *Checker) records(ctx context.Context, r io.ReaderAt, in span, s Section) iter.Seq2[*record, error] {
	return func(yield func(*record, error) bool) {
		err := c.eachBlock(ctx, r, in, func(lines []byte, _ bool) bool {
			for len(lines) > 0 {
				line, rest, _ := bytes.Cut(lines, []byte{'\n'})
				lines = rest
				if c.parseLine(line, s) && !yield(&c.rec, nil) {
					return false
				}
			}
			return true
		})
		if err != nil {
			yield(nil, err)
		}
	}
}

// eachBlock calls take with the lines of in, as many at a time as fit in a block, until it
// returns false. If a line is too long for the memory, take gets only the start, alone and
// with cut set. It must parse that into c.rec, which shows whether it was enough.
func (c *Checker) eachBlock(ctx context.Context, r io.ReaderAt, in span, take func(lines []byte, cut bool) bool) error {
	if c.again == nil {
		c.again = newLineBuffer()
	}
	blocks := newLineBlocks(r, in.first, in.end, c.again, c.memory.maxLine())
	for {
		lines, off, long, err := blocks.next()
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || len(lines) == 0 {
			return err
		}
		if long && blocks.growLine() {
			continue
		}
		if !take(lines, long) {
			return nil
		}
		if !long {
			continue
		}
		if c.rec.consumed == len(lines) {
			return &LineTooLongError{Offset: off, Limit: len(lines)}
		}
		if _, err := blocks.skipLine(0); err != nil {
			return err
		}
	}
}

// parseLine reports whether the line is a record of section s, which is then in c.rec.
func (c *Checker) parseLine(line []byte, s Section) bool {
	f := newFields(line)
	c.rec.consumed = 0
	return sectionOfTag(f.Word()) == s && c.rec.parse(s, &f)
}

// Read reads all records of a snapshot into memory, in file order.
func (c *Checker) Read(ctx context.Context, r io.ReaderAt, rep *Report) (*State, error) {
	st := &State{TimestampMs: rep.TimestampMs, Anchor: rep.Anchor}
	for _, s := range Sections {
		for rec, err := range c.Records(ctx, r, rep, s) {
			if err != nil {
				return nil, err
			}
			switch v := rec.Value().(type) {
			case Balance:
				st.Ledger.Balances = append(st.Ledger.Balances, v)
			case Escrow:
				st.Ledger.Escrows = append(st.Ledger.Escrows, v)
			case PegIn:
				st.Bridge.PegIns = append(st.Bridge.PegIns, v)
			case PegOut:
				st.Bridge.PegOuts = append(st.Bridge.PegOuts, v)
			case Task:
				st.Orchestration.Tasks = append(st.Orchestration.Tasks, v)
			}
		}
	}
	return st, nil
}
