package anchortx

import (
	"bytes"

	"github.com/btcsuite/btcd/wire/v2"

	"ailee-recovery/snapshot"
)

// Carries reports whether an output of the transaction is the script.
func Carries(tx *wire.MsgTx, script []byte) bool {
	for _, out := range tx.TxOut {
		if bytes.Equal(out.PkScript, script) {
			return true
		}
	}
	return false
}

// CarriesAnchor reports whether an output of the transaction is the script of an anchor of
// which only the hash and the state root are known. See [snapshot.CommitsTo].
func CarriesAnchor(tx *wire.MsgTx, hash, root string) bool {
	for _, out := range tx.TxOut {
		if commitment, ok := snapshot.OpReturnData(out.PkScript); ok && snapshot.CommitsTo(commitment, hash, root) {
			return true
		}
	}
	return false
}
