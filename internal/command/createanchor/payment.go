package createanchor

import (
	"fmt"

	"ailee-recovery/internal/cli"
)

// payment is the transaction of an anchor.
type payment struct {
	TxID    string `json:"txid"`
	Fee     int64  `json:"fee_sat,omitempty"` // unknown for a transaction that an earlier run made
	VSize   int64  `json:"vsize,omitempty"`
	Change  *int64 `json:"change_sat,omitempty"`
	Resumed bool   `json:"of_earlier_run"`
}

func (p *payment) feeText() string {
	return fmt.Sprintf("%d sat (%.2f sat/vB, %d vB)", p.Fee, float64(p.Fee)/float64(p.VSize), p.VSize)
}

// print reports what became of the transaction. It prints nothing if p is nil.
func (p *payment) print(out *cli.IO, dryRun bool) {
	if p == nil {
		return
	}
	switch {
	case p.Resumed:
		out.Printf("Transaction: %s, from an earlier run\n", p.TxID)
	case dryRun:
		out.Printf("Transaction: %s, not sent\n", p.TxID)
	default:
		out.Printf("Transaction: %s\n", p.TxID)
	}
	if p.Fee > 0 {
		out.Printf("Fee: %s\n", p.feeText())
	}
}
