package rocksfile

import (
	"encoding/binary"
	"math/bits"
)

// xxh32State is the 32-bit xxHash with seed 0. No maintained library exports it.
type xxh32State struct {
	lanes [4]uint32
	block [16]byte
	n     int // of block
	total uint32
}

const (
	prime1 uint32 = 2654435761
	prime2 uint32 = 2246822519
	prime3 uint32 = 3266489917
	prime4 uint32 = 668265263
	prime5 uint32 = 374761393
)

func newXXH32() *xxh32State {
	seed := uint32(0)
	return &xxh32State{lanes: [4]uint32{seed + prime1 + prime2, seed + prime2, seed, seed - prime1}}
}

func xxh32(data []byte) uint32 {
	h := newXXH32()
	h.write(data)
	return h.sum()
}

func (h *xxh32State) write(data []byte) {
	h.total += uint32(len(data))
	if h.n > 0 {
		n := copy(h.block[h.n:], data)
		h.n, data = h.n+n, data[n:]
		if h.n == len(h.block) {
			h.mix(h.block[:])
			h.n = 0
		}
	}
	for ; len(data) >= len(h.block); data = data[len(h.block):] {
		h.mix(data)
	}
	h.n += copy(h.block[h.n:], data)
}

func (h *xxh32State) mix(block []byte) {
	for i := range h.lanes {
		h.lanes[i] = bits.RotateLeft32(h.lanes[i]+binary.LittleEndian.Uint32(block[4*i:])*prime2, 13) * prime1
	}
}

func (h *xxh32State) sum() uint32 {
	acc := h.lanes[2] + prime5
	if h.total >= uint32(len(h.block)) {
		acc = bits.RotateLeft32(h.lanes[0], 1) + bits.RotateLeft32(h.lanes[1], 7) + bits.RotateLeft32(h.lanes[2], 12) + bits.RotateLeft32(h.lanes[3], 18)
	}
	acc += h.total
	rest := h.block[:h.n]
	for ; len(rest) >= 4; rest = rest[4:] {
		acc = bits.RotateLeft32(acc+binary.LittleEndian.Uint32(rest)*prime3, 17) * prime4
	}
	for _, c := range rest {
		acc = bits.RotateLeft32(acc+uint32(c)*prime5, 11) * prime1
	}
	acc = (acc ^ acc>>15) * prime2
	acc = (acc ^ acc>>13) * prime3
	return acc ^ acc>>16
}
