package main

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"ailee-recovery/internal/bitcoin/wallet"
)

// walletMethods returns the calls of a wallet with one coin of 0.01 BTC. Its signatures are not
// checked, and everything that it makes is the same in every run.
func walletMethods() map[string]func([]json.RawMessage) (any, error) {
	const coin = 1_000_000 // sat
	from := wire.OutPoint{Hash: chainhash.HashH([]byte("coin"))}
	script := make([]byte, 22) // P2WPKH
	script[1] = 20
	return map[string]func([]json.RawMessage) (any, error){
		"fundrawtransaction": func(params []json.RawMessage) (any, error) {
			var options struct {
				Rate float64 `json:"fee_rate"` // sat/vB
			}
			if err := json.Unmarshal(params[1], &options); err != nil {
				return nil, err
			}
			tx := new(wire.MsgTx)
			if err := tx.DeserializeNoWitness(hex.NewDecoder(strings.NewReader(text(params[0])))); err != nil {
				return nil, err
			}
			in := wire.NewTxIn(&from, nil, nil)
			in.Sequence = wire.MaxTxInSequenceNum - 2
			tx.AddTxIn(in)
			tx.AddTxOut(wire.NewTxOut(0, script))
			fee := int64(math.Ceil(options.Rate * float64(wallet.VSize(signed(tx)))))
			tx.TxOut[len(tx.TxOut)-1].Value = coin - fee
			return map[string]any{"hex": wallet.Encode(tx), "fee": float64(fee) / 1e8, "changepos": len(tx.TxOut) - 1}, nil
		},
		"gettxout": func([]json.RawMessage) (any, error) { return map[string]any{"value": coin / 1e8}, nil },
		"signrawtransactionwithwallet": func(params []json.RawMessage) (any, error) {
			tx, err := wallet.Decode(text(params[0]))
			if err != nil {
				return nil, err
			}
			return map[string]any{"hex": wallet.Encode(signed(tx)), "complete": true}, nil
		},
		"testmempoolaccept": func(params []json.RawMessage) (any, error) {
			var all []string
			if err := json.Unmarshal(params[0], &all); err != nil {
				return nil, err
			}
			tx, err := wallet.Decode(all[0])
			if err != nil {
				return nil, err
			}
			return []any{map[string]any{"txid": tx.TxID(), "allowed": true}}, nil
		},
		"sendrawtransaction": func(params []json.RawMessage) (any, error) {
			tx, err := wallet.Decode(text(params[0]))
			if err != nil {
				return nil, err
			}
			return tx.TxID(), nil
		},
	}
}

// signed returns a copy of tx with a witness as long as a signature with its key.
func signed(tx *wire.MsgTx) *wire.MsgTx {
	tx = tx.Copy()
	tx.TxIn[0].Witness = wire.TxWitness{make([]byte, 72), make([]byte, 33)}
	return tx
}

func text(param json.RawMessage) (s string) {
	_ = json.Unmarshal(param, &s)
	return s
}
