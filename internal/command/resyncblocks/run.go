package resyncblocks

import (
	"context"
	"errors"
	"math"
	"time"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/resyncblocks/followanchors"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/reorgdb"
)

// Run fills the database, compares it, or moves hashes stored at counts. The error
// carries the exit code. The database is opened before the Bitcoin node is asked
// anything.
func Run(ctx context.Context, o Options, out *cli.IO) error {
	run := fillAndSettle
	switch {
	case o.RepairHeights:
		run = repairHeights
	case o.Check || o.DryRun:
		run = compareOnly
	}
	err := run(ctx, o, out)
	if o.Check && reorgtool.LookAgain(o.DBPath, err) {
		err = run(ctx, o, out)
	}
	return explain(ctx, o, err)
}

// explain leaves an error alone if it says that the context has ended.
func explain(ctx context.Context, o Options, err error) error {
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return err
	}
	return reorgtool.Explain(o.DBPath, err)
}

// compareOnly writes nothing. A dry run is refused if the run itself would be.
func compareOnly(ctx context.Context, o Options, out *cli.IO) (err error) {
	// Only root may be allowed to read the credentials.
	client, clientErr := bitcoin.Open(o.Bitcoin, out.Warn)
	var db *reorgdb.DB
	if o.DryRun {
		db, err = reorgtool.OpenForDryRun(ctx, &o.DBPath, out.Warn)
	} else {
		db, err = reorgdb.OpenReadOnly(o.DBPath)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if clientErr != nil {
		return clientErr
	}
	p, err := newPlan(ctx, o, db, client, out)
	if err != nil {
		return err
	}
	warnBehind(p.tip, out)
	above, err := storedAbove(ctx, db, p.tip.Blocks)
	if err != nil {
		return err
	}
	anchors, err := followAnchors(ctx, o, db, client)
	if err != nil {
		return err
	}
	return p.report(o, above, anchors, out)
}

// followAnchors brings the anchors in line with the chain, if that was requested; otherwise
// the summary is nil.
func followAnchors(ctx context.Context, o Options, db *reorgdb.DB, client *bitcoin.Client) (*followanchors.Summary, error) {
	if !o.Anchors {
		return nil, nil
	}
	sum, err := followanchors.Follow(ctx, db, client, followanchors.Options{Confirmations: o.Confirmations, Find: o.Find,
		NowMs: uint64(time.Now().UnixMilli()), DryRun: o.DryRun})
	return &sum, err
}

// fillAndSettle reports what was done only once the database is closed: if closing it fails,
// the node may not be able to open it.
func fillAndSettle(ctx context.Context, o Options, out *cli.IO) error {
	// Only root may be allowed to read the credentials.
	client, clientErr := bitcoin.Open(o.Bitcoin, out.Warn)
	db, err := reorgtool.Open(ctx, &o.DBPath, out.Warn)
	if err != nil {
		return err
	}
	if clientErr != nil {
		return errors.Join(clientErr, db.Close())
	}
	report, err := fillOpen(ctx, o, db, client, out)
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	report()
	return nil
}

// fillOpen fills the open database.
func fillOpen(ctx context.Context, o Options, db *reorgdb.DB, client *bitcoin.Client, out *cli.IO) (report func(), err error) {
	start := time.Now()
	p, err := newPlan(ctx, o, db, client, out)
	if err != nil {
		return nil, err
	}
	warnBehind(p.tip, out)
	f := &filling{o: o, client: client, db: db, out: out, plan: p, top: p.stored.top, highest: p.stored.top, warned: p.warned}
	above, err := storedAbove(ctx, db, p.tip.Blocks)
	if err != nil {
		return nil, err
	}
	if above.Count > 0 {
		f.highest = math.MaxInt64
	}
	if err = f.fill(ctx); err == nil {
		err = f.settle(ctx)
	}
	if err != nil {
		return nil, f.cutShort(ctx, err)
	}
	if above, err = storedAbove(ctx, db, f.tip.Blocks); err != nil {
		return nil, err
	}
	took := time.Since(start)
	anchors, err := followAnchors(ctx, o, db, client)
	if err != nil {
		return nil, f.cutShort(ctx, err)
	}
	return func() { f.report(above, anchors, took) }, nil
}

// newPlan makes a plan, and makes it again if the chain has lost blocks meanwhile.
func newPlan(ctx context.Context, o Options, db *reorgdb.DB, client *bitcoin.Client, out *cli.IO) (p *plan, err error) {
	for range maxRounds {
		if p, err = makePlan(ctx, o, db, client, out); !bitcoin.AboveTip(err) {
			return p, err
		}
	}
	return nil, err
}

// cutShort adds what an error leaves behind.
func (f *filling) cutShort(ctx context.Context, err error) error {
	n := f.written + f.replaced
	if n == 0 {
		return err
	}
	const again = "run the command again: it continues where it stopped"
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return exit.Failf(again, "%w: %d block hash(es) were written", exit.ErrInterrupted, n)
	}
	f.out.Warn("%d block hash(es) were written before the error: once it is fixed, run the command again", n)
	return err
}

// aboveTip are the stored heights above the chain's tip. They need not be wrong: the
// Bitcoin node may be behind.
type aboveTip struct {
	Count uint64 `json:"count"`
	From  uint64 `json:"from"`
	To    uint64 `json:"to"`
}

func storedAbove(ctx context.Context, db *reorgdb.DB, tip int64) (above aboveTip, err error) {
	for b, err := range db.Blocks(ctx, uint64(tip)+1) {
		if err != nil {
			return aboveTip{}, err
		}
		if above.Count == 0 {
			above.From = b.Height
		}
		above.Count++
		above.To = b.Height
	}
	return above, nil
}
