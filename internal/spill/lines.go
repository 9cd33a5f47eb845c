package spill

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"iter"
	"os"
	"slices"
)

// linesInMemory is how many bytes of lines a LineSorter holds before it uses a file.
const linesInMemory = 8 << 20

// linesAhead is how much of a sorted run is read at a time, in bytes.
const linesAhead = 64 << 10

// LineSorter sorts lines of any length, which have no newline, by their bytes. It is not safe
// for concurrent use.
type LineSorter struct {
	newFile NewFile
	file    *os.File
	runs    []int64  // where each sorted run ends in the file, in bytes
	held    []byte   // the lines in memory, each with its newline
	places  []uint32 // where each line begins in held
}

// NewLineSorter returns an empty sorter.
func NewLineSorter(newFile NewFile) *LineSorter { return &LineSorter{newFile: newFile} }

// Add adds a line. None may be added after Sorted.
func (s *LineSorter) Add(line []byte) error {
	s.places = append(s.places, uint32(len(s.held)))
	s.held = append(append(s.held, line...), '\n')
	if len(s.held)+4*len(s.places) < linesInMemory {
		return nil
	}
	return s.flush()
}

// at returns the line that begins at a place.
func (s *LineSorter) at(place uint32) []byte {
	line, _, _ := bytes.Cut(s.held[place:], []byte{'\n'})
	return line
}

// endRun sorts the lines in memory.
func (s *LineSorter) endRun() {
	slices.SortFunc(s.places, func(a, b uint32) int { return bytes.Compare(s.at(a), s.at(b)) })
}

// written returns the size of the file, in bytes.
func (s *LineSorter) written() int64 {
	if len(s.runs) == 0 {
		return 0
	}
	return s.runs[len(s.runs)-1]
}

// flush writes the lines in memory as a run.
func (s *LineSorter) flush() (err error) {
	if s.file == nil {
		if s.file, err = s.newFile(); err != nil {
			return err
		}
	}
	s.endRun()
	out := bufio.NewWriterSize(io.NewOffsetWriter(s.file, s.written()), linesAhead)
	for _, place := range s.places {
		line := s.at(place)
		if _, err := out.Write(line[:len(line)+1]); err != nil {
			return err
		}
	}
	s.runs = append(s.runs, s.written()+int64(len(s.held)))
	s.held, s.places = s.held[:0], s.places[:0]
	return out.Flush()
}

// Sorted yields the lines in order. Each is valid until the next one. The iteration ends after
// an error.
func (s *LineSorter) Sorted() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		s.endRun()
		runs := []reader{&heldLines{s, s.places}}
		from, ahead := int64(0), readAheadOf(len(s.runs), linesAhead)
		for _, end := range s.runs {
			runs = append(runs, &fileLines{in: bufio.NewReaderSize(io.NewSectionReader(s.file, from, end-from), ahead)})
			from = end
		}
		merged(runs, yield)
	}
}

// Close frees the file.
func (s *LineSorter) Close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// heldLines reads the lines in memory.
type heldLines struct {
	sorter *LineSorter
	places []uint32
}

func (r *heldLines) Next() ([]byte, error) {
	if len(r.places) == 0 {
		return nil, nil
	}
	line := r.sorter.at(r.places[0])
	r.places = r.places[1:]
	return line, nil
}

// fileLines reads the lines of a run in the file.
type fileLines struct {
	in   *bufio.Reader
	long []byte // a line that does not fit in the reader's buffer
}

func (r *fileLines) Next() ([]byte, error) {
	r.long = r.long[:0]
	for {
		part, err := r.in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			r.long = append(r.long, part...)
			continue
		case errors.Is(err, io.EOF) && len(part)+len(r.long) == 0:
			return nil, nil
		case errors.Is(err, io.EOF):
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		}
		part = part[:len(part)-1]
		if len(r.long) == 0 {
			return part, nil
		}
		r.long = append(r.long, part...)
		return r.long, nil
	}
}
