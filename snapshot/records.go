package snapshot

import (
	"bytes"
	"context"
	"io"
	"iter"
)

// Records yields every record that a node reads of one section of the snapshot that
// the report is of, in file order. A record is valid until the next one. The iteration
// ends after an error; the errors are those of [Checker.Check]. The checker must not be
// used for anything else meanwhile.
func (c *Checker) Records(ctx context.Context, r io.ReaderAt, rep *Report, s Section) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for rec, err := range c.records(ctx, r, rep.spans[s], s) {
			if !yield(Record{rec}, err) {
				return
			}
		}
	}
}

// records yields every record of section s among the lines of in.
func (c *Checker) records(ctx context.Context, r io.ReaderAt, in span, s Section) iter.Seq2[*record, error] {
	return func(yield func(*record, error) bool) {
		if c.again == nil {
			c.again = newLineBuffer()
		}
		blocks := newLineBlocks(r, in.first, in.end, c.again, c.memory.maxLine())
		for {
			lines, off, long, err := blocks.next()
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if len(lines) == 0 {
				return
			}
			if long {
				if blocks.growLine() {
					continue
				}
				if c.parseLine(lines, s) && !yield(&c.rec, nil) {
					return
				}
				if c.rec.consumed == len(lines) {
					err = &LineTooLongError{Offset: off, Limit: len(lines)}
				} else {
					_, err = blocks.skipLine(0)
				}
				if err != nil {
					yield(nil, err)
					return
				}
				continue
			}
			for len(lines) > 0 {
				line, rest, _ := bytes.Cut(lines, []byte{'\n'})
				lines = rest
				if c.parseLine(line, s) && !yield(&c.rec, nil) {
					return
				}
			}
		}
	}
}

// parseLine reports whether the line is a record of section s, which is then in c.rec.
func (c *Checker) parseLine(line []byte, s Section) bool {
	f := newFields(line)
	c.rec.consumed = 0
	return sectionOfTag(f.Word()) == s && c.rec.parse(s, &f)
}

// Read builds the state of a snapshot in memory, the records in file order.
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
