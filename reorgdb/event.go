package reorgdb

import (
	"errors"
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
	// Missing is how many more of them the record announces. A node reads the event
	// all the same where that is one: for the node its hash is empty.
	Missing uint64
}

// ErrEndsNode says that a reorg event crashes a node that reads it. Nodes read all events
// with each block that they make.
var ErrEndsNode = errors.New("it crashes the node")

// What a node sets aside for the anchors that an event announces, before it reads them.
const (
	stringSize = 32      // bytes for each
	anySize    = 1 << 30 // bytes that every node can have
	noSize     = 1 << 47 // bytes that no process can have
)

// ParseEvent reads a reorg event's value
//
//	reorgHeight|oldBlockHash|newBlockHash|detectedAtTime|count
//
// followed by count times |anchorHash. For one that a node cannot read the error
// wraps [ErrUnreadable], and [ErrEndsNode] where the node has not the memory for as
// many anchors as are announced. The anchors are read as they are stored; a node's own
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
		return ReorgEvent{}, fmt.Errorf("%w: fields are missing or not numbers", ErrUnreadable)
	}
	readable := nodeReads(r, count)
	if count > 0 && r.Pos < len(r.Text) {
		r.Char()
		for uint64(len(e.InvalidatedAnchors)) < count && r.Pos < len(r.Text) {
			e.InvalidatedAnchors = append(e.InvalidatedAnchors, string(r.Until('|')))
		}
	}
	e.Missing = count - uint64(len(e.InvalidatedAnchors))
	named := len(e.InvalidatedAnchors)
	switch {
	case count > noSize/stringSize:
		return ReorgEvent{}, fmt.Errorf("%w: %w: it announces %d anchors, more than any process can hold, and names %d", ErrUnreadable, ErrEndsNode, count, named)
	case readable:
		return e, nil
	case count > anySize/stringSize:
		return ReorgEvent{}, fmt.Errorf("%w: %w, unless there are %d GiB of memory for the %d anchors that it announces; it names %d",
			ErrUnreadable, ErrEndsNode, count*stringSize>>30, count, named)
	}
	return ReorgEvent{}, fmt.Errorf("%w: it announces %d anchors and names %d", ErrUnreadable, count, named)
}

// nodeReads reports whether a node gets through the anchors of an event, of which r has
// just read the number. It takes one character for the separator, which from the second
// anchor on is the anchor's own first one, and what follows up to the next separator.
// Only the last anchor may be missing.
func nodeReads(r istream.Reader, count uint64) bool {
	for i := range count {
		r.Char()
		r.Until('|')
		if r.Failed {
			return i == count-1
		}
	}
	return true
}

func (e *ReorgEvent) value() []byte {
	value := fmt.Appendf(nil, "%d|%s|%s|%d|%d", e.Height, e.OldBlockHash, e.NewBlockHash, e.DetectedAt, len(e.InvalidatedAnchors))
	if len(e.InvalidatedAnchors) > 0 {
		value = append(value, "|"+strings.Join(e.InvalidatedAnchors, "|")...)
	}
	return value
}
