package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// blockSize is how much is read at a time: small enough for the second-level
// cache, large enough that the system call does not show.
//
// Reads start at a multiple of it in the file and go to a buffer that is aligned
// as well: copying out of the page cache is up to five times slower where source
// and target differ by a few bytes modulo the page size (AMD Zen 3, rep movsb).
const blockSize = 64 << 10

// ErrShrunk says that a file ended before the size that it had when it was opened.
var ErrShrunk = errors.New("the file became shorter while it was read")

// ErrChanged says that a file no longer held the same records when it was read again.
var ErrChanged = errors.New("the file was overwritten while it was read")

// readFull reads len(p) bytes at off.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = ErrShrunk
	}
	return fmt.Errorf("at byte %d: %w", off+int64(n), err)
}

// newLineBuffer returns a buffer for lineBlocks. Blocks are read into its second half; the
// first takes the start of a line that the previous block cut off.
func newLineBuffer() []byte { return make([]byte, 2*blockSize) }

// lineBlocks reads the lines of a byte range in blocks of whole lines.
type lineBlocks struct {
	r        io.ReaderAt
	off, end int64 // the bytes still to be read
	buf      []byte
	carry    []byte // the start of a line that the previous block cut off
	long     []byte // a larger buffer with carry at its front, after growLine
	maxLine  int
}

func newLineBlocks(r io.ReaderAt, off, end int64, buf []byte, maxLine int) lineBlocks {
	return lineBlocks{r: r, off: off, end: end, buf: buf, maxLine: maxLine}
}

// next returns the next lines and the offset of the first. Every line ends in a
// newline, except possibly the last of the range. If long is set, lines is the start
// of a single line that is too long for the buffer: call skipLine or growLine next.
// The result is valid until the next call. It is empty at the end of the range.
func (b *lineBlocks) next() (lines []byte, off int64, long bool, err error) {
	off = b.off - int64(len(b.carry))
	for {
		if b.long == nil && len(b.carry) > blockSize {
			return b.carry, off, true, nil
		}
		block, err := b.read()
		if err != nil {
			return nil, 0, false, err
		}
		if b.off == b.end {
			b.carry = nil
			return block, off, false, nil
		}
		last := bytes.LastIndexByte(block, '\n')
		b.carry = block[last+1:]
		if last >= 0 {
			return block[:last+1], off, false, nil
		}
	}
}

// read returns the carry with the bytes that follow it in the file.
func (b *lineBlocks) read() ([]byte, error) {
	var block []byte
	if b.long != nil {
		block = b.long[:min(int64(len(b.long)), int64(len(b.carry))+b.end-b.off)]
		b.long = nil
	} else {
		start := blockSize - len(b.carry)
		copy(b.buf[start:], b.carry)
		block = b.buf[start : blockSize+min(blockSize-b.off%blockSize, b.end-b.off)]
	}
	fresh := block[len(b.carry):]
	if err := readFull(b.r, fresh, b.off); err != nil {
		return nil, err
	}
	b.off += int64(len(fresh))
	return block, nil
}

// growLine makes room for the long line that next has just returned, and reports
// whether the limit on line length allows it.
func (b *lineBlocks) growLine() bool {
	size := min(2*len(b.carry), b.maxLine)
	if size <= len(b.carry) {
		return false
	}
	b.long = make([]byte, size)
	b.carry = b.long[:copy(b.long, b.carry)]
	return true
}

// skipLine skips the rest of the long line that next has just returned, and
// returns its last bytes, at most tail of them, without the newline.
func (b *lineBlocks) skipLine(tail int) ([]byte, error) {
	last := append([]byte(nil), b.carry[max(0, len(b.carry)-tail):]...)
	b.carry = nil
	for b.off < b.end {
		chunk := b.buf[blockSize : blockSize+min(blockSize-b.off%blockSize, b.end-b.off)]
		if err := readFull(b.r, chunk, b.off); err != nil {
			return nil, err
		}
		line, _, found := bytes.Cut(chunk, []byte{'\n'})
		last = append(last, line[max(0, len(line)-tail):]...)
		last = last[max(0, len(last)-tail):]
		if found {
			b.off += int64(len(line)) + 1
			break
		}
		b.off += int64(len(chunk))
	}
	return last, nil
}
