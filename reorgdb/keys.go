package reorgdb

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"ailee-recovery/internal/istream"
)

// The keys of the default column family. Heights and event ids are written as 20 decimal
// digits, zero-padded, so that the keys sort by number.
const (
	blockPrefix  = "block:"
	anchorPrefix = "anchor:"
	eventPrefix  = "reorg:"
	// CounterKey is the key of the counter: the next event id, in decimal.
	CounterKey = "reorg_counter"

	numberDigits = 20
)

// DefaultFamily is the name of the column family with a node's records.
const DefaultFamily = "default"

// Kind is the kind of a record, as its key shows it.
type Kind string

// The kinds.
const (
	BlockKind   Kind = "block"   // block hash by height
	AnchorKind  Kind = "anchor"  // anchor commitment record by anchor hash
	EventKind   Kind = "reorg"   // reorg event by id
	CounterKind Kind = "counter" // the next event id
	OddKind     Kind = "odd"     // begins like one of the above, but no node asks for it
	OtherKind   Kind = "other"   // not known to this package: newer nodes may store more
)

// Kinds lists all kinds.
var Kinds = []Kind{BlockKind, AnchorKind, EventKind, CounterKind, OddKind, OtherKind}

func numberedKey(prefix string, n uint64) []byte {
	return fmt.Appendf(nil, "%s%0*d", prefix, numberDigits, n)
}

func blockKey(height uint64) []byte { return numberedKey(blockPrefix, height) }

// AnchorKey returns the key of the anchor record with an anchor hash.
func AnchorKey(hash string) []byte { return []byte(anchorPrefix + hash) }

// EventKey returns the key under which nodes write a reorg event.
func EventKey(id uint64) []byte { return numberedKey(eventPrefix, id) }

// IsEventKey reports whether a node reads the record with this key as a reorg event. The
// node reads the value before the id in the key, which may turn out not to be a number.
func IsEventKey(key []byte) bool { return bytes.HasPrefix(key, []byte(eventPrefix)) }

// KeyKind returns the kind of a record in the default column family by its key. number is
// the height of a [BlockKind] and the id of an [EventKind]; otherwise it is 0. A node looks
// up a block by its whole key, but it reads through all reorg events, and decodes their ids
// leniently: "reorg:7", "reorg: +7x" and [EventKey] of 7 are all event 7, and "reorg:-1" is
// event 18446744073709551615.
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

// eightDigits reads eight decimal digits at once: it combines pairs of digits, and then
// pairs of pairs, within one word.
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

// ParseCounter decodes the value of the counter, the next event id, as leniently as a node
// does: leading white space, a sign, and anything after the digits do not matter. A node that
// cannot read the counter uses 0. ParseCounter then returns 0 and an error that wraps
// [ErrUnreadable].
func ParseCounter(value []byte) (uint64, error) {
	n, ok := stoull(value)
	if !ok {
		return 0, fmt.Errorf("%w: the counter is not a 64-bit number", ErrUnreadable)
	}
	return n, nil
}

// stoull is std::stoull, which reads a number just as an input stream does. A minus sign
// negates the number modulo 2^64.
func stoull(text []byte) (n uint64, ok bool) {
	r := istream.Reader{Text: text}
	n = r.U64()
	return n, !r.Failed
}
