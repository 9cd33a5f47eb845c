package rocksfile

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// Bounds for the search for blocks without an index, in bytes unless noted. Blocks have about
// 4 KiB unless a value is larger.
const (
	nextBlock  = 1 << 20  // the largest block after a sound one
	stepBlock  = 64 << 10 // the largest block anywhere else
	largerThan = 4        // a block may also be this many times as large as the largest so far
	typeWindow = 1 << 20  // how much is first searched to find the checksum type
	scanWindow = 4 << 20  // how much is read at a time
	maxBlock   = 1 << 30  // the largest block of all
	maxFar     = 64       // how often more is read after damage, to find the end of a block
	unreadable = 4 << 10  // how much is skipped where the file cannot be read
)

// scan reads the data blocks below limit without the index. Data blocks come first in a table,
// without gaps. known is set if they are known to end at limit.
func (r *tableReader) scan(limit int, known bool) {
	if !r.sure && r.checksum == checksumNone {
		r.checksum = checksumCRC32C // zeros in the footer prove nothing
	}
	for window := typeWindow; !r.sure; window *= 4 {
		most := 0
		best := r.checksum
		for _, r.checksum = range checksumTypes {
			if n := len(r.find(min(window, limit))); n > most {
				most, best = n, r.checksum
			}
		}
		r.checksum, r.sure = best, most > 0 || window >= limit
	}
	blocks := r.find(limit)
	r.findDictionary(blocks)
	r.sorted(blocks, limit, known)
}

// maxDictionaries is how many blocks are tried as the dictionary, starting with the last one:
// few blocks come after it.
const maxDictionaries = 64

// findDictionary looks among the blocks for the dictionary that they are compressed with, if
// there is a block that cannot be read without one.
func (r *tableReader) findDictionary(blocks []handle) {
	packed := func(h handle) bool {
		var how [1]byte
		_, err := r.file.ReadAt(how[:], int64(h.off+h.size))
		return err != nil || how[0] != compressNone
	}
	needs := slices.IndexFunc(blocks, func(h handle) bool { return packed(h) && !r.dataBlock(h) })
	if needs < 0 {
		return
	}
	dict, tried := r.dict, 0
	for _, h := range slices.Backward(blocks[needs+1:]) { // the dictionary comes after all data
		if packed(h) {
			continue
		}
		if tried++; tried > maxDictionaries {
			break
		}
		raw, err := r.read(h)
		if err != nil {
			continue
		}
		if found, err := newDictionary(bytes.Clone(raw[:h.size])); err == nil {
			if r.dict = found; r.dataBlock(blocks[needs]) {
				return
			}
		}
	}
	r.dict = dict
}

// dataBlock reports whether the block at h can be decoded as a data block.
func (r *tableReader) dataBlock(h handle) bool {
	b, err := r.block(h)
	if err != nil {
		return false
	}
	n := 0
	err = eachEntry(b, func(key, _ []byte) error {
		if _, _, kind, ok := splitKey(key); !ok || !kind.tableKind() {
			return errBlock
		}
		n++
		return nil
	})
	return err == nil && n > 0
}

// find returns the blocks below limit whose checksum holds.
func (r *tableReader) find(limit int) []handle {
	if !r.checksum.known() {
		return nil
	}
	var blocks []handle
	largest, adjoins := 0, true
	var pos int
	accepted := func(block []byte) bool {
		return r.dataBlock(handle{uint64(pos), uint64(len(block) - blockTrailer)})
	}
	ahead := window{file: r.file, size: int64(limit), piece: scanWindow}
	for pos+blockTrailer < limit {
		n := r.snappyBlock(&ahead, pos, max(nextBlock, largerThan*largest), adjoins)
		if n == 0 {
			b, err := ahead.bytes(int64(pos), int64(min(limit, pos+max(nextBlock, largerThan*largest))))
			switch {
			case err != nil:
				pos += unreadable
			case adjoins:
				n = r.checksum.blockEnd(b, accepted)
			case plausible(b):
				n = r.checksum.blockEnd(b[:min(len(b), max(stepBlock, largerThan*largest))], accepted)
			}
		}
		if adjoins = n > 0; !adjoins {
			pos++
			continue
		}
		blocks = append(blocks, handle{uint64(pos), uint64(n - blockTrailer)})
		largest = max(largest, n)
		pos += n
	}
	return blocks
}

// snappyBlock returns the length, with the trailer, of a Snappy-compressed block at pos, or 0 if
// there is none. It reads size bytes, and more if the block may be larger.
func (r *tableReader) snappyBlock(ahead *window, pos, size int, adjoins bool) int {
	for room := int(ahead.size) - pos; ; size *= largerThan {
		size = min(size, room)
		b, err := ahead.bytes(int64(pos), int64(pos+size))
		if err != nil {
			return 0
		}
		end, more := snappyEnd(b, room)
		switch more = more || end > 0 && end+blockTrailer > size; {
		case end > 0 && !more && b[end] == compressSnappy && r.checksum.holds(b[:end+blockTrailer]):
			return end + blockTrailer
		case !more || size == room || size >= maxBlock:
			return 0
		}
		if r.far++; !adjoins && r.far > maxFar {
			return 0
		}
	}
}

// plausible reports whether a data block that is uncompressed or compressed with zstd can start
// here. The first key of an uncompressed one is complete, and ends in eight bytes of sequence
// number and kind. Blocks compressed with LZ4 or zlib are found only right after a sound block.
func plausible(b []byte) bool {
	if b[0] == 0 {
		p := parser{rest: b[1:]}
		fresh, value := p.uint64(), p.uint64()
		key := p.take(fresh)
		return len(key) >= 8 && Kind(key[len(key)-8]).tableKind() && value <= uint64(len(p.rest))
	}
	_, n := binary.Uvarint(b)
	return n > 0 && len(b) >= n+4 && binary.LittleEndian.Uint32(b[n:]) == 0xFD2FB528
}

// snappyEnd returns the length of the Snappy data at the start of b, or 0 if it is not Snappy
// data. more is set if more bytes than b are needed to decide. room is the number of bytes in b
// and after it. The first byte of a block is 0, so that the data starts with a literal.
func snappyEnd(b []byte, room int) (end int, more bool) {
	size, pos := binary.Uvarint(b)
	if pos <= 0 || size == 0 || size > uint64(room)*maxInflation || pos >= len(b) || b[pos]&3 != 0 {
		return 0, false
	}
	for done := uint64(0); done < size; {
		if pos+5 > len(b) { // the longest tag; a trailer follows in any case
			return 0, pos+5 <= room
		}
		tag := b[pos]
		n, off := uint64(tag>>2)+1, uint64(0)
		switch pos++; tag & 3 {
		case 0:
			if long := int(n) - 60; long > 0 {
				n = 1 + uint64(binary.LittleEndian.Uint32(b[pos:])&(1<<(8*long)-1))
				pos += long
			}
			if pos >= len(b) {
				return 0, pos < room
			}
			if n > uint64(room-pos) || done == 0 && b[pos] != 0 {
				return 0, false
			}
			pos += int(n)
			done += n
			continue
		case 1:
			n, off = uint64(tag>>2&7)+4, uint64(tag>>5)<<8|uint64(b[pos])
			pos++
		case 2:
			off = uint64(binary.LittleEndian.Uint16(b[pos:]))
			pos += 2
		case 3:
			off = uint64(binary.LittleEndian.Uint32(b[pos:]))
			pos += 4
		}
		if off == 0 || off > done {
			return 0, false
		}
		if done += n; done > size {
			return 0, false
		}
	}
	return pos, false
}

// sorted reads the blocks that were found, in the order of the file.
func (r *tableReader) sorted(blocks []handle, limit int, known bool) {
	at, dataEnded := 0, false
	damaged := func(end int, why string) {
		r.report.Damaged = append(r.report.Damaged, Damage{Offset: int64(at), Length: int64(end - at), Why: why})
	}
	for _, h := range blocks {
		if int(h.off) > at && !dataEnded {
			damaged(int(h.off), "checksum mismatch")
		}
		at = int(h.off)
		b, err := r.block(h)
		switch {
		case err != nil:
			if !dataEnded {
				damaged(int(h.end()), err.Error())
			}
		case dataEnded || isIndex(b, h, blocks):
			dataEnded = true
			r.other(b)
		case r.entries(b, false) == nil:
		case known:
			damaged(int(h.end()), errBlock.Error())
		default:
			dataEnded = true
			r.other(b)
		}
		at = int(h.end())
	}
	if !dataEnded && at < limit || !dataEnded && !known {
		damaged(limit, "checksum mismatch, or the end of the table is missing")
	}
	p := r.report.Properties
	switch {
	case p != nil:
		r.clip(int64(min(p.DataSize, uint64(limit))))
		r.countLost()
		r.report.RangesUnknown = r.report.RangesUnknown || r.ranges < p.RangeDeletions
	default:
		r.report.RangesUnknown = true
		if len(r.report.Damaged) > 0 {
			r.report.Lost = -1
		}
	}
}

// clip removes from the damaged ranges everything after the data blocks, which end at end.
func (r *tableReader) clip(end int64) {
	r.report.Damaged = slices.DeleteFunc(r.report.Damaged, func(d Damage) bool { return d.Offset >= end })
	for i := range r.report.Damaged {
		d := &r.report.Damaged[i]
		d.Length = min(d.Length, end-d.Offset)
	}
}

// other reads a block after the data blocks: it may have range deletions or properties.
func (r *tableReader) other(b []byte) {
	if r.ranges == 0 && r.entries(b, true) == nil {
		return
	}
	if p, err := decodeProperties(b); err == nil && r.report.Properties == nil {
		r.report.Properties = p
	}
}

// isIndex reports whether a block is an index block: its values are handles of blocks before
// it.
func isIndex(block []byte, at handle, blocks []handle) bool {
	for _, form := range []indexForm{{delta: true}, {}, {delta: true, firstKey: true}, {firstKey: true}} {
		hs, err := handles(block, form, nil)
		if err != nil || len(hs) == 0 || hs[len(hs)-1].end() > at.off {
			continue
		}
		if blocks[0] == at && hs[0].off == 0 || slices.ContainsFunc(hs, func(h handle) bool {
			i, found := slices.BinarySearchFunc(blocks, h, func(a, b handle) int { return cmp.Compare(a.off, b.off) })
			return found && blocks[i] == h
		}) {
			return true
		}
	}
	return false
}
