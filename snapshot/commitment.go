package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

const (
	// maxPlainCommitment is the longest payload that is its own commitment, in
	// bytes: what peers relay in an OP_RETURN output.
	maxPlainCommitment = 80
	commitmentPrefix   = "AILEE"
)

// Commitment returns the bytes that a Bitcoin transaction carries for a payload, at most
// 80: the payload itself if it is no longer than that, otherwise AILEE and the 32 raw
// bytes of its SHA-256.
func Commitment(payload string) []byte {
	if len(payload) <= maxPlainCommitment {
		return []byte(payload)
	}
	sum := sha256.Sum256([]byte(payload))
	return append([]byte(commitmentPrefix), sum[:]...)
}

// CommitsTo reports whether a commitment is that of an anchor of which only hash and
// state root are known: its payload must have the hash, which is compared without case,
// as nodes do. If the commitment is the payload itself, it must also start with the root.
func CommitsTo(commitment []byte, hash, root string) bool {
	if sum, ok := bytes.CutPrefix(commitment, []byte(commitmentPrefix)); ok && strings.EqualFold(hex.EncodeToString(sum), hash) {
		return true
	}
	return strings.EqualFold(AnchorHash(string(commitment)), hash) && bytes.HasPrefix(commitment, []byte(root+":"))
}

// The opcodes that the scripts use.
const (
	op0         = 0x00
	opPushData1 = 0x4c
	opIf        = 0x63
	opEndIf     = 0x68
	opReturn    = 0x6a
)

// OpReturnScript returns the output script that carries a commitment:
// OP_RETURN and the push.
func OpReturnScript(commitment []byte) []byte {
	return appendPush([]byte{opReturn}, commitment)
}

// OpReturnData returns the commitment in an output script, and whether the script is
// one that [OpReturnScript] makes.
func OpReturnData(script []byte) (commitment []byte, ok bool) {
	// OP_RETURN and a push of one or two bytes come before it.
	for start := 2; start <= min(3, len(script)); start++ {
		commitment = script[start:]
		if len(commitment) <= maxPlainCommitment && bytes.Equal(OpReturnScript(commitment), script) {
			return commitment, true
		}
	}
	return nil, false
}

// TapscriptFragment returns the commitment in a branch of a tapscript that is
// never taken: OP_0, OP_IF, the push, OP_ENDIF.
func TapscriptFragment(commitment []byte) []byte {
	return append(appendPush([]byte{op0, opIf}, commitment), opEndIf)
}

// appendPush appends the push of data, of at most 80 bytes.
func appendPush(script, data []byte) []byte {
	if len(data) >= opPushData1 {
		script = append(script, opPushData1)
	}
	return append(append(script, byte(len(data))), data...)
}
