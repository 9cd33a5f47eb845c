package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// Payload returns the text that an anchor commits to: root, time in Unix
// milliseconds and metadata, joined by colons.
func Payload(root string, timestampMs uint64, metadata string) string {
	return root + ":" + strconv.FormatUint(timestampMs, 10) + ":" + metadata
}

// AnchorHash returns the anchor hash of a payload: its SHA-256 in lower-case hex.
func AnchorHash(payload string) string {
	sum := sha256.Sum256([]byte(payload))
	return hex.EncodeToString(sum[:])
}

// NewAnchor returns the anchor that commits to the root, time in Unix milliseconds
// and metadata.
func NewAnchor(root string, timestampMs uint64, metadata string) *Anchor {
	payload := Payload(root, timestampMs, metadata)
	return &Anchor{L2StateRoot: root, TimestampMs: timestampMs, RecoveryMetadata: metadata,
		Payload: payload, Hash: AnchorHash(payload)}
}

// Bound reports whether the payload commits to the anchor's own root, time and
// metadata. The nodes' verifier does not check that.
func (a *Anchor) Bound() bool {
	rest, ok := strings.CutPrefix(a.Payload, a.L2StateRoot)
	if !ok || len(rest) == 0 || rest[0] != ':' {
		return false
	}
	var digits [20]byte
	rest, ok = strings.CutPrefix(rest[1:], string(strconv.AppendUint(digits[:0], a.TimestampMs, 10)))
	return ok && len(rest) > 0 && rest[0] == ':' && rest[1:] == a.RecoveryMetadata
}

// AnchorVerdict is the verdict of the nodes' verifier on a snapshot's anchor.
type AnchorVerdict uint8

// The verdicts, in the order in which the verifier checks.
const (
	AnchorHolds AnchorVerdict = iota
	AnchorMissing
	AnchorRootMismatch // compared exactly
	AnchorHashMismatch // compared without case, and only if the root matched
)

func judgeAnchor(root string, a *Anchor) AnchorVerdict {
	switch {
	case a == nil:
		return AnchorMissing
	case a.L2StateRoot != root:
		return AnchorRootMismatch
	case !a.hashHolds():
		return AnchorHashMismatch
	}
	return AnchorHolds
}

// hashHolds reports whether the hash is that of the payload. Only A to Z are lowered, as
// tolower does in the C locale.
func (a *Anchor) hashHolds() bool {
	var buf [256]byte // a payload that fits needs no other memory
	sum := sha256.Sum256(append(buf[:0], a.Payload...))
	var want [2 * sha256.Size]byte
	hex.Encode(want[:], sum[:])
	if len(a.Hash) != len(want) {
		return false
	}
	for i, c := range []byte(a.Hash) {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != want[i] {
			return false
		}
	}
	return true
}
