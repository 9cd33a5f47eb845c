package snapshot

import (
	"bytes"
	"context"
	"io"
)

// Records calls visit with every record that a node reads of one section of the
// snapshot that the report is of, in file order. An error from visit ends the
// walk.
func (c *Checker) Records(ctx context.Context, r io.ReaderAt, rep *Report, s Section, visit func(Record) error) error {
	return c.records(ctx, r, rep.spans[s], s, func(rec *record) error { return visit(Record{rec}) })
}

// records calls visit with every record of section s among the lines of in.
func (c *Checker) records(ctx context.Context, r io.ReaderAt, in span, s Section, visit func(*record) error) error {
	if c.again == nil {
		c.again = newLineBuffer()
	}
	blocks := newLineBlocks(r, in.first, in.end, c.again, c.memory.maxLine())
	for {
		lines, off, long, err := blocks.next()
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(lines) == 0 {
			return nil
		}
		if long {
			if blocks.growLine() {
				continue
			}
			if err := c.recordLine(lines, s, visit); err != nil {
				return err
			}
			if c.rec.consumed == len(lines) {
				return &LineTooLongError{Offset: off, Limit: len(lines)}
			}
			if _, err := blocks.skipLine(0); err != nil {
				return err
			}
			continue
		}
		for len(lines) > 0 {
			line, rest, _ := bytes.Cut(lines, []byte{'\n'})
			lines = rest
			if err := c.recordLine(line, s, visit); err != nil {
				return err
			}
		}
	}
}

func (c *Checker) recordLine(line []byte, s Section, visit func(*record) error) error {
	f := newFields(line)
	c.rec.consumed = 0
	if sectionOfTag(f.Word()) != s || !c.rec.parse(s, &f) {
		return nil
	}
	return visit(&c.rec)
}

// Read builds the state of a snapshot in memory, the records in file order.
func (c *Checker) Read(ctx context.Context, r io.ReaderAt, rep *Report) (*State, error) {
	st := &State{TimestampMs: rep.TimestampMs, Anchor: rep.Anchor}
	for _, s := range Sections {
		err := c.Records(ctx, r, rep, s, func(rec Record) error {
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
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return st, nil
}
