package rocksfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
)

// SetSortMemory sets how many bytes of entries are held in memory, and returns a function that
// undoes it.
func SetSortMemory(bytes int) (undo func()) {
	before := sortMemory
	sortMemory = bytes
	return func() { sortMemory = before }
}

type closer struct{ *bytes.Reader }

func (closer) Close() error { return nil }

// ReadBlock reads a data block like one of a table in a [View].
func ReadBlock(block []byte, record func(key, value []byte) error) error {
	data := append(bytes.Clone(block), compressNone)
	crc := crc32.Checksum(data, castagnoli)
	data = binary.LittleEndian.AppendUint32(data, (crc>>15|crc<<17)+0xa282ead8)
	end := bytes.Repeat([]byte{0xff}, len(data))
	t := &viewTable{
		file: closer{bytes.NewReader(data)}, size: int64(len(data)), foot: footer{checksum: checksumCRC32C}, dict: noDictionary, seq: maxSeq,
		blocks: []handle{{0, uint64(len(block))}}, between: separators{data: end, ends: []int{len(end)}},
	}
	var r PartReader
	return r.Read(context.Background(), Part{tables: []*viewTable{t}}, record)
}

// EachEntry calls f for the entries of a block, with their internal keys.
func EachEntry(block []byte, f func(key, value []byte) error) error { return eachEntry(block, f) }

// DataBlocks returns the decompressed data blocks of a table.
func DataBlocks(table []byte) (all [][]byte) {
	file := bytes.NewReader(table)
	foot, err := readFooter(file, file.Size())
	if err != nil {
		return nil
	}
	r := fileReader(file, file.Size(), foot, windowSize)
	blocks, _, err := r.layout(foot)
	if err != nil {
		return nil
	}
	for _, h := range blocks {
		if block, err := r.block(h); err == nil {
			all = append(all, bytes.Clone(block))
		}
	}
	return all
}
