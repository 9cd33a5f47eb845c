package reorgdb

import (
	"fmt"
	"strings"

	"ailee-recovery/internal/istream"
)

// ReorgEvent is a reorg that a node has seen.
type ReorgEvent struct {
	ID           uint64
	Height       uint64 // of the block that was replaced
	OldBlockHash string
	NewBlockHash string
	DetectedAt   uint64 // Unix seconds
	// InvalidatedAnchors are the hashes of the anchors that it invalidated.
	InvalidatedAnchors []string
	// Missing is how many more of them the record announces.
	Missing uint64
}

// ParseEvent reads a reorg event's value
//
//	reorgHeight|oldBlockHash|newBlockHash|detectedAtTime|count
//
// followed by count times |anchorHash. For one that a node cannot read the error
// wraps [ErrUnreadable]. The anchors are read as they are stored; a node's own
// reader drops the first character of all but the first.
func ParseEvent(id uint64, value []byte) (ReorgEvent, error) {
	r := istream.Reader{Text: value}
	e := ReorgEvent{ID: id}
	e.Height = r.U64()
	r.Char()
	e.OldBlockHash = string(r.Until('|'))
	e.NewBlockHash = string(r.Until('|'))
	e.DetectedAt = r.U64()
	r.Char()
	count := r.U64()
	if r.Failed {
		return ReorgEvent{}, fmt.Errorf("%w: fields are missing or no numbers", ErrUnreadable)
	}
	if count > 0 && r.Pos < len(r.Text) {
		r.Char()
		for uint64(len(e.InvalidatedAnchors)) < count && r.Pos < len(r.Text) {
			e.InvalidatedAnchors = append(e.InvalidatedAnchors, string(r.Until('|')))
		}
	}
	e.Missing = count - uint64(len(e.InvalidatedAnchors))
	return e, nil
}

func (e *ReorgEvent) value() []byte {
	value := fmt.Appendf(nil, "%d|%s|%s|%d|%d", e.Height, e.OldBlockHash, e.NewBlockHash, e.DetectedAt, len(e.InvalidatedAnchors))
	if len(e.InvalidatedAnchors) > 0 {
		value = append(value, "|"+strings.Join(e.InvalidatedAnchors, "|")...)
	}
	return value
}
