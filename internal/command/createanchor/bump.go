package createanchor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/anchortx"
	"ailee-recovery/internal/bitcoin/wallet"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/reorgdb"
)

// bump replaces the transaction of a stuck anchor. The wallet knows what replaces
// what, and replaces a transaction once only: whatever happens between that and the
// record, the next run finds the new transaction and records it.
func bump(ctx context.Context, o Options, out *cli.IO) error {
	b := &bumping{Options: o, out: out}
	if err := b.run(ctx); err != nil {
		return err
	}
	b.report()
	return nil
}

type bumping struct {
	Options
	out    *cli.IO
	db     *reorgdb.DB
	wallet *wallet.Wallet
	record reorgdb.Anchor
	txid   string // what replaces, "" in a dry run that would make it
	fee    int64  // 0 where it was replaced before
}

func (b *bumping) run(ctx context.Context) (err error) {
	openNode := nodeOf(b.Options, b.out)
	_, _ = openNode() // perhaps root alone can read what logs in; the error is that of the next call, too
	if b.db, err = openDatabase(ctx, &b.Options, b.out); err != nil {
		return err
	}
	defer func() {
		closeDatabase(b.Options, b.db, b.out, "the replacement is recorded: see that all files there belong to the user of the node, and do not bump it again for this", &err)
	}()
	p, err := readPending(b.DBPath)
	if err != nil {
		return err
	}
	if p != nil && p.Anchor.Hash == b.Bump {
		return exit.Failf("run the command that broadcasts it again first", "the broadcast of the anchor %s is not finished", b.Bump)
	}
	record, ok, err := b.db.Anchor(b.Bump)
	switch {
	case err != nil:
		return reorgtool.Explain(b.DBPath, err)
	case !ok:
		return exit.Failf("list the anchors: "+exit.Command("ailee_reorg_show", "--db-path", b.DBPath, "anchors"), "%s has no anchor %s", b.DBPath, b.Bump)
	case record.Status == reorgdb.Confirmed:
		return exit.Failf("there is nothing to replace", "the anchor %s is confirmed already, in transaction %s", b.Bump, record.BitcoinTxID)
	}
	node, err := openNode()
	if err != nil {
		return err
	}
	b.record = record
	if b.wallet, err = wallet.Open(node, b.Wallet); err != nil {
		return err
	}
	return b.replace(ctx)
}

// replace makes the new transaction, unless there is one, and records it.
func (b *bumping) replace(ctx context.Context) error {
	carries := func(tx *wire.MsgTx) bool { return anchortx.CarriesAnchor(tx, b.record.Hash, b.record.L2StateRoot) }
	earlier, err := b.wallet.Replacement(ctx, b.record.BitcoinTxID, carries)
	if err != nil {
		return err
	}
	if earlier != "" {
		b.out.Warn("transaction %s was replaced already", b.record.BitcoinTxID)
		return b.replaced(earlier, 0)
	}
	old, err := b.wallet.Stuck(ctx, b.record.BitcoinTxID)
	if err != nil {
		return err
	}
	if !carries(old) {
		return exit.Failf("check the record: ailee_reorg_verify shows it", "transaction %s does not carry the anchor %s", b.record.BitcoinTxID, b.record.Hash)
	}
	plan, err := b.wallet.PlanBump(ctx, old, b.Fees)
	if err != nil {
		return err
	}
	if b.DryRun {
		b.fee = plan.Fee
		return nil
	}
	if !b.Yes {
		yes, err := b.out.Ask(ctx, fmt.Sprintf("Transaction: a replacement of %s\nAmount: 0 sat in an OP_RETURN output, the rest as change\nFee: about %d sat\nSend it?", plan.Old, plan.Fee))
		if err != nil {
			return err
		}
		if !yes {
			return exit.Failf("nothing was changed", "not sent: the answer was no")
		}
	}
	ctx = context.WithoutCancel(ctx)
	txid, fee, err := b.wallet.Bump(ctx, plan)
	if errors.Is(err, bitcoin.ErrOutcomeUnknown) {
		return exit.Fail("run the same command again: it looks for a replacement before it makes one",
			fmt.Errorf("whether transaction %s was replaced is unknown: %w", plan.Old, err))
	}
	if err != nil {
		return err
	}
	if fee > b.Fees.Max {
		b.out.Warn("the wallet took a fee of %d sat, above --max-fee", fee)
	}
	return b.replaced(txid, fee)
}

// replaced notes the new transaction in the record.
func (b *bumping) replaced(txid string, fee int64) error {
	b.txid, b.fee = txid, fee
	if b.DryRun {
		return nil
	}
	r := b.record
	r.BitcoinTxID, r.BitcoinHeight, r.Confirmations, r.Status = txid, 0, 0, reorgdb.Pending
	r.BroadcastTime = uint64(time.Now().UnixMilli())
	r.RetryCount++
	return reorgtool.Explain(b.DBPath, b.db.Update(func(u *reorgdb.Update) error { return u.Anchor(r) }))
}

// bumpDocument is the JSON result.
type bumpDocument struct {
	AnchorHash string `json:"anchor_hash"`
	ReplacedTx string `json:"replaced_txid"`
	TxID       string `json:"txid,omitempty"`    // not known in a dry run
	Fee        int64  `json:"fee_sat,omitempty"` // not known where it was replaced before
	RetryCount uint32 `json:"retry_count"`
	DryRun     bool   `json:"dry_run"`
	DBPath     string `json:"db_path"`
	ExitCode   int    `json:"exit_code"`
}

func (b *bumping) report() {
	if b.out.JSON() {
		b.out.Document(bumpDocument{AnchorHash: b.record.Hash, ReplacedTx: b.record.BitcoinTxID, TxID: b.txid, Fee: b.fee,
			RetryCount: b.record.RetryCount + 1, DryRun: b.DryRun, DBPath: terminal.Text(b.DBPath)})
		return
	}
	b.out.Printf("Anchor hash: %s\n", b.record.Hash)
	b.out.Printf("Replaced transaction: %s\n", terminal.Text(b.record.BitcoinTxID))
	if b.txid != "" {
		b.out.Printf("Transaction: %s\n", b.txid)
	}
	if b.fee > 0 {
		b.out.Printf("Fee: %d sat\n", b.fee)
	}
	if b.DryRun {
		b.out.Printf("Would record it in %s, as PENDING\n", terminal.Text(b.DBPath))
	} else {
		b.out.Printf("Recorded in %s, as PENDING with %d retry(s)\n", terminal.Text(b.DBPath), b.record.RetryCount+1)
	}
}
