package reorgtool

import (
	"context"
	"fmt"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/anchortx"
	"ailee-recovery/reorgdb"
)

// ProofKind says what the chain shows about a confirmed anchor.
type ProofKind int

// The kinds.
const (
	Proven       ProofKind = iota // its transaction is at the recorded height, and commits to it
	NoTxID                        // the record names no transaction
	NotTold                       // it could not be determined
	NotInChain                    // its transaction is not in the active chain
	NotCommitted                  // its transaction carries something else
	OtherHeight                   // its transaction is in another block
	OtherTx                       // another transaction with the anchor is in the chain
)

// Proof is what was found out about one anchor.
type Proof struct {
	Kind ProofKind
	Text string // what is wrong, for messages; "" for a proven anchor
}

// ProveAnchors looks in the chain for the transaction of every confirmed anchor of a
// database, and calls found once for each anchor.
func ProveAnchors(ctx context.Context, c *bitcoin.Client, db *reorgdb.DB, o anchortx.Options, found func(reorgdb.Anchor, Proof)) error {
	confirmed := func(a reorgdb.StoredAnchor) bool { return a.Status == reorgdb.Confirmed }
	for row, err := range AnchorRows(ctx, db, AnchorRow, confirmed) {
		if err == nil {
			err = proveRow(ctx, c, row, o, found)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// proveRow is ProveAnchors for one row of anchors.
func proveRow(ctx context.Context, c *bitcoin.Client, row []reorgdb.StoredAnchor, o anchortx.Options, found func(reorgdb.Anchor, Proof)) error {
	var anchors []reorgdb.Anchor
	var wanted []anchortx.Wanted
	for _, a := range row {
		if !anchortx.IsTxID(a.BitcoinTxID) {
			found(a.Anchor, Proof{NoTxID, fmt.Sprintf("anchor %s is confirmed, but its record names no transaction: %q", a.Hash, a.BitcoinTxID)})
			continue
		}
		anchors = append(anchors, a.Anchor)
		wanted = append(wanted, anchortx.ForRecord(a.BitcoinTxID, a.Hash, a.L2StateRoot, a.BitcoinHeight, a.BroadcastTime))
	}
	places, err := anchortx.Find(ctx, c, wanted, o)
	if err != nil {
		return err
	}
	for i, place := range places {
		found(anchors[i], prove(anchors[i], place))
	}
	return nil
}

func prove(a reorgdb.Anchor, f anchortx.Found) Proof {
	switch {
	case f.State == anchortx.Unknown:
		return Proof{NotTold, fmt.Sprintf("could not determine the state of transaction %s of the confirmed anchor %s: %s", a.BitcoinTxID, a.Hash, f.Why)}
	case f.State != anchortx.Mined:
		return Proof{NotInChain, fmt.Sprintf("transaction %s of the confirmed anchor %s is %s", a.BitcoinTxID, a.Hash, f)}
	case f.Tx.TxID() != a.BitcoinTxID:
		return Proof{OtherTx, fmt.Sprintf("anchor %s is recorded in transaction %s, but was mined in transaction %s, %s", a.Hash, a.BitcoinTxID, f.Tx.TxID(), f)}
	case !anchortx.CarriesAnchor(f.Tx, a.Hash, a.L2StateRoot):
		return Proof{NotCommitted, fmt.Sprintf("transaction %s does not carry the commitment of anchor %s", a.BitcoinTxID, a.Hash)}
	case uint64(f.Height) != a.BitcoinHeight:
		return Proof{OtherHeight, fmt.Sprintf("anchor %s is recorded at height %d, but its transaction %s is %s", a.Hash, a.BitcoinHeight, a.BitcoinTxID, f)}
	}
	return Proof{Kind: Proven}
}
