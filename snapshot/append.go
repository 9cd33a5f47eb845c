package snapshot

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Append adds a snapshot to the file f, which is open for reading and appending
// (O_APPEND), and returns its place. If the file does not end in a newline, one is
// written first, so that the header is its own line even after a torn tail. The
// snapshot is written by its WriteTo, synced, and then passed to check. If one of
// these fails and nothing else was appended meanwhile, the file is truncated to its
// old size.
func Append(f *os.File, snapshot io.WriterTo, check func(Located) error) (Located, error) {
	before, err := f.Stat()
	if err != nil {
		return Located{}, err
	}
	l, err := appendTo(f, snapshot)
	if err == nil {
		err = check(l)
	}
	if err != nil {
		return l, errors.Join(err, cutBack(f, before.Size(), l.End()))
	}
	return l, nil
}

func appendTo(f *os.File, snapshot io.WriterTo) (l Located, err error) {
	if err := TerminateLine(f); err != nil {
		return Located{}, fmt.Errorf("cannot append the snapshot: %w", err)
	}
	l.Size, err = snapshot.WriteTo(f)
	if err == nil {
		err = f.Sync()
	}
	end, seekErr := f.Seek(0, io.SeekCurrent)
	l.Offset, l.BodyEnd = end-l.Size, end-int64(len(EndLine)+1)
	if err != nil {
		return l, fmt.Errorf("cannot append the snapshot: %w", err)
	}
	return l, seekErr
}

// cutBack removes what a failed append wrote after size, up to end, unless
// another process has appended too.
func cutBack(f *os.File, size, end int64) error {
	info, err := f.Stat()
	if err != nil || info.Size() != end || end <= size {
		return err
	}
	return f.Truncate(size)
}

// TerminateLine makes sure that a file that is open for appending ends in a
// newline, so that a header that is appended next is on its own line.
func TerminateLine(f *os.File) error {
	terminated, err := Terminated(f)
	if err == nil && !terminated {
		_, err = f.Write([]byte{'\n'})
	}
	return err
}

// Terminated reports whether the file is empty or ends in a newline.
func Terminated(f *os.File) (bool, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return true, err
	}
	last := make([]byte, 1)
	err = readFull(f, last, info.Size()-1)
	return last[0] == '\n', err
}
