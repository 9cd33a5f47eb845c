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

// compressed reports whether a block can have the compression type.
func compressed(how byte) bool { return how <= compressZSTD || how == compressZSTDEarly }

// maxInflation bounds what a block may decompress to, as a multiple of its size
// and beside a constant: a length in a file must not allocate at will.
const maxInflation, freeInflation = 256, 1 << 20

// dictionary is what the blocks of a table were compressed with.
type dictionary struct {
	content []byte
	zstd    *zstd.Decoder
}

const maxInflated = 1 << 30

var noDictionary, _ = newDictionary(nil)

// newDictionary takes the content of the table's block: raw, or what zstd has trained.
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

// trainedDictionary is what a dictionary of zstd begins with, little-endian.
const trainedDictionary = 0xEC30A437

// fixedSize is how many bytes the length in front of LZ4 data has up to format version 1.
const fixedSize = 8

// unpack decompresses a block that is given with its trailer, and whose checksum
// holds. scratch is used where it is large enough. No checksum covers the format version
// in the footer: where the block is not as that has it, it may be as another does.
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

// lengthInFront is the format version from which on the length that a block decompresses
// to stands in front of it, but for Snappy, which has its own.
const lengthInFront = 2

// lengthMoved reports whether that is what a block of this compression type was before.
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

// unknownSize says that nothing says the length.
const unknownSize = ^uint64(0)

// unpackedSize returns the length that a block decompresses to, and the block without it.
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

// inflateAll decompresses what has no length in front, up to bound bytes.
func (d *dictionary) inflateAll(packed []byte, how byte, bound uint64) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(d.stream(packed, how), int64(bound)+1))
	if err == nil && uint64(len(out)) > bound {
		err = errors.New("a block that decompresses without end")
	}
	return out, err
}
