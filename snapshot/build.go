package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"

	"golang.org/x/sys/unix"
)

// Builder builds a snapshot in memory, record by record, as a node writes it. The
// sections may be filled in any order. The zero value is empty. Not safe for
// concurrent use.
type Builder struct {
	TimestampMs uint64 // Unix milliseconds

	sections [sectionCount]struct {
		count  uint64
		pieces [][]byte
	}
}

// The sizes of the pieces of a section: each is twice as large as the one before.
const (
	minPiece = 4 << 10
	maxPiece = 1 << 20
)

// maxNumber is the longest number with the space before it.
const maxNumber = len(" 18446744073709551615")

// Add adds a record to the end of its section. Its strings and numbers are in file
// order; an i32 is sign-extended, a bool 0 or 1. A string that contains a newline is
// refused with an error that wraps [ErrNewline].
func (b *Builder) Add(s Section, strings [][]byte, numbers []uint64) error {
	need := len(layouts[s].tag) + len(numbers)*maxNumber + 1
	for i, str := range strings {
		if bytes.IndexByte(str, '\n') >= 0 {
			return fmt.Errorf("string %d %w", i, ErrNewline)
		}
		need += 2*len(str) + len(` ""`)
	}
	section := &b.sections[s]
	last := len(section.pieces) - 1
	if last < 0 || cap(section.pieces[last])-len(section.pieces[last]) < need {
		size := minPiece
		if last >= 0 {
			size = min(2*cap(section.pieces[last]), maxPiece)
		}
		section.pieces = append(section.pieces, make([]byte, 0, max(size, need)))
		last++
	}
	section.pieces[last] = appendLine(section.pieces[last], s, strings, numbers)
	section.count++
	return nil
}

// Text returns the snapshot with the given anchor, nil for none. It shares the memory
// of the builder, to which nothing may be added afterwards. A string of the anchor
// that contains a newline is refused with an error that wraps [ErrNewline].
func (b *Builder) Text(anchor *Anchor) (*Text, error) {
	t := &Text{}
	t.add(appendStart(nil, b.TimestampMs))
	for i := range b.sections {
		section := &b.sections[i]
		t.add(appendCount(nil, Section(i), section.count))
		for _, piece := range section.pieces {
			t.add(piece)
		}
	}
	end, err := appendEnd(nil, anchor)
	if err != nil {
		return nil, err
	}
	t.add(end)
	return t, nil
}

// Text is a snapshot in memory. Safe for concurrent use.
type Text struct {
	pieces [][]byte
	ends   []int64 // where each piece ends
}

func (t *Text) add(piece []byte) {
	t.ends = append(t.ends, t.size()+int64(len(piece)))
	t.pieces = append(t.pieces, piece)
}

func (t *Text) size() int64 {
	if len(t.ends) == 0 {
		return 0
	}
	return t.ends[len(t.ends)-1]
}

// Located is the place of the snapshot in the text: all of it.
func (t *Text) Located() Located {
	return Located{Index: 1, Size: t.size(), BodyEnd: t.size() - int64(len(EndLine)+1)}
}

// ReadAt implements [io.ReaderAt].
func (t *Text) ReadAt(p []byte, off int64) (n int, err error) {
	i := sort.Search(len(t.ends), func(i int) bool { return t.ends[i] > off })
	for ; i < len(t.pieces) && n < len(p); i++ {
		start := t.ends[i] - int64(len(t.pieces[i]))
		n += copy(p[n:], t.pieces[i][off+int64(n)-start:])
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

// maxPieces is how many pieces one writev(2) takes.
const maxPieces = 1024

// WriteTo writes the snapshot. Up to about a gigabyte is written to a file in one
// system call.
func (t *Text) WriteTo(w io.Writer) (written int64, err error) {
	f, isFile := w.(*os.File)
	for rest := t.pieces; len(rest) > 0; {
		var n int
		if isFile {
			n, err = writev(f, rest[:min(len(rest), maxPieces)])
		} else {
			n, err = w.Write(rest[0])
		}
		written += int64(n)
		if err != nil {
			return written, err
		}
		rest = t.from(written)
	}
	return written, nil
}

func writev(f *os.File, pieces [][]byte) (int, error) {
	for {
		n, err := unix.Writev(int(f.Fd()), pieces)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return max(n, 0), &os.PathError{Op: "write", Path: f.Name(), Err: err}
		}
		return n, nil
	}
}

// from returns the pieces starting at the offset.
func (t *Text) from(off int64) [][]byte {
	i := sort.Search(len(t.ends), func(i int) bool { return t.ends[i] > off })
	if i == len(t.pieces) {
		return nil
	}
	first := t.pieces[i][int64(len(t.pieces[i]))-(t.ends[i]-off):]
	return append([][]byte{first}, t.pieces[i+1:]...)
}
