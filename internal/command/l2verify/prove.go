package l2verify

import (
	"context"
	"fmt"
	"math"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/anchortx"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
	"ailee-recovery/internal/exit"
	"ailee-recovery/snapshot"
)

// Names of the flags of a proof.
const (
	anchorTx         = "anchor-tx"
	minConfirmations = "min-confirmations"
)

// Proof is the options of a proof.
type Proof struct {
	Bitcoin          bitcoin.Options
	MinConfirmations int64 // 0 if the mempool is enough
	Find             anchortx.Options
}

// parseProof reads the flags that go with --anchor-tx.
func (o *Options) parseProof(c *urfave.Context) (err error) {
	o.Proof.MinConfirmations = c.Int64(minConfirmations)
	switch {
	case !c.IsSet(anchorTx) && c.IsSet(minConfirmations):
		return fmt.Errorf("--%s needs --%s", minConfirmations, anchorTx)
	case !c.IsSet(anchorTx):
		return nil
	case !anchortx.IsTxID(o.AnchorTx):
		return fmt.Errorf("--%s %q is not a transaction id of 64 hex digits", anchorTx, c.String(anchorTx))
	case o.All:
		return fmt.Errorf("--%s is for the latest snapshot: leave --all out", anchorTx)
	case o.Proof.MinConfirmations < 0:
		return fmt.Errorf("--%s %d is not a number of confirmations", minConfirmations, o.Proof.MinConfirmations)
	}
	if o.Proof.Find, err = flags.ParseFinding(c); err != nil {
		return err
	}
	o.Proof.Bitcoin, _, err = flags.ParseBitcoinRPC(c)
	return err
}

// proof is the outcome of proving a snapshot. It is nil if none was requested.
type proof struct {
	txID    string
	found   anchortx.Found
	problem string // why nothing is proven; "" if it is
	hint    string
}

func (p *proof) failed() bool { return p != nil && p.problem != "" }

// prove proves with Bitcoin that the snapshot was anchored.
func (v *verifier) prove(ctx context.Context, judged snapshot.Judgement) (*proof, error) {
	if v.AnchorTx == "" {
		return nil, nil
	}
	p := &proof{txID: v.AnchorTx, found: anchortx.Found{State: anchortx.Unknown}}
	switch {
	case !judged.Holding():
		p.problem = "the snapshot has no anchor that holds: there is nothing to prove"
		return p, nil
	case !judged.Anchor.Bound():
		p.problem = "the anchor's payload is not made of its state root, time and metadata: a transaction that carries it proves nothing of this state"
		return p, nil
	}
	node, err := v.node()
	if err != nil {
		return nil, err
	}
	// An anchor is broadcast after it was made.
	since := int64(min(judged.Anchor.TimestampMs/1000, math.MaxInt64))
	all, err := anchortx.Find(ctx, node, []anchortx.Wanted{{TxID: v.AnchorTx, Since: since}}, v.Proof.Find)
	if err != nil {
		return nil, err
	}
	p.found = all[0]
	switch f := p.found; {
	case f.State == anchortx.Unknown:
		return nil, exit.Failf("ask a node with a transaction index (txindex=1), or look through more blocks with --scan-blocks",
			"could not determine the state of transaction %s: %s", p.txID, f.Why)
	case f.State == anchortx.Absent:
		p.problem = fmt.Sprintf("transaction %s is %s", p.txID, f)
		p.hint = "check the transaction id, and that the node is on the right network"
	case !anchortx.Carries(f.Tx, snapshot.OpReturnScript(snapshot.Commitment(judged.Anchor.Payload))):
		p.problem = fmt.Sprintf("transaction %s does not carry the commitment of anchor %s", p.txID, judged.Anchor.Hash)
		p.hint = "check the transaction id: it may have anchored another snapshot"
	case f.Confirmations < v.Proof.MinConfirmations:
		p.problem = fmt.Sprintf("transaction %s is %s: %d demanded", p.txID, f, v.Proof.MinConfirmations)
		p.hint = "wait for more blocks, then run the command again"
	}
	return p, nil
}

// print prints the outcome after the lines of the nodes' own verifier.
func (p *proof) print(out *cli.IO) {
	switch {
	case p == nil:
	case p.failed():
		out.Error("%s", p.problem)
	default:
		out.Printf("%s\n", p)
	}
}

// String says what a proof that holds has shown.
func (p *proof) String() string {
	if p.found.State == anchortx.Mined {
		return fmt.Sprintf("Anchored in transaction %s, block %d, %d confirmation(s)", p.txID, p.found.Height, p.found.Confirmations)
	}
	return fmt.Sprintf("Anchored in transaction %s, which is %s", p.txID, p.found)
}

// proofDocument is the JSON form of a proof.
type proofDocument struct {
	TxID          string         `json:"txid"`
	Proven        bool           `json:"proven"`
	Problem       string         `json:"problem,omitempty"`
	State         anchortx.State `json:"state"`
	BlockHash     string         `json:"block_hash,omitempty"`
	Height        int64          `json:"height,omitempty"`
	Confirmations int64          `json:"confirmations"`
}

func (d *verificationDocument) add(p *proof) {
	if p == nil {
		return
	}
	d.Bitcoin = &proofDocument{p.txID, !p.failed(), p.problem, p.found.State, p.found.BlockHash, p.found.Height, p.found.Confirmations}
	if p.failed() {
		d.ExitCode = exit.Wrong
	}
}
