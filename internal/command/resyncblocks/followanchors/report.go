package followanchors

import (
	"fmt"

	"ailee-recovery/internal/bitcoin/anchortx"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/reorgdb"
)

// Document is the JSON form of a summary.
type Document struct {
	Changed int               `json:"changed"`
	Unknown int               `json:"unknown"` // left because the outcome could not be determined
	Total   int               `json:"total"`
	Anchors []outcomeDocument `json:"anchors"`
}

type outcomeDocument struct {
	Hash string `json:"anchor_hash"`
	TxID string `json:"txid"`
	// FoundTxID is another transaction with the anchor, which was found instead.
	FoundTxID string         `json:"found_txid,omitempty"`
	State     anchortx.State `json:"state"` // of the transaction
	Why       string         `json:"why"`
	Changed   bool           `json:"changed"`
	Before    recordDocument `json:"before"`
	After     recordDocument `json:"after"`
}

type recordDocument struct {
	Status        string `json:"status"`
	Height        uint64 `json:"height"` // 0 if not known
	Confirmations uint64 `json:"confirmations"`
}

func record(a reorgdb.Anchor) recordDocument {
	return recordDocument{a.Status.String(), a.BitcoinHeight, a.Confirmations}
}

// Document returns the JSON form of the summary.
func (s Summary) Document() Document {
	d := Document{Changed: s.Changed, Unknown: s.Unknown, Total: s.Total, Anchors: []outcomeDocument{}}
	for _, o := range s.Outcomes {
		doc := outcomeDocument{Hash: terminal.Text(o.Before.Hash), TxID: terminal.Text(o.Before.BitcoinTxID),
			State: o.State, Why: terminal.Text(o.Why), Changed: o.Changed(), Before: record(o.Before), After: record(o.After)}
		if o.After.BitcoinTxID != o.Before.BitcoinTxID {
			doc.FoundTxID = o.After.BitcoinTxID
		}
		d.Anchors = append(d.Anchors, doc)
	}
	return d
}

// Print prints the changes and the counts, and warns of what could not be determined.
func (s Summary) Print(out *cli.IO) {
	dead := false
	for _, o := range s.Outcomes {
		hash := terminal.Text(o.Before.Hash)
		switch {
		case o.State == anchortx.Unknown:
			out.Warn("anchor %s is left as it is, %s: %s", hash, o.Before.Status, o.Why)
		case o.Changed():
			txid := o.After.BitcoinTxID
			if o.Before.BitcoinTxID != txid {
				txid += ", in place of " + o.Before.BitcoinTxID + ","
			}
			out.Printf("Anchor %s: %s, was %s: transaction %s is %s\n", hash, inWords(o.After), inWords(o.Before), txid, o.Why)
		case o.State == anchortx.Absent && o.Before.Status != reorgdb.FailedOrphaned:
			dead = dead || o.Dead
			out.Warn("anchor %s, %s: transaction %s is %s", hash, o.Before.Status, o.Before.BitcoinTxID, o.Why)
		}
	}
	if more := s.Total - len(s.Outcomes); more > 0 {
		out.Warn("%d more anchors are not listed", more)
	}
	if dead {
		out.Hint("replace an anchor that can never be mined with one of a new time: ailee_create_anchor --broadcast --timestamp-ms N --l2-state-file STATE.json") // an anchor's transaction can never be mined
	}
	out.Printf("Anchors: %d followed, %d changed, %d could not be determined\n", s.Total-s.Unknown, s.Changed, s.Unknown)
}

func inWords(a reorgdb.Anchor) string {
	if a.BitcoinHeight == 0 {
		return a.Status.String()
	}
	return fmt.Sprintf("%s at height %d with %d confirmation(s)", a.Status, a.BitcoinHeight, a.Confirmations)
}
