package rocksfile

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrUnsupported means that a file is sound, but has something that this package cannot read.
var ErrUnsupported = errors.New("not supported")

var errTwoPhase = unsupported("marks of a two-phase transaction")

// unsupportedError names what is not supported. It is [ErrUnsupported].
type unsupportedError struct{ what string }

func unsupported(format string, args ...any) error {
	return &unsupportedError{fmt.Sprintf(format, args...)}
}

func unsupportedKind(k Kind) error { return unsupported("%s", k) }

func unsupportedOrder(comparator string) error {
	return unsupported("keys in the order of %q", comparator)
}

func (e *unsupportedError) Error() string { return e.what }

func (e *unsupportedError) Is(target error) bool { return target == ErrUnsupported }

// Tags of a write batch, in addition to the kinds of entries, which stand for entries of the
// default family.
const (
	batchLogData            = 0x03
	batchFamilyDelete       = 0x04
	batchFamilyPut          = 0x05
	batchFamilyMerge        = 0x06
	batchFamilySingleDelete = 0x08
	batchNoop               = 0x0D
	batchFamilyRangeDelete  = 0x0E
	batchFamilyBlobIndex    = 0x10
	batchFamilyEntity       = 0x17
	batchBeginPrepare       = 0x09
	batchEndPrepare         = 0x0A
	batchCommit             = 0x0B
	batchRollback           = 0x0C
	batchBeginPersisted     = 0x12
	batchBeginUnprepare     = 0x13
	batchCommitTimestamp    = 0x15
	batchHeader             = 12 // sequence number (8), count (4)
)

// DecodeBatch decodes a record of a write-ahead log. The sequence numbers of the entries start
// at seq. Keys and values are parts of data. The error is [ErrUnsupported] if the batch has a
// part that is not known, such as a mark of a two-phase transaction. Any other error means
// damage. With an error there are no entries.
func DecodeBatch(data []byte) (seq uint64, entries []Entry, err error) {
	return decodeBatch(data, nil)
}

// decodeBatch is DecodeBatch, but appends to entries, which must be empty, to use its memory.
func decodeBatch(data []byte, entries []Entry) (uint64, []Entry, error) {
	if len(data) < batchHeader {
		return 0, nil, errors.New("a batch shorter than its header")
	}
	seq := binary.LittleEndian.Uint64(data)
	count := binary.LittleEndian.Uint32(data[8:])
	if seq > maxSeq {
		return 0, nil, errors.New("a batch with an impossible sequence number")
	}
	p := parser{rest: data[batchHeader:]}
	for len(p.rest) > 0 && !p.bad {
		tag := p.byte()
		e := Entry{Kind: Kind(tag), Seq: seq + uint64(len(entries))}
		switch tag {
		case batchFamilyDelete:
			e.Kind = KindDelete
		case batchFamilyPut:
			e.Kind = KindPut
		case batchFamilyMerge:
			e.Kind = KindMerge
		case batchFamilySingleDelete:
			e.Kind = KindSingleDelete
		case batchFamilyRangeDelete:
			e.Kind = KindRangeDelete
		case batchFamilyBlobIndex:
			e.Kind = KindBlobIndex
		case batchFamilyEntity:
			e.Kind = KindEntity
		case batchLogData:
			p.slice()
			continue
		case batchNoop:
			continue
		case batchBeginPrepare, batchEndPrepare, batchCommit, batchRollback, batchBeginPersisted, batchBeginUnprepare, batchCommitTimestamp:
			return 0, nil, errTwoPhase
		default:
			if !e.Kind.tableKind() && e.Kind != KindRangeDelete {
				return 0, nil, unsupported("tag %d in a batch", tag)
			}
		}
		if byte(e.Kind) != tag {
			e.Family = p.uint32()
		}
		e.Key = p.slice()
		if !e.Kind.deletes() {
			e.Value = p.slice()
		}
		entries = append(entries, e)
	}
	switch {
	case p.bad:
		return 0, nil, errors.New("a batch that ends in the middle of an entry")
	case uint64(len(entries)) != uint64(count):
		return 0, nil, fmt.Errorf("a batch of %d entries that says it has %d", len(entries), count)
	}
	return seq, entries, nil
}

// parser takes values off the front of rest. After a missing or invalid value it is bad, and
// returns zeros.
type parser struct {
	rest []byte
	bad  bool
}

func (p *parser) take(n uint64) []byte {
	if p.bad || n > uint64(len(p.rest)) {
		p.bad = true
		return nil
	}
	b := p.rest[:n:n]
	p.rest = p.rest[n:]
	return b
}

func (p *parser) byte() byte {
	if b := p.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (p *parser) uint64() uint64 {
	v, n := binary.Uvarint(p.rest)
	if n <= 0 {
		p.bad = true
		return 0
	}
	p.take(uint64(n))
	return v
}

func (p *parser) uint32() uint32 {
	v := p.uint64()
	if v > 1<<32-1 {
		p.bad = true
	}
	return uint32(v)
}

// slice takes bytes that come after their length.
func (p *parser) slice() []byte { return p.take(p.uint64()) }
