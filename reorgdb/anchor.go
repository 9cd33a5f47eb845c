package reorgdb

import (
	"errors"
	"fmt"
	"strings"

	"ailee-recovery/internal/istream"
)

// AnchorStatus is the state of an anchor's Bitcoin transaction. A node writes only the
// statuses below, but reads any number.
type AnchorStatus int32

// The statuses.
const (
	Pending          AnchorStatus = 0 // broadcast, not confirmed
	Confirmed        AnchorStatus = 1
	InvalidatedReorg AnchorStatus = 2
	FailedOrphaned   AnchorStatus = 3
)

// String returns the name of the status as nodes spell it, or "status N" for any other number.
func (s AnchorStatus) String() string {
	names := [...]string{"PENDING", "CONFIRMED", "INVALIDATED_REORG", "FAILED_ORPHANED"}
	if s < 0 || int(s) >= len(names) {
		return fmt.Sprintf("status %d", int32(s))
	}
	return names[s]
}

// Anchor is an anchor commitment record.
type Anchor struct {
	Hash          string // the anchor hash, also in the record's key
	BitcoinTxID   string // the id of its Bitcoin transaction
	BitcoinHeight uint64 // of the transaction's block, 0 if not known
	Confirmations uint64
	BroadcastTime uint64 // Unix milliseconds
	RetryCount    uint32
	Status        AnchorStatus
	L2StateRoot   string

	afterRoot string // see AfterRoot
}

// AfterRoot returns what a stored record has after its state root, starting with the newline
// that ends it. Nodes ignore it. It is kept when the record is written again.
func (a *Anchor) AfterRoot() string { return a.afterRoot }

// orphanedAfter is how long an anchor may wait for its first confirmation, in
// milliseconds.
const orphanedAfter = 3_600_000

// Orphaned reports whether a node would consider the anchor orphaned at the given time, in
// Unix milliseconds: pending for more than an hour without a confirmation.
func (a *Anchor) Orphaned(nowMs uint64) bool {
	return a.Status == Pending && a.Confirmations == 0 && nowMs > a.BroadcastTime && nowMs-a.BroadcastTime > orphanedAfter
}

// ErrUnreadable means that no node can read a record.
var ErrUnreadable = errors.New("a node cannot read it")

// ParseAnchor decodes the value of an anchor record
//
//	anchorHash|bitcoinTxId|bitcoinHeight|confirmations|broadcastTime|retryCount|status|l2StateRoot
//
// just as leniently as a node does. To a node, the state root ends at a newline. For a record
// that a node cannot read, the error wraps [ErrUnreadable].
func ParseAnchor(value []byte) (Anchor, error) {
	r := istream.Reader{Text: value}
	var a Anchor
	a.Hash = string(r.Until('|'))
	a.BitcoinTxID = string(r.Until('|'))
	for _, number := range []*uint64{&a.BitcoinHeight, &a.Confirmations, &a.BroadcastTime} {
		*number = r.U64()
		r.Char()
	}
	a.RetryCount = r.U32()
	r.Char()
	status := istream.Reader{Text: r.Until('|')}
	a.Status = AnchorStatus(status.I32())
	root, _, _ := strings.Cut(string(r.Text[r.Pos:]), "\n")
	a.L2StateRoot, a.afterRoot = root, string(r.Text[r.Pos+len(root):])
	switch {
	case r.Failed:
		return Anchor{}, fmt.Errorf("%w: fields are missing or not numbers", ErrUnreadable)
	case status.Failed:
		return Anchor{}, fmt.Errorf("%w: the status is not a number", ErrUnreadable)
	case a.L2StateRoot+a.afterRoot == "":
		return Anchor{}, fmt.Errorf("%w: no state root", ErrUnreadable)
	}
	return a, nil
}

// Validate returns an error if a node would not read back the same record as was written, and
// nil otherwise.
func (a *Anchor) Validate() error {
	switch {
	case a.Hash == "":
		return errors.New("an anchor record without an anchor hash")
	case strings.ContainsAny(a.Hash+a.BitcoinTxID, "|\n"), strings.Contains(a.L2StateRoot, "\n"):
		return fmt.Errorf("anchor %s: a field contains a separator", a.Hash)
	case a.L2StateRoot+a.afterRoot == "":
		return fmt.Errorf("anchor %s: no state root", a.Hash)
	}
	return nil
}

func (a *Anchor) value() []byte {
	return fmt.Appendf(nil, "%s|%s|%d|%d|%d|%d|%d|%s%s", a.Hash, a.BitcoinTxID, a.BitcoinHeight, a.Confirmations,
		a.BroadcastTime, a.RetryCount, a.Status, a.L2StateRoot, a.afterRoot)
}
