package rocksfile

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// Bounds for looking for a block behind a damaged one. Blocks are 4 KiB unless a
// value is larger.
const (
	nextBlock  = 1 << 20  // behind a sound block
	stepBlock  = 64 << 10 // anywhere
	largerThan = 4        // or this many times the largest one so far
)

// scan reads the data blocks without index, below limit. Data blocks come first
// and lie back to back; known says that limit is where they end.
func (r *tableReader) scan(limit int, known bool) {
	types := checksumTypes[:]
	if r.sure {
		types = []checksumType{r.checksum}
	}
	for _, t := range types {
		r.checksum = t
		if blocks := r.find(limit); len(blocks) > 0 {
			r.sorted(blocks, limit, known)
			return
		}
	}
	r.sorted(nil, limit, known)
}

// find returns the blocks whose checksum holds.
func (r *tableReader) find(limit int) []handle {
	var blocks []handle
	largest, adjoins := 0, true
	for pos := 0; pos+blockTrailer < limit; {
		bound := 0
		if adjoins {
			bound = max(nextBlock, largerThan*largest)
		} else if size, ok := plausible(r.data[pos:limit]); ok {
			bound = min(size, max(stepBlock, largerThan*largest))
		}
		n := r.checksum.blockEnd(r.data[pos:min(limit, pos+bound)])
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

// plausible tells whether a data block can start here, and how long it is at
// most: its first key is whole, and has eight bytes of sequence number and kind.
// Blocks of zlib do not show their start and are not found behind damage.
func plausible(b []byte) (size int, ok bool) {
	const anySize = 1 << 30
	if p := (parser{rest: b}); b[0] == 0 {
		p.byte()
		fresh, value := p.uint64(), p.uint64()
		key := p.take(fresh)
		if len(key) >= 8 && Kind(key[len(key)-8]).tableKind() && value <= uint64(len(p.rest)) {
			return anySize, true
		}
	}
	unpacked, n := binary.Uvarint(b)
	if n <= 0 || unpacked < 16 || unpacked > anySize || len(b) < n+8 {
		return 0, false
	}
	size = int(unpacked+unpacked/6) + 32 + blockTrailer
	start := b[n:]
	switch tag := start[0]; {
	case binary.LittleEndian.Uint32(start) == 0xFD2FB528: // zstd
		return size, true
	case tag&3 == 0: // snappy: a literal, its length in the tag or in 1 to 4 bytes behind it
		if long := int(tag>>2) - 59; start[1+max(long, 0)] == 0 {
			return size, true
		}
	}
	// LZ4: the length of the literal in the upper half of the token or behind it
	if start[0]>>4 < 15 {
		return size, start[1] == 0
	}
	return size, start[1] != 255 && start[2] == 0
}

// sorted takes apart the blocks that were found.
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

// clip takes out of the damaged ranges what lies behind the data blocks.
func (r *tableReader) clip(end int64) {
	r.report.Damaged = slices.DeleteFunc(r.report.Damaged, func(d Damage) bool { return d.Offset >= end })
	for i := range r.report.Damaged {
		d := &r.report.Damaged[i]
		d.Length = min(d.Length, end-d.Offset)
	}
}

// other looks at a block behind the data blocks.
func (r *tableReader) other(b []byte) {
	if r.ranges == 0 && r.entries(b, true) == nil {
		return
	}
	if p, err := decodeProperties(b); err == nil && r.report.Properties == nil {
		r.report.Properties = p
	}
}

// isIndex tells whether block, at h, is one of an index: its values are handles
// of blocks in front of it.
func isIndex(block []byte, at handle, blocks []handle) bool {
	for _, delta := range []bool{true, false} {
		hs, err := handles(block, delta)
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
