package reorgdb

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"ailee-recovery/internal/istream"
)

// The keys of the default column family. Heights and event ids are written as 20
// decimal digits, zero-padded, so that the order of the keys is theirs.
const (
	blockPrefix  = "block:"
	anchorPrefix = "anchor:"
	eventPrefix  = "reorg:"
	// CounterKey is the key of the counter.
	CounterKey = "reorg_counter"

	numberDigits = 20
)

// DefaultFamily is the column family that holds a node's records.
const DefaultFamily = "default"

// Kind is what a key says a record is.
type Kind string

// The kinds.
const (
	BlockKind   Kind = "block"   // block hash by height
	AnchorKind  Kind = "anchor"  // anchor commitment record by anchor hash
	EventKind   Kind = "reorg"   // reorg event by id
	CounterKind Kind = "counter" // the next event id
	OddKind     Kind = "odd"     // begins like one of the above, but no node reads it
	OtherKind   Kind = "other"   // not known here: newer nodes keep more
)

// Kinds lists all kinds.
var Kinds = []Kind{BlockKind, AnchorKind, EventKind, CounterKind, OddKind, OtherKind}

func numberedKey(prefix string, n uint64) []byte {
	return fmt.Appendf(nil, "%s%0*d", prefix, numberDigits, n)
}

func blockKey(height uint64) []byte { return numberedKey(blockPrefix, height) }

// AnchorKey returns the key of an anchor record.
func AnchorKey(hash string) []byte { return []byte(anchorPrefix + hash) }

// EventKey returns the key that nodes write a reorg event with.
func EventKey(id uint64) []byte { return numberedKey(eventPrefix, id) }

// IsEventKey reports whether a node takes the record for a reorg event. It reads the
// value before the id in the key, which may turn out to be none.
func IsEventKey(key []byte) bool { return bytes.HasPrefix(key, []byte(eventPrefix)) }

// KeyKind tells what the key of a record in the default column family stands
// for, and the height or event id in it. A node asks for a block by its whole key. It
// goes through all reorg events, and reads their ids leniently: "reorg:7", "reorg: +7x"
// and [EventKey] of 7 are all event 7, and "reorg:-1" is 18446744073709551615.
func KeyKind(key []byte) (kind Kind, number uint64) {
	switch {
	case bytes.HasPrefix(key, []byte(blockPrefix)):
		return numbered(BlockKind, key[len(blockPrefix):])
	case bytes.HasPrefix(key, []byte(anchorPrefix)):
		return AnchorKind, 0
	case IsEventKey(key):
		digits := key[len(eventPrefix):]
		if kind, id := numbered(EventKind, digits); kind == EventKind {
			return kind, id
		}
		if id, ok := stoull(digits); ok {
			return EventKind, id
		}
		return OddKind, 0
	case string(key) == CounterKey:
		return CounterKind, 0
	}
	return OtherKind, 0
}

func numbered(kind Kind, digits []byte) (Kind, uint64) {
	if len(digits) != numberDigits {
		return OddKind, 0
	}
	high, ok1 := eightDigits([8]byte{'0', '0', '0', '0', digits[0], digits[1], digits[2], digits[3]})
	middle, ok2 := eightDigits([8]byte(digits[4:12]))
	low, ok3 := eightDigits([8]byte(digits[12:20]))
	rest := middle*1e8 + low
	if !ok1 || !ok2 || !ok3 || high > (math.MaxUint64-rest)/1e16 {
		return OddKind, 0
	}
	return kind, high*1e16 + rest
}

// eightDigits reads eight decimal digits at once: pairs of digits, then of pairs,
// are added up within one word.
func eightDigits(text [8]byte) (n uint64, ok bool) {
	word := binary.LittleEndian.Uint64(text[:])
	const zeros, six, highBits = 0x3030303030303030, 0x0606060606060606, 0xf0f0f0f0f0f0f0f0
	if word&highBits != zeros || (word+six)&highBits != zeros {
		return 0, false
	}
	word -= zeros
	word = word*10 + word>>8
	word = (word&0x000000ff000000ff)*(100+1_000_000<<32) + (word>>16&0x000000ff000000ff)*(1+10_000<<32)
	return word >> 32, true
}

// ParseCounter reads the next event id, as leniently as a node does: white space in
// front, a sign, and whatever follows the digits do not matter. Where a node cannot
// read it, it takes it for 0, which is then returned with an error that wraps
// [ErrUnreadable].
func ParseCounter(value []byte) (uint64, error) {
	n, ok := stoull(value)
	if !ok {
		return 0, fmt.Errorf("%w: the counter is not a 64-bit number", ErrUnreadable)
	}
	return n, nil
}

// stoull is std::stoull, which reads a number just as an input stream does. A minus
// negates modulo 2^64.
func stoull(text []byte) (n uint64, ok bool) {
	r := istream.Reader{Text: text}
	n = r.U64()
	return n, !r.Failed
}
