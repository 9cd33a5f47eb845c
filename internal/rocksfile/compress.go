package rocksfile

import (
	"bytes"
	"compress/bzip2"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Compression types of a block.
const (
	compressNone      = 0
	compressSnappy    = 1
	compressZlib      = 2
	compressBZip2     = 3
	compressLZ4       = 4
	compressLZ4HC     = 5
	compressXpress    = 6 // of Windows
	compressZSTD      = 7
	compressZSTDEarly = 0x40 // before the format was final
)

// compressed reports whether how is the compression type of a block, none included.
func compressed(how byte) bool { return how <= compressZSTD || how == compressZSTDEarly }

// maxInflation and freeInflation bound the size that a block may decompress to: a multiple of
// its own size, plus a constant. A length in a file must not allocate any amount of memory.
const maxInflation, freeInflation = 256, 1 << 20

// dictionary is the dictionary that the blocks of a table were compressed with.
type dictionary struct {
	content []byte
	zstd    *zstd.Decoder
}

const maxInflated = 1 << 30

var noDictionary, _ = newDictionary(nil)

// newDictionary makes a dictionary from the content of its block in the table: raw, or in the
// form that zstd's training makes.
func newDictionary(content []byte) (*dictionary, error) {
	options := []zstd.DOption{zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxInflated)}
	switch {
	case len(content) >= 8 && binary.LittleEndian.Uint32(content) == trainedDictionary:
		options = append(options, zstd.WithDecoderDicts(content))
	case len(content) > 0:
		options = append(options, zstd.WithDecoderDictRaw(0, content))
	}
	decoder, err := zstd.NewReader(nil, options...)
	return &dictionary{content, decoder}, err
}

// trainedDictionary is the magic number of a trained zstd dictionary, little-endian.
const trainedDictionary = 0xEC30A437

// fixedSize is how many bytes the length before LZ4 data has, up to format version 1.
const fixedSize = 8

// unpack decompresses a block, given with its trailer, whose checksum holds. It uses scratch if
// that is large enough. No checksum covers the format version in the footer: if the block does
// not decompress as in that version, unpack tries the other encoding of lengths.
func (d *dictionary) unpack(block, scratch []byte, format uint32) ([]byte, error) {
	out, err := d.unpackAs(block, scratch, format)
	if err == nil || !lengthMoved(block[len(block)-blockTrailer]) {
		return out, err
	}
	other := uint32(lengthInFront)
	if format >= lengthInFront {
		other = 0
	}
	if out, otherErr := d.unpackAs(block, scratch, other); otherErr == nil {
		return out, nil
	}
	return nil, err
}

// lengthInFront is the first format version in which the length that a block decompresses to
// comes before it as a varint. Snappy has its own length in all versions.
const lengthInFront = 2

// lengthMoved reports whether blocks of this compression type were encoded otherwise before
// lengthInFront.
func lengthMoved(how byte) bool {
	return how == compressZlib || how == compressBZip2 || how == compressLZ4 || how == compressLZ4HC
}

func (d *dictionary) unpackAs(block, scratch []byte, format uint32) ([]byte, error) {
	packed, how := block[:len(block)-blockTrailer], block[len(block)-blockTrailer]
	if how == compressNone {
		return packed, nil
	}
	bound := uint64(len(packed))*maxInflation + freeInflation
	size, packed, err := unpackedSize(packed, how, format)
	if err != nil {
		return nil, err
	}
	if size == unknownSize {
		return d.inflateAll(packed, how, bound)
	}
	if len(packed) == 0 || size == 0 {
		return nil, errBlock
	}
	if size > bound {
		return nil, fmt.Errorf("a block of %d bytes that says it decompresses to %d", len(packed), size)
	}
	if uint64(cap(scratch)) < size {
		scratch = make([]byte, size)
	}
	out := scratch[:size]
	var n int
	switch how {
	case compressSnappy:
		return snappy.Decode(out, packed)
	case compressZlib, compressBZip2:
		n, err = io.ReadFull(d.stream(packed, how), out)
	case compressLZ4, compressLZ4HC:
		n, err = lz4.UncompressBlockWithDict(packed, out, d.content)
	default:
		var got []byte
		got, err = d.zstd.DecodeAll(packed, out[:0])
		out, n = got, len(got)
	}
	if err == nil && uint64(n) != size {
		err = io.ErrUnexpectedEOF
	}
	return out, err
}

// unknownSize means that the length is not stored.
const unknownSize = ^uint64(0)

// unpackedSize returns the length that a block decompresses to, and the compressed data without
// that length.
func unpackedSize(packed []byte, how byte, format uint32) (size uint64, rest []byte, err error) {
	switch how {
	case compressSnappy:
		n, err := snappy.DecodedLen(packed)
		return uint64(n), packed, err
	case compressZlib, compressBZip2:
		if format < lengthInFront {
			return unknownSize, packed, nil
		}
	case compressLZ4, compressLZ4HC:
		if format < lengthInFront && len(packed) >= fixedSize {
			return binary.LittleEndian.Uint64(packed), packed[fixedSize:], nil
		}
	case compressZSTD, compressZSTDEarly:
	case compressXpress:
		return 0, nil, unsupported("XPRESS compression")
	default:
		return 0, nil, unsupported("compression type %d", how)
	}
	p := parser{rest: packed}
	size = p.uint64()
	if p.bad || size == unknownSize {
		return 0, nil, errBlock
	}
	return size, p.rest, nil
}

// stream decompresses zlib's deflate without a header, and bzip2.
func (d *dictionary) stream(packed []byte, how byte) io.Reader {
	if how == compressBZip2 {
		return bzip2.NewReader(bytes.NewReader(packed))
	}
	return flate.NewReaderDict(bytes.NewReader(packed), d.content)
}

// inflateAll decompresses a block without a stored length, up to bound bytes.
func (d *dictionary) inflateAll(packed []byte, how byte, bound uint64) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(d.stream(packed, how), int64(bound)+1))
	if err == nil && uint64(len(out)) > bound {
		err = errors.New("a block that decompresses without end")
	}
	return out, err
}
