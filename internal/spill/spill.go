// Package spill holds and sorts any number of records of one size: in memory as long as there
// are few, and then in a temporary file. It also sorts lines.
package spill

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"iter"
	"os"
)

// inMemory is how many bytes of records a store or sorter holds before it uses a file.
const inMemory = 1 << 20

// readAhead is how much of a file is read at a time, in bytes.
const readAhead = 16 << 10

// NewFile makes a temporary file that disappears when it is closed.
type NewFile func() (*os.File, error)

// Store holds records in the order in which they were added. It is not safe for concurrent use.
type Store struct {
	size    int // of a record
	newFile NewFile
	file    *os.File
	written int64  // bytes in the file
	held    []byte // the bytes after those in the file
}

// NewStore returns an empty store for records of the given size in bytes.
func NewStore(size int, newFile NewFile) *Store { return &Store{size: size, newFile: newFile} }

// Add adds a record.
func (s *Store) Add(record []byte) error {
	s.held = append(s.held, record...)
	if len(s.held) < inMemory {
		return nil
	}
	return s.flush()
}

// AddAll adds records up to the first error.
func (s *Store) AddAll(records iter.Seq2[[]byte, error]) error {
	for record, err := range records {
		if err == nil {
			err = s.Add(record)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) flush() (err error) {
	if s.file == nil {
		if s.file, err = s.newFile(); err != nil {
			return err
		}
	}
	n, err := s.file.WriteAt(s.held, s.written)
	s.written += int64(n)
	s.held = s.held[:0]
	return err
}

// Len returns how many records there are.
func (s *Store) Len() int64 { return (s.written + int64(len(s.held))) / int64(s.size) }

// Read reads record i into the buffer.
func (s *Store) Read(i int64, record []byte) error {
	at := i * int64(s.size)
	if at >= s.written {
		copy(record, s.held[at-s.written:])
		return nil
	}
	_, err := s.file.ReadAt(record[:s.size], at)
	return err
}

// From returns a reader of the records [i, end). No record may be added while it is used.
func (s *Store) From(i, end int64) *Reader { return s.from(i, end, readAhead) }

func (s *Store) from(i, end int64, ahead int) *Reader {
	at, until := i*int64(s.size), end*int64(s.size)
	held := bytes.NewReader(s.held[max(0, min(at, until)-s.written):max(0, until-s.written)])
	if at >= s.written {
		return &Reader{in: held, record: make([]byte, s.size)}
	}
	file := io.NewSectionReader(s.file, at, min(until, s.written)-at)
	return &Reader{in: io.MultiReader(bufio.NewReaderSize(file, ahead), held), record: make([]byte, s.size)}
}

// Close frees the file.
func (s *Store) Close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// Reader reads records one by one.
type Reader struct {
	in     io.Reader
	record []byte
}

// Next returns the next record, which is valid until the next call; nil at the end.
func (r *Reader) Next() ([]byte, error) {
	_, err := io.ReadFull(r.in, r.record)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return r.record, nil
}
