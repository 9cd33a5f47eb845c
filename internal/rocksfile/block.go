package rocksfile

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// handle is the place of a block, without its trailer.
type handle struct{ off, size uint64 }

func (h handle) end() uint64 { return h.off + h.size + blockTrailer }

// within reports whether the block and its trailer end at or below limit.
func (h handle) within(limit int) bool {
	return h.off <= uint64(limit) && h.size <= uint64(limit) && h.end() <= uint64(limit)
}

var errBlock = errors.New("a block that cannot be decoded")

// eachEntry calls f for each entry of a block. f must copy the key if it keeps it. A block is
// a sequence of entries, each with the shared, non-shared and value length (varints), the rest
// of the key, and the value; then the offsets of the restart points (4 bytes each) and their
// number.
func eachEntry(block []byte, f func(key, value []byte) error) error {
	return eachDelta(block, nil, f)
}

// restartPoints returns where the entries of a block end, and the offsets of its restart
// points, still encoded.
func restartPoints(block []byte) (end int, points []byte, err error) {
	if len(block) < 4 {
		return 0, nil, errBlock
	}
	end = len(block) - 4
	restarts := binary.LittleEndian.Uint32(block[end:])
	if restarts>>31 == 1 { // before it there is a hash index of the keys: buckets and their number
		if end < 2 {
			return 0, nil, errBlock
		}
		end -= 2 + int(binary.LittleEndian.Uint16(block[end-2:]))
		restarts &= 1<<31 - 1
	}
	if int64(end) < 4*int64(restarts) {
		return 0, nil, errBlock
	}
	end -= 4 * int(restarts)
	return end, block[end : end+4*int(restarts)], nil
}

// eachDelta is eachEntry for blocks whose values have no lengths, if delta is not nil: index
// blocks since format version 4. delta takes a value off p. first is set if the key shares
// nothing with the key before.
func eachDelta(block []byte, delta func(p *parser, first bool) []byte, f func(key, value []byte) error) error {
	end, points, err := restartPoints(block)
	if err != nil {
		return err
	}
	var key []byte
	p := parser{rest: block[:end]} // outside the loop: its address is passed on
	for len(p.rest) > 0 {
		restart := len(points) > 0 && int64(binary.LittleEndian.Uint32(points)) == int64(end-len(p.rest))
		shared, fresh := p.uint64(), p.uint64()
		var size uint64
		if delta == nil {
			size = p.uint64()
		}
		if restart {
			points = points[4:]
		}
		if p.bad || restart && shared > 0 || shared > uint64(len(key)) || fresh > uint64(len(p.rest)) {
			return errBlock
		}
		key = append(key[:shared], p.take(fresh)...)
		var value []byte
		if delta == nil {
			value = p.take(size)
		} else {
			value = delta(&p, shared == 0)
		}
		if p.bad {
			return errBlock
		}
		if err := f(key, value); err != nil {
			return err
		}
	}
	if len(points) > 0 && end > 0 { // no entry begins at this restart point
		return errBlock
	}
	return nil
}

// indexForm is how the values of an index are encoded.
type indexForm struct {
	delta    bool // as the difference from the value before
	firstKey bool // followed by the first key of the block
}

// handles decodes an index block. separator is called with the key of each handle, if it is
// not nil: reading all blocks does not need the keys.
func handles(block []byte, form indexForm, separator func(key []byte)) ([]handle, error) {
	_, points, err := restartPoints(block)
	if err != nil {
		return nil, err
	}
	hs := make([]handle, 0, len(points)/4) // in most indexes, each entry is a restart point
	add := func(p *parser, h handle) {
		if form.firstKey {
			p.slice()
		}
		p.bad = p.bad || len(hs) > 0 && h.off < hs[len(hs)-1].end()
		hs = append(hs, h)
	}
	if form.delta {
		err = eachDelta(block, func(p *parser, first bool) []byte {
			if first {
				add(p, handle{p.uint64(), p.uint64()})
				return nil
			}
			more, n := binary.Varint(p.rest)
			p.take(uint64(max(n, 0)))
			p.bad = p.bad || n <= 0 || len(hs) == 0
			if !p.bad {
				prev := hs[len(hs)-1]
				add(p, handle{prev.end(), prev.size + uint64(more)})
			}
			return nil
		}, func(key, _ []byte) error {
			if separator != nil {
				separator(key)
			}
			return nil
		})
		return hs, err
	}
	err = eachEntry(block, func(key, value []byte) error {
		p := parser{rest: value}
		add(&p, handle{p.uint64(), p.uint64()})
		if p.bad || len(p.rest) > 0 {
			return errBlock
		}
		if separator != nil {
			separator(key)
		}
		return nil
	})
	return hs, err
}

// splitKey splits an internal key into the user key, and the sequence number and kind in the
// last eight bytes. ok is false if the key is too short.
func splitKey(key []byte) (user []byte, seq uint64, kind Kind, ok bool) {
	if len(key) < 8 {
		return nil, 0, 0, false
	}
	packed := binary.LittleEndian.Uint64(key[len(key)-8:])
	return key[:len(key)-8], packed >> 8, Kind(packed), true
}

// internalOrder compares two internal keys: user keys ascend, and for the same user key the
// newest entry comes first.
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
