package snapshot

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Stream splits input that can be read only once, such as a pipe, into its complete
// snapshots. Each is spooled to a temporary file without a name, so that the space it
// needs is the size of two snapshots, not of the stream. Not safe for concurrent use.
type Stream struct {
	in    *bufio.Reader
	off   int64 // of the next byte of the stream
	index int64

	// spool[0] takes the snapshot that is being read, spool[1] holds the one returned.
	spool [2]*os.File
	tail  tail
	scan  scanner
	// hidden are the hidden snapshots before the latest one that was returned. shadowed are
	// those since then and before the last header line: when the snapshot of that header
	// ends, these were outside of it, and any later ones inside.
	hidden, shadowed findings
	err              error // what ended the stream
}

// NewStream returns a Stream over in. Close frees its temporary files.
func NewStream(in io.Reader) *Stream {
	return &Stream{in: bufio.NewReaderSize(in, blockSize)}
}

// Close frees the temporary files.
func (s *Stream) Close() error {
	var errs []error
	for _, f := range s.spool {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// shifted is a file whose first byte is at an offset of a stream.
type shifted struct {
	file *os.File
	base int64
}

func (s shifted) ReadAt(p []byte, off int64) (int, error) { return s.file.ReadAt(p, off-s.base) }

// Next returns the place of the next complete snapshot in the stream, and a reader for
// its bytes at these offsets. Both stay valid until Next has returned the next one. At
// the end of the stream the error is [io.EOF].
func (s *Stream) Next() (Located, io.ReaderAt, error) {
	var out *bufio.Writer // nil outside a snapshot
	var start int64
	for s.err == nil {
		lineStart := s.off
		line, whole, err := s.readPart()
		if err != nil {
			return Located{}, nil, err
		}
		content, newline := bytes.CutSuffix(line, []byte{'\n'})
		// If the only SNAPSHOT in it belongs to a header after a torn line, it is not an end line.
		if bytes.HasPrefix(content, []byte(EndLine)) && (!whole || len(content) > len(EndLine) && string(content) != endPrefix+HeaderLine) {
			s.mark(marker{kind: stuckMarker, off: lineStart, next: lineStart + int64(len(EndLine))})
		}
		switch {
		case whole && string(content) == HeaderLine:
			if out, err = s.restart(out); err != nil {
				return Located{}, nil, err
			}
			start = lineStart
			s.shadowed = slices.Clone(s.tail.hidden)
			s.mark(marker{kind: headerMarker, off: lineStart, next: s.off})
		case whole && string(content) == EndLine:
			s.mark(marker{kind: endMarker, off: lineStart, next: s.off})
		case whole && bytes.HasSuffix(content, []byte(HeaderLine)):
			s.mark(marker{kind: fusedMarker, off: lineStart + int64(len(content)-len(HeaderLine)), next: s.off})
		}
		if out != nil {
			if _, err := out.Write(line); err != nil {
				return Located{}, nil, spoolError(err)
			}
		}
		end := out != nil && whole && string(content) == EndLine
		if !whole {
			if err := s.copyRest(out); err != nil {
				return Located{}, nil, err
			}
		}
		if !end {
			continue
		}
		if err := out.Flush(); err != nil {
			return Located{}, nil, spoolError(err)
		}
		s.index++
		s.hidden.merge(s.shadowed)
		s.tail, s.shadowed = tail{offset: s.off, newline: newline}, nil
		s.spool[0], s.spool[1] = s.spool[1], s.spool[0]
		return Located{Index: s.index, Offset: start, Size: s.off - start, BodyEnd: lineStart},
			shifted{s.spool[1], start}, nil
	}
	return Located{}, nil, s.err
}

// mark records a marker.
func (s *Stream) mark(m marker) {
	if l := s.scan.step(m)[0]; l.Hidden {
		s.tail.hidden.add(HiddenSnapshot, "", l.Offset)
	}
	s.tail.header = m.kind.starts()
}

// readPart reads a line with its newline, or the first part of a line that is too
// long to be a marker.
func (s *Stream) readPart() (part []byte, whole bool, err error) {
	part, err = s.in.ReadSlice('\n')
	s.off += int64(len(part))
	switch {
	case err == nil:
		s.tail.newline = true
		return part, true, nil
	case errors.Is(err, bufio.ErrBufferFull):
		return part, false, nil
	case errors.Is(err, io.EOF):
		s.err = io.EOF
		if len(part) > 0 {
			s.tail.newline = false
		}
		if s.off-s.tail.offset < headerSize {
			s.tail.short = append(s.tail.short, part...)
		}
		return part, true, nil
	}
	return nil, false, fmt.Errorf("at byte %d: %w", s.off, err)
}

// copyRest copies the rest of a long line to out, if that is not nil.
func (s *Stream) copyRest(out *bufio.Writer) error {
	var last []byte // the last bytes of the line, as many as a header line has
	for {
		part, whole, err := s.readPart()
		if err != nil {
			return err
		}
		if out != nil {
			if _, err := out.Write(part); err != nil {
				return spoolError(err)
			}
		}
		last = append(last, part[max(0, len(part)-int(headerSize)):]...)
		last = last[max(0, len(last)-int(headerSize)):]
		if whole {
			if content := bytes.TrimSuffix(last, []byte{'\n'}); bytes.HasSuffix(content, []byte(HeaderLine)) {
				newline := int64(len(last) - len(content))
				s.mark(marker{kind: fusedMarker, off: s.off - newline - int64(len(HeaderLine)), next: s.off})
			}
			return nil
		}
	}
}

// restart empties the spool file for a new snapshot.
func (s *Stream) restart(out *bufio.Writer) (*bufio.Writer, error) {
	f := s.spool[0]
	if f == nil {
		var err error
		if f, err = os.CreateTemp("", ".ailee-spool-"); err != nil {
			return nil, spoolError(err)
		}
		s.spool[0] = f
		if err := os.Remove(f.Name()); err != nil {
			return nil, spoolError(err)
		}
	}
	if err := f.Truncate(0); err != nil {
		return nil, spoolError(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, spoolError(err)
	}
	if out == nil {
		return bufio.NewWriterSize(f, blockSize), nil
	}
	out.Reset(f)
	return out, nil
}

func spoolError(err error) error {
	return fmt.Errorf("cannot spool the input to a temporary file: %w", err)
}

// HiddenFindings reports on the complete snapshots before the latest one that Next returned
// that no node can see (see [Hidden]). [Stream.TailFindings] reports on those after it.
func (s *Stream) HiddenFindings() []Finding { return slices.Clone(s.hidden) }

// TailFindings is [TailFindings] for a stream that has been read to its end.
func (s *Stream) TailFindings() []Finding {
	if s.off == 0 {
		return nil
	}
	t := s.tail
	t.size = s.off - t.offset
	return t.findings()
}
