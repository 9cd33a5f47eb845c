package snapshot

import "crypto/sha256"

const (
	// maxPlainCommitment is the longest payload that is its own commitment, in
	// bytes: what peers relay in an OP_RETURN output.
	maxPlainCommitment = 80
	commitmentPrefix   = "AILEE"
)

// Commitment returns what a Bitcoin transaction carries of a payload, at most 80
// bytes: the payload itself where it is no longer than that, or else AILEE and the
// 32 raw bytes of its SHA-256.
func Commitment(payload string) []byte {
	if len(payload) <= maxPlainCommitment {
		return []byte(payload)
	}
	sum := sha256.Sum256([]byte(payload))
	return append([]byte(commitmentPrefix), sum[:]...)
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
