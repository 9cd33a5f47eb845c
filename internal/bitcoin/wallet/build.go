package wallet

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/wire/v2"

	"ailee-recovery/internal/exit"
)

// Transaction is a signed transaction. Amounts are in sat.
type Transaction struct {
	*wire.MsgTx
	Fee    int64
	Change int64 // what goes back to the wallet
}

// VSize returns the virtual size of a transaction, in vB.
func VSize(tx *wire.MsgTx) int64 {
	return int64(3*tx.SerializeSizeStripped()+tx.SerializeSize()+3) / 4
}

// Build makes a transaction with one output of no value that has the given script, and one
// for the change. The transaction is funded and signed by the wallet, replaceable, checked to be
// what was asked for, and accepted by the node's mempool in a test. Nothing is sent, and no
// coin is locked.
func (w *Wallet) Build(ctx context.Context, script []byte, fees Fees) (*Transaction, error) {
	funded, err := w.fund(ctx, script, fees)
	if err != nil {
		return nil, err
	}
	signed, err := w.sign(ctx, funded.MsgTx)
	if err != nil {
		return nil, err
	}
	funded.MsgTx = signed
	return funded, w.test(ctx, signed)
}

func (w *Wallet) fund(ctx context.Context, script []byte, fees Fees) (*Transaction, error) {
	const method = "fundrawtransaction"
	draft := wire.NewMsgTx(2)
	draft.AddTxOut(wire.NewTxOut(0, script))
	options := fees.options()
	options["replaceable"] = true
	var r struct {
		Hex       string  `json:"hex"`
		Fee       *amount `json:"fee"`
		ChangePos *int    `json:"changepos"`
	}
	// Without inputs, it could be mistaken for a transaction with witnesses.
	if err := w.own.Call(ctx, method, []any{Encode(draft), options, false}, &r); err != nil {
		return nil, explain(err)
	}
	tx, err := Decode(r.Hex)
	if err != nil || r.Fee == nil || r.ChangePos == nil {
		return nil, bad(method, "no transaction, fee or changepos")
	}
	t := &Transaction{MsgTx: tx}
	if err := t.checkOutputs(script, *r.ChangePos); err != nil {
		return nil, bad(method, "%s", err)
	}
	in, err := w.inputs(ctx, tx)
	if err != nil {
		return nil, err
	}
	if t.Fee = in - t.Change; t.Fee != int64(*r.Fee) || t.Fee < 0 {
		return nil, bad(method, "a fee of %d sat for a transaction that pays %d sat", *r.Fee, t.Fee)
	}
	return t, fees.Check(t.Fee)
}

// checkOutputs checks that there is our output, otherwise at most the change at the given
// position, and that the transaction can be replaced (BIP 125).
func (t *Transaction) checkOutputs(script []byte, change int) error {
	ours := 0
	for i, out := range t.TxOut {
		switch {
		case i == change && out.Value > 0:
			t.Change = out.Value
		case out.Value == 0 && bytes.Equal(out.PkScript, script):
			ours++
		default:
			return fmt.Errorf("output %d was not asked for", i)
		}
	}
	replaceable := slices.ContainsFunc(t.TxIn, func(in *wire.TxIn) bool { return in.Sequence < wire.MaxTxInSequenceNum-1 })
	switch {
	case ours != 1:
		return fmt.Errorf("%d outputs with the commitment", ours)
	case !replaceable:
		return errors.New("a transaction that cannot be replaced")
	}
	return nil
}

// inputs returns what the inputs are worth, in sat.
func (w *Wallet) inputs(ctx context.Context, tx *wire.MsgTx) (int64, error) {
	sum := int64(0)
	for _, in := range tx.TxIn {
		out, err := w.output(ctx, in.PreviousOutPoint, true)
		if err != nil {
			return 0, err
		}
		if out == nil {
			return 0, exit.Failf("run the command again", "the wallet spends an output that is already spent: %s", in.PreviousOutPoint)
		}
		sum += int64(*out.Value)
	}
	return sum, nil
}

// sign has the wallet sign the transaction, and checks that it changed nothing else.
func (w *Wallet) sign(ctx context.Context, funded *wire.MsgTx) (*wire.MsgTx, error) {
	const method = "signrawtransactionwithwallet"
	var r struct {
		Hex      string `json:"hex"`
		Complete bool   `json:"complete"`
		Errors   []struct {
			Error string `json:"error"`
		} `json:"errors"`
	}
	if err := w.own.Call(ctx, method, []any{Encode(funded)}, &r); err != nil {
		return nil, explain(err)
	}
	if !r.Complete {
		var words []string
		for _, e := range r.Errors {
			words = append(words, e.Error)
		}
		return nil, exit.Failf(noKeys, "the wallet cannot sign the transaction: %s", strings.Join(words, "; "))
	}
	signed, err := Decode(r.Hex)
	if err != nil {
		return nil, bad(method, "%s", err)
	}
	bare := signed.Copy()
	for _, in := range bare.TxIn {
		in.SignatureScript, in.Witness = nil, nil
	}
	asked := funded.Copy()
	for _, in := range asked.TxIn {
		in.SignatureScript, in.Witness = nil, nil
	}
	if Encode(bare) != Encode(asked) {
		return nil, bad(method, "another transaction than the one to sign")
	}
	return signed, nil
}

// maxFeeRate is Bitcoin Core's own limit, in BTC per 1,000 vB. btcd requires the
// argument.
const maxFeeRate = 0.1

// test asks whether the mempool would accept the transaction.
func (w *Wallet) test(ctx context.Context, tx *wire.MsgTx) error {
	const method = "testmempoolaccept"
	var r []struct {
		TxID         string `json:"txid"`
		Allowed      bool   `json:"allowed"`
		Reason       string `json:"reject-reason"`
		Details      string `json:"reject-details"` // newer nodes
		PackageError string `json:"package-error"`  // newer nodes
	}
	if err := w.node.Call(ctx, method, []any{[]string{Encode(tx)}, maxFeeRate}, &r); err != nil {
		return explain(err)
	}
	if len(r) != 1 || r[0].TxID != tx.TxID() {
		return bad(method, "it is about another transaction")
	}
	if r[0].Allowed {
		return nil
	}
	words := r[0].Reason
	for _, more := range []string{r[0].Details, r[0].PackageError} {
		if more != "" && more != words {
			words = strings.TrimPrefix(words+": "+more, ": ")
		}
	}
	return exit.Failf(rejectedHint(words), "the node would refuse the transaction: %s", words)
}

// Encode returns a transaction in hex, in the form that nodes accept.
func Encode(tx *wire.MsgTx) string {
	var b bytes.Buffer
	// A transaction without inputs has no serialization with witnesses.
	write := tx.Serialize
	if len(tx.TxIn) == 0 {
		write = tx.SerializeNoWitness
	}
	_ = write(&b) // writing to a buffer cannot fail
	return hex.EncodeToString(b.Bytes())
}

// Decode reads a transaction with at least one input.
func Decode(text string) (*wire.MsgTx, error) {
	raw, err := hex.DecodeString(text)
	if err != nil {
		return nil, errors.New("the transaction is not hex")
	}
	tx := new(wire.MsgTx)
	r := bytes.NewReader(raw)
	if err := tx.Deserialize(r); err != nil || r.Len() > 0 || len(tx.TxIn) == 0 {
		return nil, errors.New("not a transaction")
	}
	return tx, nil
}
