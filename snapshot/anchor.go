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
// metadata. The nodes' verifier does not look at that.
func (a *Anchor) Bound() bool {
	return a.Payload == Payload(a.L2StateRoot, a.TimestampMs, a.RecoveryMetadata)
}

// AnchorVerdict is what the nodes' verifier says of a snapshot's anchor.
type AnchorVerdict uint8

// The verdicts, in the order in which the verifier checks.
const (
	AnchorHolds AnchorVerdict = iota
	AnchorMissing
	AnchorRootMismatch // compared exactly
	AnchorHashMismatch // compared without case, and only when the root matched
)

func judgeAnchor(root string, a *Anchor) AnchorVerdict {
	switch {
	case a == nil:
		return AnchorMissing
	case a.L2StateRoot != root:
		return AnchorRootMismatch
	case asciiLower(a.Hash) != AnchorHash(a.Payload):
		return AnchorHashMismatch
	}
	return AnchorHolds
}

// asciiLower lowers A to Z alone, as tolower does in the C locale.
func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
