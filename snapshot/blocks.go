package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// blockSize is how much is read at a time: small enough for the second-level
// cache, large enough that the system call does not show.
const blockSize = 256 << 10

// ErrShrunk says that a file ended before the offset up to which it was seen to
// reach when it was opened.
var ErrShrunk = errors.New("the file became shorter while it was read")

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

// lineBlocks reads the lines of a byte range in blocks of whole lines.
type lineBlocks struct {
	r        io.ReaderAt
	off, end int64  // what is still to be read
	block    []byte // the usual buffer
	buf      []byte // the one in use: block, or a larger one while a line takes it
	carry    []byte // the start of a line that the block before cut off, in buf
	growing  bool   // growLine was just called
	maxLine  int
}

func newLineBlocks(r io.ReaderAt, off, end int64, buf []byte, maxLine int) lineBlocks {
	return lineBlocks{r: r, off: off, end: end, block: buf, buf: buf, maxLine: maxLine}
}

// next returns the next lines and the offset of the first. Every line ends in
// a newline, but the range's last may not. With long set, lines is the start of
// one line too long for the buffer: call skipLine or growLine next. The result
// is valid until the next call; it is empty at the end of the range.
func (b *lineBlocks) next() (lines []byte, off int64, long bool, err error) {
	if !b.growing {
		b.buf = b.block
	}
	b.growing = false
	n := copy(b.buf, b.carry)
	off = b.off - int64(n)
	fresh := len(b.buf) - n
	if int64(fresh) > b.end-b.off {
		fresh = int(b.end - b.off)
	}
	if err := readFull(b.r, b.buf[n:n+fresh], b.off); err != nil {
		return nil, 0, false, err
	}
	b.off += int64(fresh)
	block := b.buf[:n+fresh]
	b.carry = nil
	if b.off == b.end {
		return block, off, false, nil
	}
	last := bytes.LastIndexByte(block, '\n')
	if last < 0 {
		b.carry = block
		return block, off, true, nil
	}
	b.carry = block[last+1:]
	return block[:last+1], off, false, nil
}

// growLine makes room for the long line that next just returned, and reports
// whether the limit on line length allows it.
func (b *lineBlocks) growLine() bool {
	size := min(2*len(b.buf), b.maxLine)
	if size <= len(b.buf) {
		return false
	}
	grown := make([]byte, size)
	b.carry = grown[:copy(grown, b.carry)]
	b.buf = grown
	b.growing = true
	return true
}

// skipLine passes over the rest of the long line that next just returned, and
// returns its last bytes, at most tail of them, without the newline.
func (b *lineBlocks) skipLine(tail int) ([]byte, error) {
	last := append([]byte(nil), b.carry[max(0, len(b.carry)-tail):]...)
	b.carry = nil
	for b.off < b.end {
		chunk := b.buf[:min(int64(len(b.buf)), b.end-b.off)]
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
