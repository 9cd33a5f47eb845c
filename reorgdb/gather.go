package reorgdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"math"
)

// block is a number of records, or rows, on their way from the core that reads them.
type block struct {
	data []byte // records: the lengths of key and value (4 bytes each), the key, and the value
	last int    // where the last record in data begins
	rows []Row  // if rows are wanted; their records are in data
	// table is the finished table with all records of the part that this block ends. It is
	// nil for all other blocks.
	table *newTable
}

// maxRows is how many rows a block has at most.
const maxRows = 256

// after returns the lowest key above those of the block, or buf for an empty block.
func (b *block) after(buf []byte) []byte {
	var last Record
	switch n := len(b.rows); {
	case n > 0 && b.rows[n-1].Key == nil:
		last.Key = blockKey(b.rows[n-1].Last)
	case n > 0:
		last = b.rows[n-1].Record
	case len(b.data) > 0:
		last, _ = cutRecord(b.data[b.last:])
	default:
		return buf
	}
	return append(append(buf[:0], last.Key...), 0)
}

// full reports whether a block has no room for a record. An empty block has room for any.
func (b *block) full(key, value []byte) bool {
	return len(b.rows) == maxRows || len(b.data) > 0 && 8+len(key)+len(value) > cap(b.data)-len(b.data)
}

func (b *block) add(key, value []byte) {
	b.last = len(b.data)
	b.data = binary.NativeEndian.AppendUint32(b.data, uint32(len(key)))
	b.data = binary.NativeEndian.AppendUint32(b.data, uint32(len(value)))
	b.data = append(append(b.data, key...), value...)
}

// freeBlocks are blocks that can be used again.
type freeBlocks chan *block

func (f freeBlocks) take() *block {
	select {
	case b := <-f:
		b.data, b.rows, b.table = b.data[:0], b.rows[:0], nil
		return b
	default:
		return &block{data: make([]byte, 0, blockSize)}
	}
}

func (f freeBlocks) give(b *block) {
	select {
	case f <- b:
	default:
	}
}

// wanted says what blocks have.
type wanted int

const (
	onlyRecords wanted = iota
	// Rows save copying nearly all records from one core to another.
	rowsOfHashes // ranges of blocks whose hashes IsBlockHash accepts
	rowsOfAny    // ranges of blocks, whatever their hashes are
)

// gatherer gathers records in blocks.
type gatherer struct {
	free  freeBlocks
	want  wanted
	yield func(*block, error) bool

	block *block // nil if none has begun
	next  []byte // the key that would extend the last row, empty for none
}

// errStopped means that no more records are wanted.
var errStopped = errors.New("stopped")

// add adds a record. The error is errStopped.
func (g *gatherer) add(key, value []byte) error {
	if g.block != nil && g.block.full(key, value) && !g.flush() {
		return errStopped
	}
	if (g.want == rowsOfAny || g.want == rowsOfHashes && IsBlockHash(value)) && g.row(key) {
		return nil
	}
	b := g.begun()
	b.add(key, value)
	if g.want == onlyRecords {
		return nil
	}
	r, _ := cutRecord(b.data[b.last:])
	b.rows = append(b.rows, Row{Record: r})
	g.next = g.next[:0]
	return nil
}

// begun returns the block that is being filled.
func (g *gatherer) begun() *block {
	if g.block == nil {
		g.block = g.free.take()
	}
	return g.block
}

// row adds the record of a block to the last row or to a new one. It returns false if the key
// is not the key of a block.
func (g *gatherer) row(key []byte) bool {
	if len(g.next) > 0 && bytes.Equal(key, g.next) {
		last := &g.block.rows[len(g.block.rows)-1]
		last.Last++
		g.expect(last.Last)
		return true
	}
	kind, height := KeyKind(key)
	if kind != BlockKind {
		return false
	}
	b := g.begun()
	b.rows = append(b.rows, Row{First: height, Last: height})
	g.next = append(g.next[:0], key...)
	g.expect(height)
	return true
}

// expect increments the key in next, which is the key of height.
func (g *gatherer) expect(height uint64) {
	if height == math.MaxUint64 {
		g.next = g.next[:0]
		return
	}
	i := len(g.next) - 1
	for ; g.next[i] == '9'; i-- {
		g.next[i] = '0'
	}
	g.next[i]++
}

// flush hands over the block, and reports whether to go on.
func (g *gatherer) flush() bool {
	full := g.block
	g.block, g.next = nil, g.next[:0]
	return g.yield(full, nil)
}

// blocks yields the blocks that fill adds to, and then its error.
func (g *gatherer) blocks(fill func() error) iter.Seq2[*block, error] {
	return func(yield func(*block, error) bool) {
		g.yield = yield
		err := fill()
		if errors.Is(err, errStopped) || g.block != nil && !g.flush() || err == nil {
			return
		}
		yield(nil, err)
	}
}

// gather adds the records of a block of [DB.blocks].
func (g *gatherer) gather(records []byte) error {
	for len(records) > 0 {
		var r Record
		r, records = cutRecord(records)
		if err := g.add(r.Key, r.Value); err != nil {
			return err
		}
	}
	return nil
}

// IsBlockHash reports whether text is a hash as nodes write it: 32 bytes in lower-case hex.
func IsBlockHash(text []byte) bool {
	if len(text) != HashSize {
		return false
	}
	// No branch depends on a single byte: with random digits and letters, branches would take
	// longer than everything else that is done with a record.
	var other uint64
	for i := 0; i < HashSize; i += 8 {
		other |= notHex(binary.LittleEndian.Uint64(text[i:]))
	}
	return other == 0
}

// notHex returns 0 if all eight bytes are lower-case hex digits.
func notHex(word uint64) uint64 {
	const each = 0x0101010101010101
	// Letters have bit 6 set. Less 0x27, a to f come right after the digits: they then have
	// the same upper half as digits, and a lower half above 9.
	letters := word >> 6 & each
	word -= letters * 0x27
	above9 := (word&(0x0f*each) + 6*each) >> 4 & each
	return (word&(0xf0*each) ^ 0x30*each) | (above9 ^ letters)
}
