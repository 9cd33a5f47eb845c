package createanchor

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/btcsuite/btcd/btcjson"
	"github.com/btcsuite/btcd/wire/v2"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/anchortx"
	"ailee-recovery/internal/bitcoin/pending"
	"ailee-recovery/internal/bitcoin/wallet"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// The steps of a broadcast, in an order in which no crash loses track of a payment:
//
//  1. open the database, and check that its block hashes are of the node's chain
//  2. fund, sign and check the transaction, and ask
//  3. write the pending file: the anchor and the signed transaction
//  4. write the PENDING record
//  5. send
//  6. append the snapshot
//  7. remove the pending file
//
// Each step up to 5 is undone if the node certainly did not accept the transaction. A
// run that finds the pending file does the remaining steps, since it can check which ones
// are done. No second transaction is made while the first one can still be mined. When
// step 4 fails, the pending file stays: the record may have reached the disk all the same,
// and without the file it would name a transaction that exists nowhere.

// openDatabase opens the database for writing; for a dry run it only checks that it could.
func openDatabase(ctx context.Context, o *Options, out *cli.IO) (db *reorgdb.DB, err error) {
	open := reorgtool.Open
	if o.DryRun {
		open = reorgtool.OpenForDryRun
	}
	db, err = open(ctx, &o.DBPath, out.Warn, &o.DataDir, &o.Output)
	return db, reorgtool.Explain(o.DBPath, err)
}

// closeDatabase closes the database and reports a failure to do so, together with the error
// of the run. Everything is done and synced by then, but a database that was not closed
// properly may be one that the node cannot open.
func closeDatabase(o Options, db *reorgdb.DB, out *cli.IO, hint string, err *error) {
	if o.DryRun {
		hint = "nothing was changed"
	}
	failed := db.Close()
	if failed == nil {
		return
	}
	failed = fmt.Errorf("%s: %w", o.DBPath, failed)
	if *err != nil {
		out.Error("%v", failed)
		return
	}
	*err = exit.Fail(hint, failed) // DB: the database could not be closed, in a dry run
}

// broadcast anchors through the wallet of the Bitcoin node.
func (a *anchoring) broadcast(ctx context.Context) (err error) {
	if a.Output == "" {
		if err := a.checkDataDir(); err != nil {
			return err
		}
	}
	if a.db, err = openDatabase(ctx, &a.Options, a.out); err != nil {
		return err
	}
	defer func() {
		closeDatabase(a.Options, a.db, a.out, "run the same command again: completed steps are not repeated, and nothing is paid twice", &err) // DB: the database could not be closed
	}()
	if a.node, err = a.openNode(); err != nil {
		return err
	}
	// On another chain, the anchor would cost a fee and be worthless.
	if err := reorgtool.SameChain(ctx, a.node, a.db, a.DBPath); err != nil {
		return reorgtool.Explain(a.DBPath, err)
	}
	p, err := readPending(a.DBPath)
	switch {
	case err != nil:
		return err
	case p != nil && a.wanted(p.Anchor):
		return a.resume(ctx, p)
	case p != nil:
		if err := a.settle(ctx, p); err != nil {
			return err
		}
	}
	done, err := a.alreadyDone(ctx)
	if done || err != nil {
		return err
	}
	if err := a.newAnchor(ctx); err != nil {
		return err
	}
	record, ok, err := a.db.Anchor(a.anchor.Hash)
	switch {
	case err != nil:
		return reorgtool.Explain(a.DBPath, err)
	case ok:
		return exit.Failf("use another --timestamp-ms, or replace its transaction: "+exit.Command(Name, "--bump", record.Hash),
			"the anchor %s already has a record: %s, in transaction %s", record.Hash, record.Status, record.BitcoinTxID)
	}
	return a.pay(ctx)
}

// wanted reports whether the anchor of an earlier run is the one that this run is to make.
func (a *anchoring) wanted(earlier *snapshot.Anchor) bool {
	return earlier.L2StateRoot == a.source.report.Root && (!a.TimestampSet || earlier.TimestampMs == a.TimestampMs)
}

// pay makes the transaction and does everything that follows.
func (a *anchoring) pay(ctx context.Context) error {
	if a.Output != "" {
		if _, err := os.Lstat(a.target()); err == nil {
			return a.explain(&os.PathError{Op: "create", Path: a.target(), Err: fs.ErrExist})
		}
	}
	if err := a.writable(); err != nil {
		return a.explain(err)
	}
	w, err := wallet.Open(a.node, a.Wallet)
	if err != nil {
		return err
	}
	tx, err := w.Build(ctx, snapshot.OpReturnScript(snapshot.Commitment(a.anchor.Payload)), a.Fees)
	if err != nil {
		return err
	}
	a.payment = &payment{TxID: tx.TxID(), Fee: tx.Fee, VSize: wallet.VSize(tx.MsgTx), Change: &tx.Change}
	if a.DryRun {
		return a.write(ctx)
	}
	if err := a.ask(ctx, fmt.Sprintf("0 sat in an OP_RETURN output, %d sat of change", tx.Change)); err != nil {
		return err
	}
	// From here on, an interrupt would only leave work for a second run.
	ctx = context.WithoutCancel(ctx)
	p := pending.New(a.DBPath, a.anchor, a.Wallet, tx.MsgTx)
	if err := p.Write(); err != nil {
		return exit.Fail("nothing was sent", err) // DB/.DB.anchor-pending cannot be written
	}
	if err := a.record(p); err != nil {
		// The record may still have been written, to a log that could not be synced.
		return exit.Fail("nothing was sent; run the same command again to continue with this transaction", err) // the record cannot be written to DB
	}
	switch err := w.Send(ctx, tx.MsgTx); {
	case errors.Is(err, bitcoin.ErrOutcomeUnknown):
		return a.unknown(p, err)
	case err != nil:
		if sent, findErr := a.sentAllTheSame(ctx, w, p, err); findErr != nil {
			return a.unknown(p, findErr)
		} else if sent {
			return a.finish(ctx, p)
		}
		if undo := a.takeBack(p); undo != nil {
			a.out.Error("could not remove the record of the anchor %s: %v", p.Anchor.Hash, undo)
		}
		return err
	}
	return a.finish(ctx, p)
}

// sentAllTheSame reports whether the node has a transaction even though the answer was a
// refusal. A proxy in front of several nodes, for example, may have asked another node first.
func (a *anchoring) sentAllTheSame(ctx context.Context, w *wallet.Wallet, p *pending.Broadcast, refused error) (bool, error) {
	var rpc *btcjson.RPCError
	var status *bitcoin.StatusError
	if !errors.As(refused, &rpc) && !errors.As(refused, &status) {
		return false, nil // there was no answer
	}
	state, err := w.Find(ctx, p.Tx.TxID())
	switch {
	case err != nil:
		return false, fmt.Errorf("%w; and %w", refused, err)
	case state != wallet.Known:
		return false, nil
	}
	a.out.Warn("the node has transaction %s even though it was refused: %v", p.Tx.TxID(), refused)
	return true, nil
}

// writable returns an error unless the snapshot can be written: nothing is paid for one
// that cannot.
func (a *anchoring) writable() error {
	path := a.target()
	if _, err := os.Stat(path); a.Output != "" || errors.Is(err, fs.ErrNotExist) {
		path = filepath.Dir(path)
	}
	if err := unix.Access(path, unix.W_OK); err != nil {
		return &os.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}

// ask shows what is to be sent and waits for a yes, unless --yes was given.
func (a *anchoring) ask(ctx context.Context, amount string) error {
	if a.Yes {
		return nil
	}
	yes, err := a.out.Ask(ctx, fmt.Sprintf("Transaction: %s\nAmount: %s\nFee: %s\nSend it?", a.payment.TxID, amount, a.payment.feeText()))
	if err == nil && !yes {
		err = exit.Failf("nothing was changed", "not sent: the answer was no")
	}
	return err
}

// unknown returns the error for when the node may have accepted the transaction.
func (a *anchoring) unknown(p *pending.Broadcast, err error) error {
	return exit.Fail("run the same command again: it looks for this transaction and does not pay for another",
		fmt.Errorf("it is unknown whether transaction %s was sent; the anchor stays PENDING: %w", p.Tx.TxID(), err))
}

// record writes the PENDING record, unless there is one. A node that ran in the meantime
// may have marked it as orphaned.
func (a *anchoring) record(p *pending.Broadcast) error {
	before, ok, err := a.db.Anchor(p.Anchor.Hash)
	if err != nil || ok && before.Status != reorgdb.FailedOrphaned {
		return reorgtool.Explain(a.DBPath, err)
	}
	return reorgtool.Explain(a.DBPath, a.db.Update(func(u *reorgdb.Update) error {
		return u.Anchor(reorgdb.Anchor{Hash: p.Anchor.Hash, BitcoinTxID: p.Tx.TxID(), BroadcastTime: uint64(time.Now().UnixMilli()),
			Status: reorgdb.Pending, L2StateRoot: p.Anchor.L2StateRoot})
	}))
}

// takeBack removes what was written for a transaction that will not be mined.
func (a *anchoring) takeBack(p *pending.Broadcast) error {
	err := a.db.Update(func(u *reorgdb.Update) error {
		u.DeleteAnchor(p.Anchor.Hash)
		return nil
	})
	if err != nil {
		return reorgtool.Explain(a.DBPath, err)
	}
	return p.Remove()
}

// finish writes the snapshot, unless an earlier run has written it.
func (a *anchoring) finish(ctx context.Context, p *pending.Broadcast) (err error) {
	if p.Resumed {
		a.done, err = a.find(ctx, a.anchor.Hash)
	}
	if err == nil && !a.done {
		err = a.write(ctx)
	}
	if err == nil {
		err = p.Remove()
	}
	if err != nil {
		a.out.Warn("transaction %s was sent; run the same command again to do the rest, without paying again", p.Tx.TxID())
	}
	return err
}

// resume continues the broadcast that an earlier run began.
func (a *anchoring) resume(ctx context.Context, p *pending.Broadcast) error {
	a.anchor = p.Anchor
	a.payment = &payment{TxID: p.Tx.TxID(), VSize: wallet.VSize(p.Tx), Resumed: true}
	if a.DryRun {
		return a.write(ctx)
	}
	ctx = context.WithoutCancel(ctx)
	txid, err := a.deliver(ctx, p)
	if err != nil {
		return err
	}
	if txid != p.Tx.TxID() {
		a.payment = &payment{TxID: txid, Resumed: true}
	}
	return a.finish(ctx, p)
}

// settle finishes the broadcast of another state. The snapshot of that state is not
// appended: the state is not at hand, and it is older.
func (a *anchoring) settle(ctx context.Context, p *pending.Broadcast) error {
	if a.DryRun {
		a.out.Warn("an earlier broadcast is not finished: the anchor %s in transaction %s", p.Anchor.Hash, p.Tx.TxID())
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	txid, err := a.deliver(ctx, p)
	if err != nil {
		return err
	}
	a.out.Warn("an earlier run sent transaction %s for another state, and the snapshot of that state is not appended: its anchor is %s, the payload %s",
		txid, p.Anchor.Hash, p.Anchor.Payload)
	return p.Remove()
}

// deliver makes sure that the record exists and that the node has the transaction, or
// another one with the same anchor, in case the operator has replaced it in the meantime.
// It returns the id of the transaction that the node has.
func (a *anchoring) deliver(ctx context.Context, p *pending.Broadcast) (txid string, err error) {
	txid = p.Tx.TxID()
	before, ok, err := a.db.Anchor(p.Anchor.Hash)
	switch {
	case err != nil:
		return "", reorgtool.Explain(a.DBPath, err)
	case ok && before.Status == reorgdb.Confirmed:
		return before.BitcoinTxID, nil
	}
	if err := a.record(p); err != nil {
		return "", err
	}
	// If no wallet was named then, it was the only one loaded.
	w, err := wallet.Open(a.node, cmp.Or(p.Wallet, a.Wallet))
	if err != nil {
		return "", err
	}
	sent, known, err := onItsWay(ctx, w, reorgdb.Anchor{Hash: p.Anchor.Hash, L2StateRoot: p.Anchor.L2StateRoot, BitcoinTxID: txid})
	switch {
	case err != nil:
		return "", err
	case sent != "":
		if sent != txid {
			a.out.Warn("the anchor is in transaction %s instead of %s", sent, txid)
		}
		return sent, a.recordSent(p, sent)
	case known == nil || known.State == wallet.Absent:
		refused := w.Send(ctx, p.Tx)
		if refused == nil {
			return txid, nil
		}
		if errors.Is(refused, bitcoin.ErrOutcomeUnknown) {
			return "", a.unknown(p, refused)
		}
		dead, err := w.Dead(ctx, p.Tx)
		if err != nil {
			return "", err
		}
		if !dead {
			return "", exit.Fail("it may still be mined: run the same command again later",
				fmt.Errorf("transaction %s from an earlier run is neither in the mempool nor in the chain, and the node does not accept it now: %w", txid, refused))
		}
	}
	if err := a.takeBack(p); err != nil {
		return "", err
	}
	return "", exit.Failf("run the same command again", "transaction %s from an earlier run can never be mined, since others spend its inputs; its record was removed", txid)
}

// recordSent updates the record if it names another transaction than the one that carries
// the anchor.
func (a *anchoring) recordSent(p *pending.Broadcast, txid string) error {
	r, ok, err := a.db.Anchor(p.Anchor.Hash)
	if err != nil || !ok || r.BitcoinTxID == txid {
		return reorgtool.Explain(a.DBPath, err)
	}
	r.BitcoinTxID = txid
	return reorgtool.Explain(a.DBPath, a.db.Update(func(u *reorgdb.Update) error { return u.Anchor(r) }))
}

// alreadyDone reports whether an earlier run has completed the broadcast of this state. A
// PENDING anchor is not paid for twice, nor is a confirmed one that has the very time that
// was asked for.
func (a *anchoring) alreadyDone(ctx context.Context) (bool, error) {
	var waiting, failed []reorgdb.Anchor
	for r, err := range a.db.Anchors(ctx) {
		if err != nil {
			return false, reorgtool.Explain(a.DBPath, err)
		}
		switch {
		case r.L2StateRoot != a.source.report.Root:
		case r.Status == reorgdb.Pending, a.TimestampSet && r.Status == reorgdb.Confirmed:
			waiting = append(waiting, r.Anchor)
		case (r.Status == reorgdb.FailedOrphaned || r.Status == reorgdb.InvalidatedReorg) && !a.TimestampSet:
			failed = append(failed, r.Anchor)
		}
	}
	for _, r := range waiting {
		found, err := a.find(ctx, r.Hash)
		if err != nil {
			return false, err
		}
		if !found && !a.TimestampSet {
			return false, exit.Failf("wait for it, replace its transaction with --bump, or give the new anchor another time with --timestamp-ms",
				"the anchor %s of the same state is already PENDING, in transaction %s", r.Hash, r.BitcoinTxID)
		}
		if !found {
			continue
		}
		earlier, err := a.anchorAt(ctx, a.written)
		if err != nil {
			return false, err
		}
		if earlier != nil && a.wanted(earlier) {
			a.anchor, a.done = earlier, true
			a.payment = &payment{TxID: r.BitcoinTxID, Resumed: true}
			return true, a.stillThere(ctx, r)
		}
	}
	for _, r := range failed {
		if err := a.failedForCertain(ctx, r); err != nil {
			return false, err
		}
	}
	return false, nil
}

// failedForCertain returns an error unless the transaction of a failed anchor is nowhere to
// be found. A node marks an anchor as failed by the clock alone, and as invalidated when a
// reorg has replaced its block: as a rule, the transaction is then waiting for another block.
func (a *anchoring) failedForCertain(ctx context.Context, r reorgdb.Anchor) error {
	w, err := wallet.Open(a.node, a.Wallet)
	if err != nil {
		return err
	}
	txid, known, err := onItsWay(ctx, w, r)
	const orNewTime = ", or give the new anchor another time with --timestamp-ms"
	if err == nil && txid == "" && known == nil && anchortx.IsTxID(r.BitcoinTxID) {
		// It is not a transaction of this wallet, but a block may have it.
		var found []anchortx.Found
		found, err = anchortx.Find(ctx, a.node, []anchortx.Wanted{anchortx.ForRecord(r.BitcoinTxID, r.Hash, r.L2StateRoot, r.BitcoinHeight, r.BroadcastTime)},
			anchortx.Options{Wallet: a.Wallet, Scan: anchortx.DefaultScan})
		switch {
		case err != nil:
		case found[0].State == anchortx.Unknown:
			return exit.Failf("name the wallet that sent it with --wallet"+orNewTime,
				"the anchor %s of the same state is %s, but the state of its transaction %s could not be determined: %s", r.Hash, r.Status, r.BitcoinTxID, found[0].Why)
		case found[0].Tx != nil:
			txid = found[0].Tx.TxID()
		}
	}
	if err != nil || txid == "" {
		return err
	}
	return exit.Failf("bring the record up to date with "+exit.Command("ailee_resync_blocks", "--anchors", "--db-path", a.DBPath)+orNewTime,
		"the anchor %s of the same state is %s, but its transaction %s is in the mempool or in the chain", r.Hash, r.Status, txid)
}

// onItsWay returns the id of the transaction that carries an anchor and is in the mempool or,
// as far as the wallet knows, in the chain, "" for none. It also returns what the wallet knows
// about the recorded transaction, nil for nothing.
func onItsWay(ctx context.Context, w *wallet.Wallet, r reorgdb.Anchor) (txid string, recorded *wallet.Member, err error) {
	if !anchortx.IsTxID(r.BitcoinTxID) {
		return "", nil, nil
	}
	carries := func(tx *wire.MsgTx) bool { return anchortx.CarriesAnchor(tx, r.Hash, r.L2StateRoot) }
	family, err := w.Family(ctx, r.BitcoinTxID, carries)
	if err != nil {
		return "", nil, err
	}
	if len(family) == 0 {
		// It belongs to another wallet, or was never sent.
		state, err := w.Find(ctx, r.BitcoinTxID)
		if err != nil || state != wallet.Known {
			return "", nil, err
		}
		return r.BitcoinTxID, nil, nil
	}
	for _, m := range family {
		if m.State == wallet.Known {
			return m.TxID, family[0], nil
		}
	}
	return "", family[0], nil
}

// stillThere warns if the transaction of an anchor has vanished. It returns an error if the
// transaction can never be mined, since the anchor is then not on its way.
func (a *anchoring) stillThere(ctx context.Context, r reorgdb.Anchor) error {
	w, err := wallet.Open(a.node, a.Wallet)
	if err != nil {
		return err
	}
	txid, recorded, err := onItsWay(ctx, w, r)
	if err != nil {
		return err
	}
	resync := "bring the record up to date with " + exit.Command("ailee_resync_blocks", "--anchors", "--db-path", a.DBPath)
	switch {
	case txid == r.BitcoinTxID:
	case txid != "":
		a.out.Warn("the anchor is in transaction %s instead of %s: %s", txid, r.BitcoinTxID, resync)
	case recorded != nil && recorded.State == wallet.Conflicted:
		return dead(recorded)
	default:
		a.out.Warn("transaction %s is neither in the mempool nor in the chain: %s", r.BitcoinTxID, resync)
	}
	return nil
}

// find looks for the snapshot with the given anchor in the target file, newest first, and
// notes where it is.
func (a *anchoring) find(ctx context.Context, hash string) (bool, error) {
	a.file = a.target()
	f, err := durable.OpenRegular(a.file, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, a.explain(err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return false, a.explain(err)
	}
	// As this tool writes it, the anchor's line ends the body, and the hash ends that line.
	tail := fmt.Appendf(nil, " \"%s\"\n", hash)
	got := make([]byte, len(tail))
	for l, err := range snapshot.Backward(f, size) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			_, err = f.ReadAt(got, l.BodyEnd-int64(len(tail)))
		}
		if err != nil {
			return false, a.explain(err)
		}
		if bytes.Equal(got, tail) {
			a.written = l
			return true, nil
		}
	}
	return false, nil
}

// anchorAt reads a snapshot's anchor.
func (a *anchoring) anchorAt(ctx context.Context, l snapshot.Located) (*snapshot.Anchor, error) {
	f, err := durable.OpenRegular(a.file, os.O_RDONLY)
	if err != nil {
		return nil, a.explain(err)
	}
	defer f.Close()
	report, err := snapshot.NewChecker(a.Memory()).Check(ctx, f, l)
	if err != nil {
		return nil, a.explain(err)
	}
	return report.Anchor, nil
}
