package anchortx

import (
	"bytes"
	"encoding/hex"
	"strings"

	"github.com/btcsuite/btcd/wire/v2"

	"ailee-recovery/snapshot"
)

// Carries tells whether an output of the transaction is the script.
func Carries(tx *wire.MsgTx, script []byte) bool {
	for _, out := range tx.TxOut {
		if bytes.Equal(out.PkScript, script) {
			return true
		}
	}
	return false
}

// CarriesAnchor tells whether an output of the transaction is the script of an
// anchor of which only hash and state root are known: the payload is either in the
// script, or its hash is.
func CarriesAnchor(tx *wire.MsgTx, hash, root string) bool {
	for _, out := range tx.TxOut {
		if data, ok := committed(out.PkScript); ok && commits(string(data), hash, root) {
			return true
		}
	}
	return false
}

const (
	// digestPrefix stands before the hash of a payload, see [snapshot.Commitment].
	digestPrefix = "AILEE"
	// maxCommitment is the length of the longest commitment, in bytes.
	maxCommitment = 80
)

// committed returns what a script carries if it is one that commits.
func committed(script []byte) (data []byte, ok bool) {
	for start := 2; start <= min(3, len(script)); start++ {
		data = script[start:]
		if len(data) <= maxCommitment && bytes.Equal(snapshot.OpReturnScript(data), script) {
			return data, true
		}
	}
	return nil, false
}

func commits(data, hash, root string) bool {
	if digest, ok := strings.CutPrefix(data, digestPrefix); ok && hex.EncodeToString([]byte(digest)) == hash {
		return true
	}
	return snapshot.AnchorHash(data) == hash && strings.HasPrefix(data, root+":")
}
