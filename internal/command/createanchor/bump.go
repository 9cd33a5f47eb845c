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

// bump replaces the transaction of a stuck anchor. The wallet knows which transaction
// replaces which, and replaces each one only once. If a run fails before it has recorded the
// new transaction, the next run finds it, sends it if the node does not have it, and records
// it.
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
	txid   string // of the replacement, "" in a dry run that would make it
	fee    int64  // 0 if an earlier run replaced the transaction
}

func (b *bumping) run(ctx context.Context) (err error) {
	openNode := nodeOf(b.Options, b.out)
	_, _ = openNode() // perhaps only root can read the credentials; the next call returns the same error
	if b.db, err = openDatabase(ctx, &b.Options, b.out); err != nil {
		return err
	}
	defer func() {
		closeDatabase(b.Options, b.db, b.out, "the replacement is recorded, so do not bump the anchor again; check that all files there belong to the node's user", &err) // DB: the database could not be closed
	}()
	p, err := readPending(b.DBPath)
	if err != nil {
		return err
	}
	if p != nil && p.Anchor.Hash == b.Bump {
		return exit.Failf("first run the command that broadcasts it again", "the broadcast of the anchor %s is not finished", b.Bump)
	}
	record, ok, err := b.db.Anchor(b.Bump)
	switch {
	case err != nil:
		return reorgtool.Explain(b.DBPath, err)
	case !ok:
		return exit.Failf("list the anchors: "+exit.Command("ailee_reorg_show", "--db-path", b.DBPath, "anchors"), "%s has no anchor %s", b.DBPath, b.Bump)
	case record.Status == reorgdb.Confirmed:
		return exit.Failf("there is nothing to replace", "the anchor %s is already confirmed, in transaction %s", b.Bump, record.BitcoinTxID)
	}
	node, err := openNode()
	if err != nil {
		return err
	}
	if err := reorgtool.SameChain(ctx, node, b.db, b.DBPath); err != nil {
		return reorgtool.Explain(b.DBPath, err)
	}
	if !anchortx.IsTxID(record.BitcoinTxID) {
		return exit.Failf(anchorAgain, "the record of the anchor %s names no transaction: %q", b.Bump, record.BitcoinTxID)
	}
	b.record = record
	if b.wallet, err = wallet.Open(node, b.Wallet); err != nil {
		return err
	}
	return b.replace(ctx)
}

// replace makes the new transaction, unless there is one, and records it once the node has
// it. Until then the record names the old transaction, which may still be mined.
func (b *bumping) replace(ctx context.Context) error {
	family, err := b.wallet.Family(ctx, b.record.BitcoinTxID, b.carries)
	if err != nil {
		return err
	}
	if len(family) == 0 {
		return exit.Failf("name the wallet that sent it: --wallet NAME", "the wallet does not know the transaction %s", b.record.BitcoinTxID)
	}
	for _, m := range family[1:] {
		switch {
		case m.State != wallet.Known:
			continue
		case m.Confirmations > 0:
			b.out.Warn("transaction %s, which carries the same anchor, is in the chain", m.TxID)
		default:
			b.out.Warn("transaction %s was already replaced", b.record.BitcoinTxID)
		}
		return b.replaced(m.TxID, 0)
	}
	old := family[0]
	switch {
	case old.Confirmations > 0:
		return exit.Failf("there is nothing to replace: bring the records up to date with "+exit.Command("ailee_resync_blocks", "--anchors", "--db-path", b.DBPath),
			"the transaction %s is in the chain, with %d confirmation(s)", old.TxID, old.Confirmations)
	case old.State == wallet.Conflicted:
		return dead(old)
	case !b.carries(old.Tx):
		return exit.Failf("look at the record: "+exit.Command("ailee_reorg_show", "--db-path", b.DBPath, "anchor", b.record.Hash), "transaction %s does not carry the anchor %s", b.record.BitcoinTxID, b.record.Hash)
	}
	if made := unsent(family); made != nil {
		b.out.Warn("the wallet made transaction %s to replace %s, but has not sent it", made.TxID, old.TxID)
		if b.DryRun {
			b.txid, b.fee = made.TxID, made.Fee
			return nil
		}
		if err := b.ask(ctx, old.TxID, made.Fee); err != nil {
			return err
		}
		return b.send(context.WithoutCancel(ctx), made)
	}
	plan, err := b.wallet.PlanBump(ctx, old.Tx, b.Fees)
	if err != nil {
		return err
	}
	if b.DryRun {
		b.fee = plan.Fee
		return nil
	}
	if err := b.ask(ctx, plan.Old, plan.Fee); err != nil {
		return err
	}
	return b.make(context.WithoutCancel(ctx), plan)
}

func (b *bumping) carries(tx *wire.MsgTx) bool {
	return anchortx.CarriesAnchor(tx, b.record.Hash, b.record.L2StateRoot)
}

// unsent returns the latest replacement of family[0] that the wallet has made but the node
// does not know, or nil if there is none.
func unsent(family []*wallet.Member) (latest *wallet.Member) {
	byID := map[string]*wallet.Member{}
	for _, m := range family {
		byID[m.TxID] = m
	}
	for m := byID[family[0].ReplacedBy]; m != nil; m = byID[m.ReplacedBy] {
		delete(byID, m.TxID) // in case the answers form a cycle
		if m.State == wallet.Absent {
			latest = m
		}
	}
	return latest
}

const anchorAgain = "anchor the state again, with another time: --broadcast --timestamp-ms N"

// dead returns the error for a transaction that can never be mined, because another one in
// the chain spends its inputs.
func dead(m *wallet.Member) error {
	return exit.Failf(anchorAgain,
		"transaction %s can never be mined: %s", m.TxID, m.Spent())
}

// ask shows what is to be sent and waits for a yes, unless --yes was given.
func (b *bumping) ask(ctx context.Context, old string, fee int64) error {
	if b.Yes {
		return nil
	}
	yes, err := b.out.Ask(ctx, fmt.Sprintf("Transaction: a replacement for %s\nAmount: 0 sat in an OP_RETURN output, the rest as change\nFee: about %d sat\nSend it?", old, fee))
	if err == nil && !yes {
		err = exit.Failf("nothing was changed", "not sent: the answer was no")
	}
	return err
}

// make has the wallet make the replacement, and checks that the node has it: the wallet
// gives the same answer when it has not sent anything.
func (b *bumping) make(ctx context.Context, plan *wallet.Bump) error {
	txid, fee, err := b.wallet.Bump(ctx, plan)
	if errors.Is(err, bitcoin.ErrOutcomeUnknown) {
		return b.unknown(err)
	}
	if err != nil {
		return err
	}
	for _, words := range plan.Said {
		b.out.Warn("the wallet says about transaction %s: %s", txid, words)
	}
	made, err := b.wallet.Member(ctx, txid)
	if err == nil && made == nil {
		err = errors.New("the wallet does not know the transaction that it made: " + txid)
	}
	switch {
	case err != nil:
		return b.unknown(err)
	case made.State == wallet.Known && b.carries(made.Tx):
		if fee > b.Fees.Max {
			b.out.Warn("the wallet set a fee of %d sat, which is above --max-fee", fee)
		}
		return b.replaced(txid, fee)
	}
	return b.send(ctx, made)
}

// send sends the transaction that the wallet has made, and records it once the node has
// accepted it.
func (b *bumping) send(ctx context.Context, made *wallet.Member) error {
	switch {
	case made.State == wallet.Conflicted:
		return dead(made)
	case !b.carries(made.Tx):
		return exit.Failf("look at both transactions: the record still names the old one",
			"the wallet made transaction %s to replace %s, but it does not carry the anchor %s", made.TxID, b.record.BitcoinTxID, b.record.Hash)
	}
	if err := b.Fees.Check(made.Fee); err != nil {
		return err
	}
	err := b.wallet.Send(ctx, made.Tx)
	switch {
	case errors.Is(err, bitcoin.ErrOutcomeUnknown):
		return b.unknown(err)
	case err != nil:
		return exit.Fail("the old transaction may still be mined; run the same command again to send the new one when the node accepts it",
			fmt.Errorf("the wallet made transaction %s to replace %s, but the node does not accept it; the record is unchanged: %w", made.TxID, b.record.BitcoinTxID, err))
	}
	return b.replaced(made.TxID, made.Fee)
}

// unknown returns the error for when the transaction may have been replaced.
func (b *bumping) unknown(err error) error {
	return exit.Fail("run the same command again: it looks for a replacement before it makes one",
		fmt.Errorf("it is unknown whether transaction %s was replaced: %w", b.record.BitcoinTxID, err))
}

// replaced puts the new transaction into the record.
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
	TxID       string `json:"txid,omitempty"`    // unknown in a dry run
	Fee        int64  `json:"fee_sat,omitempty"` // unknown if an earlier run replaced it
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
		b.out.Printf("Would record it in %s as PENDING\n", terminal.Text(b.DBPath))
	} else {
		b.out.Printf("Recorded in %s as PENDING, with retry count %d\n", terminal.Text(b.DBPath), b.record.RetryCount+1)
	}
}
