package resyncblocks

import (
	"context"
	"errors"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/reorgdb"
)

// repair moves blocks that are stored at counts to their heights in the chain. It leaves
// anchors and reorg events as they are.
type repair struct {
	tip       bitcoin.ChainInfo
	counted   []reorgtool.Counted
	different int // other blocks that are not in the chain

	moves   []reorgdb.Block // to heights at which nothing is stored
	present int             // already stored at their heights
	other   int             // another hash is stored at their heights: a reorg
	removed int             // no longer in the chain
}

// repairDocument is the JSON result.
type repairDocument struct {
	DBPath   string                   `json:"db_path"`
	Chain    string                   `json:"chain"`
	Tip      tipDocument              `json:"tip"`
	DryRun   bool                     `json:"dry_run"`
	Counted  []reorgtool.CountedRange `json:"counted_heights"`
	Moved    int                      `json:"moved"` // or, with dry_run, to move
	Present  int                      `json:"already_there"`
	Other    int                      `json:"left_to_resync"`
	Removed  int                      `json:"no_longer_in_chain"`
	ExitCode int                      `json:"exit_code"`
}

// repairHeights repairs the database, or reports what it would do.
func repairHeights(ctx context.Context, o Options, out *cli.IO) error {
	// Only root may be allowed to read the credentials.
	client, clientErr := bitcoin.Open(o.Bitcoin, out.Warn)
	open := reorgtool.Open
	if o.DryRun {
		open = reorgtool.OpenForDryRun
	}
	db, err := open(ctx, &o.DBPath, out.Warn)
	if err != nil {
		return err
	}
	if clientErr != nil {
		return errors.Join(clientErr, db.Close())
	}
	r, err := repairOpen(ctx, o, db, client, out)
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	r.report(o, out)
	return nil
}

func repairOpen(ctx context.Context, o Options, db *reorgdb.DB, client *bitcoin.Client, out *cli.IO) (r *repair, err error) {
	r = &repair{}
	if r.tip, err = client.Tip(ctx); err != nil {
		return nil, err
	}
	if err := synced(r.tip, out); err != nil {
		return nil, err
	}
	warnBehind(r.tip, out)
	err = reorgtool.CompareBlocks(ctx, client, db, r.tip.Blocks, func(_ int, different []reorgtool.Different, counted []reorgtool.Counted) error {
		r.different += len(different)
		r.counted = append(r.counted, counted...)
		return nil
	})
	if err == nil {
		err = r.plan(db)
	}
	if err == nil && !o.DryRun {
		err = r.write(ctx, db)
	}
	return r, err
}

// plan determines what happens to each block. The block that is stored at its height may
// be at a count itself, and is then moved too.
func (r *repair) plan(db *reorgdb.DB) error {
	leaves, taken := map[uint64]bool{}, map[uint64]bool{}
	for _, b := range r.counted {
		leaves[b.Height] = true
	}
	for _, b := range r.counted {
		if b.ChainHeight == 0 {
			r.removed++
			continue
		}
		stored, ok, err := db.BlockHash(b.ChainHeight)
		switch {
		case err != nil:
			return err
		case taken[b.ChainHeight], ok && stored == b.Hash:
			r.present++
		case ok && !leaves[b.ChainHeight]:
			r.other++
		default:
			taken[b.ChainHeight] = true
			r.moves = append(r.moves, reorgdb.Block{Height: b.ChainHeight, Hash: b.Hash})
		}
	}
	return nil
}

// write moves all blocks in one atomic batch.
func (r *repair) write(ctx context.Context, db *reorgdb.DB) error {
	if err := ctx.Err(); err != nil || len(r.counted) == 0 {
		return err
	}
	return db.Update(func(u *reorgdb.Update) error {
		for _, b := range r.counted {
			u.DeleteBlock(b.Height)
		}
		for _, b := range r.moves {
			u.SetBlock(b)
		}
		return nil
	})
}

func (r *repair) report(o Options, out *cli.IO) {
	ranges := reorgtool.CountedRanges(r.counted)
	if out.JSON() {
		out.Document(repairDocument{DBPath: terminal.Text(o.DBPath), Chain: terminal.Text(r.tip.Chain), Tip: tipDocument{r.tip.Blocks, r.tip.BestBlockHash},
			DryRun: o.DryRun, Counted: ranges, Moved: len(r.moves), Present: r.present, Other: r.other, Removed: r.removed})
		return
	}
	if len(r.counted) == 0 {
		out.Printf("No stored height is a block count: nothing to move\n")
	} else {
		r.print(o, ranges, out)
	}
	if r.different > 0 {
		out.Warn("%d other stored hash(es) are not the chain's", r.different)
		out.Hint("see which: %s", exit.Command(Name, "--check", "--db-path", o.DBPath))
	}
}

func (r *repair) print(o Options, ranges []reorgtool.CountedRange, out *cli.IO) {
	printCounted(func(format string, args ...any) { out.Printf(format+"\n", args...) }, ranges)
	if o.DryRun {
		out.Printf("%d hash(es) to move, %d already there, %d left to a resync, %d no longer in the chain; nothing was written\n",
			len(r.moves), r.present, r.other, r.removed)
		return
	}
	out.Printf("%d hash(es) moved, %d already there, %d left to a resync, %d no longer in the chain\n", len(r.moves), r.present, r.other, r.removed)
	out.Hint("to update the rest, and the anchors, from the chain: %s", exit.Command(Name, "--anchors", "--db-path", o.DBPath))
}
