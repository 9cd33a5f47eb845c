// Package followanchors brings the anchor records of a reorg database in line with
// the Bitcoin chain.
package followanchors

import (
	"context"
	"fmt"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/anchortx"
	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/reorgdb"
)

// Options are the options of [Follow].
type Options struct {
	Confirmations uint64 // how many make an anchor confirmed; 0 for [reorgdb.ConfirmedAt]
	Find          anchortx.Options
	NowMs         uint64 // Unix milliseconds
	DryRun        bool   // write nothing
}

// Outcome is the outcome for one anchor.
type Outcome struct {
	Before, After reorgdb.Anchor
	State         anchortx.State
	Dead          bool // the transaction can never be mined
	// Why describes what was found, or why that could not be determined. The record
	// is then left as it is.
	Why string
}

// Changed reports whether the record was written, or would have been.
func (o Outcome) Changed() bool { return o.Before != o.After }

// Summary is the outcome for all anchors.
type Summary struct {
	// Outcomes are in the order of the keys. If there are more than [reorgtool.AnchorRow],
	// they are the first ones in the order in which they were broadcast.
	Outcomes []Outcome
	Total    int
	Changed  int
	Unknown  int // records left because the outcome could not be determined
}

// Follow looks for the transaction of each anchor that a node can read. It writes
// the changes in one synced update:
//
//   - another transaction with the anchor was found instead: its id. It replaced this one, or
//     is the original, which was mined after it had been replaced.
//   - in the active chain: its height and confirmations. At the threshold it is confirmed.
//     Below the threshold it is pending, unless it is already confirmed at this very
//     height: a node never undoes that.
//   - in the mempool: pending, without height and confirmations.
//   - nowhere: failed once it was broadcast an hour ago. Before that, a confirmed one is
//     invalidated as in a reorg.
//
// If that cannot be determined, the record is left as it is. A second run changes nothing
// unless the chain has moved on. After an error nothing is written, with one exception: more
// than [reorgtool.AnchorRow] anchors are written in updates of that many, and those before
// the error stay. The errors are those of [anchortx.Find] and of the database.
func Follow(ctx context.Context, db *reorgdb.DB, c *bitcoin.Client, o Options) (Summary, error) {
	if o.Confirmations == 0 {
		o.Confirmations = reorgdb.ConfirmedAt
	}
	var sum Summary
	all := func(reorgdb.StoredAnchor) bool { return true }
	for row, err := range reorgtool.AnchorRows(ctx, db, reorgtool.AnchorRow, all) {
		if err != nil {
			return Summary{}, err
		}
		outcomes, err := followRow(ctx, c, row, o)
		if err == nil {
			err = sum.add(outcomes)
		}
		if err == nil && !o.DryRun {
			err = write(db, outcomes)
		}
		if err != nil {
			return Summary{}, err
		}
	}
	return sum, nil
}

// followRow follows some of the anchors.
func followRow(ctx context.Context, c *bitcoin.Client, row []reorgdb.StoredAnchor, o Options) ([]Outcome, error) {
	var outcomes []Outcome
	var wanted []anchortx.Wanted
	var at []int // the outcome of each of them
	for _, a := range row {
		out := Outcome{Before: a.Anchor, After: a.Anchor, State: anchortx.Unknown}
		switch {
		case a.Key != a.Hash:
			out.Why = fmt.Sprintf("its record is under another anchor's key, %s", a.Key)
		case !anchortx.IsTxID(a.BitcoinTxID):
			out.Why = "its record names no transaction"
		default:
			at = append(at, len(outcomes))
			wanted = append(wanted, anchortx.ForRecord(a.BitcoinTxID, a.Hash, a.L2StateRoot, a.BitcoinHeight, a.BroadcastTime))
		}
		outcomes = append(outcomes, out)
	}
	found, err := anchortx.Find(ctx, c, wanted, o.Find)
	for i, f := range found {
		out := &outcomes[at[i]]
		out.State, out.After, out.Why = f.State, follow(out.Before, f, o), f.String()
		if f.State == anchortx.Unknown {
			out.Why = "could not determine the state of its transaction: " + f.Why
		}
		out.Dead = f.State == anchortx.Absent && f.Why != ""
	}
	return outcomes, err
}

// add counts outcomes, and keeps the first ones. The error says why one cannot be written.
func (s *Summary) add(outcomes []Outcome) error {
	s.Total += len(outcomes)
	for _, out := range outcomes {
		if len(s.Outcomes) < reorgtool.AnchorRow {
			s.Outcomes = append(s.Outcomes, out)
		}
		if out.State == anchortx.Unknown {
			s.Unknown++
		}
		if out.Changed() {
			s.Changed++
			if err := out.After.Validate(); err != nil {
				return err
			}
		}
	}
	return nil
}

// write writes the changes.
func write(db *reorgdb.DB, outcomes []Outcome) error {
	return db.Update(func(u *reorgdb.Update) error {
		for _, out := range outcomes {
			if !out.Changed() {
				continue
			}
			if err := u.Anchor(out.After); err != nil {
				return err
			}
		}
		return nil
	})
}

// follow returns the record as it should be.
func follow(a reorgdb.Anchor, f anchortx.Found, o Options) reorgdb.Anchor {
	if f.Tx != nil {
		a.BitcoinTxID = f.Tx.TxID()
	}
	switch f.State {
	case anchortx.Mined:
		height, confirmations := uint64(f.Height), uint64(f.Confirmations)
		switch {
		case confirmations >= o.Confirmations:
			a.Status = reorgdb.Confirmed
		case a.Status != reorgdb.Confirmed || a.BitcoinHeight != height:
			a.Status = reorgdb.Pending
		}
		a.BitcoinHeight, a.Confirmations = height, confirmations
	case anchortx.InMempool:
		a.Status, a.BitcoinHeight, a.Confirmations = reorgdb.Pending, 0, 0
	case anchortx.Absent:
		waiting := a
		waiting.Status, waiting.Confirmations = reorgdb.Pending, 0
		switch {
		case waiting.Orphaned(o.NowMs):
			a.Status, a.BitcoinHeight, a.Confirmations = reorgdb.FailedOrphaned, 0, 0
		case a.Status == reorgdb.Confirmed:
			a.Status, a.Confirmations = reorgdb.InvalidatedReorg, 0
		case a.Status == reorgdb.Pending:
			a.BitcoinHeight, a.Confirmations = 0, 0
		}
	}
	return a
}
