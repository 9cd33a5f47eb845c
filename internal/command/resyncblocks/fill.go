package resyncblocks

import (
	"context"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/reorgdb"
)

// minAppended is the smallest number of blocks that are written as a separate table.
const minAppended = 10_000

// filling writes blocks according to a plan.
type filling struct {
	o      Options
	client *bitcoin.Client
	db     *reorgdb.DB
	out    *cli.IO
	plan   *plan
	tip    bitcoin.ChainInfo // at which the stored chain and the node's agreed
	top    int64             // the highest stored height at or below the tip
	warned bool              // of a deep reorg
	// highest is the highest height that was stored before, even above the tip; -1
	// if none was.
	highest int64

	written, replaced int64                // committed
	events            []reorgdb.ReorgEvent // the first of the committed ones
}

// fill writes what is missing and replaces what differs, in ascending order, in one
// atomic batch for each chunk: wherever it stops, the database is one that a node
// could have left.
func (f *filling) fill(ctx context.Context) error {
	p := f.plan
	bar := terminal.HeightsBar(f.out.Err, !f.out.Quiet(), "filling", max(0, p.end-p.first+1))
	defer bar.Done()
	for c, err := range fetch(ctx, f.client, p.first, p.end) {
		if bitcoin.AboveTip(err) {
			// The chain is being reorganised: settle finds out where it ends.
			return nil
		}
		if err != nil {
			return err
		}
		if err := f.write(ctx, c); err != nil {
			return err
		}
		bar.Add(int64(c.len()))
	}
	return nil
}

// write writes the blocks of a chunk. If there are many, with nothing stored at or above
// them, they are appended, which has the same result and is faster.
func (f *filling) write(ctx context.Context, c chunk) error {
	if c.len() < minAppended || c.first <= f.highest {
		_, err := f.apply(ctx, c)
		return err
	}
	if err := f.db.AppendBlocks(uint64(c.first), c.text); err != nil {
		return err
	}
	f.written += int64(c.len())
	f.top = c.first + int64(c.len()) - 1
	return nil
}

// apply writes the blocks of a chunk in one batch. changed reports whether there was
// anything to write.
func (f *filling) apply(ctx context.Context, c chunk) (changed bool, err error) {
	now := uint64(f.out.Now().Unix())
	var written, replaced int64
	var events []reorgdb.ReorgEvent // the first of them
	err = f.db.Update(func(u *reorgdb.Update) error {
		for i := range c.len() {
			height := c.first + int64(i)
			seen, event, err := u.Block(ctx, reorgdb.Block{Height: uint64(height), Hash: string(c.hash(i))}, now)
			if err != nil {
				return err
			}
			switch seen {
			case reorgdb.Written:
				written++
			case reorgdb.Replaced:
				if depth := f.top - height + 1; depth > f.o.MaxReorgDepth {
					// The chain has changed since the plan was made.
					return tooDeep(f.o, height, depth, height == f.plan.start && height > 0)
				} else if !f.warned {
					f.warned = warnOfHalt(f.out, depth)
				}
				replaced++
				if len(f.events)+len(events) < maxKept {
					events = append(events, *event)
				}
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return false, err
	}
	f.written += written
	f.replaced += replaced
	f.events = append(f.events, events...)
	if n := c.len(); n > 0 {
		f.top = max(f.top, c.first+int64(n)-1)
	}
	return written+replaced > 0, nil
}
