package rocksfile

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/cespare/xxhash/v2"
	"github.com/zeebo/xxh3"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// unmask undoes the masking of a CRC that is stored next to the data that it covers.
func unmask(stored uint32) uint32 {
	rot := stored - 0xa282ead8
	return rot>>17 | rot<<15
}

// checksumType is the checksum of the blocks of a table. The numbers are the ones in the
// footer.
type checksumType uint8

const (
	checksumNone   checksumType = 0 // zeros in place of a checksum
	checksumCRC32C checksumType = 1
	checksumXXH32  checksumType = 2
	checksumXXH64  checksumType = 3
	checksumXXH3   checksumType = 4
	blockTrailer                = 5 // compression type, checksum
	xxh3LastByte                = 0x6b9083d9
	knownChecksums              = "none, CRC32c, XXH32, XXH64 and XXH3"
)

// checksumTypes are the types that are tried if the footer is damaged. checksumNone is not
// tried: it accepts any block with zeros in place of the checksum.
var checksumTypes = [...]checksumType{checksumCRC32C, checksumXXH3, checksumXXH64, checksumXXH32}

func (t checksumType) String() string {
	switch t {
	case checksumNone:
		return "no checksum"
	case checksumCRC32C:
		return "CRC32c"
	case checksumXXH32:
		return "XXH32"
	case checksumXXH64:
		return "XXH64"
	case checksumXXH3:
		return "XXH3"
	}
	return fmt.Sprintf("checksum type %d", uint8(t))
}

func (t checksumType) known() bool { return t <= checksumXXH3 }

// holds reports whether the checksum of a block, given with its trailer, is right.
func (t checksumType) holds(block []byte) bool {
	n := len(block) - blockTrailer
	stored := binary.LittleEndian.Uint32(block[n+1:])
	switch t {
	case checksumNone:
		return stored == 0
	case checksumCRC32C:
		return crc32.Checksum(block[:n+1], castagnoli) == unmask(stored)
	case checksumXXH32:
		return xxh32(block[:n+1]) == stored
	case checksumXXH64:
		return uint32(xxhash.Sum64(block[:n+1])) == stored
	case checksumXXH3:
		return uint32(xxh3.Hash(block[:n]))^uint32(block[n])*xxh3LastByte == stored
	}
	return false
}

// blockEnd finds the shortest block at the start of data whose checksum holds, and returns its
// length with the trailer, or 0. It computes the checksums of all lengths in one pass. Without
// checksums, it finds the shortest block that accepted returns true for.
func (t checksumType) blockEnd(data []byte, accepted func(block []byte) bool) int {
	switch t {
	case checksumNone:
		for i, c := range data[:max(len(data)-4, 0)] {
			if compressed(c) && binary.LittleEndian.Uint32(data[i+1:]) == 0 && accepted(data[:i+blockTrailer]) {
				return i + blockTrailer
			}
		}
	case checksumXXH32:
		h, done := newXXH32(), 0
		for i, c := range data[:max(len(data)-4, 0)] {
			if !compressed(c) {
				continue
			}
			h.write(data[done : i+1])
			done = i + 1
			if h.sum() == binary.LittleEndian.Uint32(data[i+1:]) {
				return i + blockTrailer
			}
		}
	case checksumCRC32C:
		crc := ^uint32(0)
		for i, c := range data[:max(len(data)-4, 0)] {
			crc = castagnoli[byte(crc)^c] ^ crc>>8
			if compressed(c) && ^crc == unmask(binary.LittleEndian.Uint32(data[i+1:])) {
				return i + blockTrailer
			}
		}
	case checksumXXH64:
		h, done := xxhash.New(), 0
		for i, c := range data[:max(len(data)-4, 0)] {
			if !compressed(c) {
				continue
			}
			h.Write(data[done : i+1])
			done = i + 1
			if uint32(h.Sum64()) == binary.LittleEndian.Uint32(data[i+1:]) {
				return i + blockTrailer
			}
		}
	case checksumXXH3:
		h, done := xxh3.New(), 0
		for i, c := range data[:max(len(data)-4, 0)] {
			if !compressed(c) {
				continue
			}
			h.Write(data[done:i])
			done = i
			if uint32(h.Sum64())^uint32(c)*xxh3LastByte == binary.LittleEndian.Uint32(data[i+1:]) {
				return i + blockTrailer
			}
		}
	}
	return 0
}
