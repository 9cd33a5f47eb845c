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
	// InvalidatedAnchors are the hashes of the anchors that the reorg invalidated.
	InvalidatedAnchors []string
	// Missing is how many more anchors the record announces than it names. A node still
	// reads the event if one is missing, with an empty hash for it.
	Missing uint64
}

// ErrEndsNode means that a reorg event crashes a node that reads it. Nodes read all events
// with each block that they make.
var ErrEndsNode = errors.New("it crashes the node")

// The memory that a node allocates for the anchors that an event announces, before it reads
// them, in bytes.
const (
	stringSize = 32      // for each anchor
	anySize    = 1 << 30 // what any node can allocate
	noSize     = 1 << 47 // what no process can allocate
)

// ParseEvent decodes the value of a reorg event
//
//	reorgHeight|oldBlockHash|newBlockHash|detectedAtTime|count
//
// followed by count times |anchorHash. For an event that a node cannot read, the error wraps
// [ErrUnreadable]. It also wraps [ErrEndsNode] if a node may not have the memory for the
// number of anchors that the event announces. The anchors are returned as they are stored;
// a node's own reader drops the first character of all anchors except the first.
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

// nodeReads reports whether a node can read the count anchors of an event; r has just read
// the count. For each anchor, a node skips one character as the separator, and reads up to
// the next separator. Starting with the second anchor, the skipped character is the first
// one of the anchor itself. Only the last anchor may be missing.
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
