package rocksfile

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// handle is where a block lies, without its trailer.
type handle struct{ off, size uint64 }

func (h handle) end() uint64 { return h.off + h.size + blockTrailer }

// within tells whether the block and its trailer lie below limit.
func (h handle) within(limit int) bool {
	return h.off <= uint64(limit) && h.size <= uint64(limit) && h.end() <= uint64(limit)
}

// Compression types of a block.
const (
	compressNone   = 0
	compressSnappy = 1
	compressZlib   = 2
	compressLZ4    = 4
	compressLZ4HC  = 5
	compressZSTD   = 7
)

// maxInflation bounds what a block may decompress to, as a multiple of its size
// and beside a constant: a length in a file must not allocate at will.
const maxInflation, freeInflation = 256, 1 << 20

var zstdDecoder, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))

// unpack decompresses a block that is given with its trailer, and whose checksum
// holds. scratch is used where it is large enough. But for Snappy, the length that
// it decompresses to is expected in front, as format versions from 2 on have it.
func unpack(block, scratch []byte) ([]byte, error) {
	packed, how := block[:len(block)-blockTrailer], block[len(block)-blockTrailer]
	if how == compressNone {
		return packed, nil
	}
	bound := uint64(len(packed))*maxInflation + freeInflation
	var size uint64
	switch how {
	case compressSnappy:
		n, err := snappy.DecodedLen(packed)
		if err != nil {
			return nil, err
		}
		size = uint64(n)
	case compressZlib, compressLZ4, compressLZ4HC, compressZSTD:
		p := parser{rest: packed}
		size = p.uint64()
		packed = p.rest
	default:
		return nil, fmt.Errorf("%w: compression type %d", ErrUnsupported, how)
	}
	if size > bound {
		return nil, fmt.Errorf("a block of %d bytes that says it has %d", len(packed), size)
	}
	if uint64(cap(scratch)) < size {
		scratch = make([]byte, size)
	}
	out := scratch[:size]
	var n int
	var err error
	switch how {
	case compressSnappy:
		return snappy.Decode(out, packed)
	case compressZlib:
		n, err = io.ReadFull(flate.NewReader(bytes.NewReader(packed)), out)
	case compressLZ4, compressLZ4HC:
		n, err = lz4.UncompressBlock(packed, out)
	case compressZSTD:
		var got []byte
		got, err = zstdDecoder.DecodeAll(packed, out[:0])
		out, n = got, len(got)
	}
	if err == nil && uint64(n) != size {
		err = io.ErrUnexpectedEOF
	}
	return out, err
}

var errBlock = errors.New("a block that does not decode")

// eachEntry calls f for the entries of a block, with keys that f must copy. A
// block of entries: shared, non-shared and value length (varints), the rest of
// the key, the value; then the offsets of the restart points (4 bytes each) and
// their number. delta blocks, those of an index, have no value lengths: the
// value is what handleValue takes.
func eachEntry(block []byte, delta bool, f func(key, value []byte) error) error {
	if len(block) < 4 {
		return errBlock
	}
	end := len(block) - 4
	restarts := binary.LittleEndian.Uint32(block[end:])
	if restarts>>31 == 1 { // a hash index of the keys: buckets and their number
		if end < 2 {
			return errBlock
		}
		end -= 2 + int(binary.LittleEndian.Uint16(block[end-2:]))
		restarts &= 1<<31 - 1
	}
	if int64(end) < 4*int64(restarts) {
		return errBlock
	}
	end -= 4 * int(restarts)
	var key []byte
	var prev handle
	for p := (parser{rest: block[:end]}); len(p.rest) > 0; {
		shared, fresh := p.uint64(), p.uint64()
		var size uint64
		if !delta {
			size = p.uint64()
		}
		if p.bad || shared > uint64(len(key)) || fresh > uint64(len(p.rest)) {
			return errBlock
		}
		key = append(key[:shared], p.take(fresh)...)
		var value []byte
		if !delta {
			value = p.take(size)
		} else {
			if shared == 0 {
				prev = handle{p.uint64(), p.uint64()}
			} else {
				more, n := binary.Varint(p.rest)
				p.take(uint64(max(n, 0)))
				p.bad = p.bad || n <= 0
				prev = handle{prev.end(), prev.size + uint64(more)}
			}
			value = binary.AppendUvarint(binary.AppendUvarint(nil, prev.off), prev.size)
		}
		if p.bad {
			return errBlock
		}
		if err := f(key, value); err != nil {
			return err
		}
	}
	return nil
}

// handles decodes an index block, whose keys do not matter for reading all.
func handles(block []byte, delta bool) ([]handle, error) {
	var hs []handle
	err := eachEntry(block, delta, func(_, value []byte) error {
		p := parser{rest: value}
		h := handle{p.uint64(), p.uint64()}
		if p.bad || len(p.rest) > 0 || len(hs) > 0 && h.off < hs[len(hs)-1].end() {
			return errBlock
		}
		hs = append(hs, h)
		return nil
	})
	return hs, err
}

// splitKey takes an internal key apart: user key, then sequence number and kind
// in eight bytes.
func splitKey(key []byte) (user []byte, seq uint64, kind Kind, ok bool) {
	if len(key) < 8 {
		return nil, 0, 0, false
	}
	packed := binary.LittleEndian.Uint64(key[len(key)-8:])
	return key[:len(key)-8], packed >> 8, Kind(packed), true
}

// internalOrder compares two internal keys: user keys ascending, then the newest
// first.
func internalOrder(a, b []byte) int {
	ua, sa, ka, _ := splitKey(a)
	ub, sb, kb, _ := splitKey(b)
	if c := bytes.Compare(ua, ub); c != 0 {
		return c
	}
	pa, pb := sa<<8|uint64(ka), sb<<8|uint64(kb)
	switch {
	case pa > pb:
		return -1
	case pa < pb:
		return 1
	}
	return 0
}
