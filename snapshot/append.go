package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// Append adds the state to the snapshot file at path, which is created with the
// given permissions where it is missing, and returns where the snapshot starts.
// A file that does not end in a newline gets one first, so that the header is a
// line of its own even behind a torn tail. Everything goes out in one O_APPEND
// write and is synced before Append returns. When the write fails half way and
// nothing else was appended meanwhile, the file is cut back to what it was.
func Append(path string, st *State, perm os.FileMode) (offset int64, err error) {
	var buf bytes.Buffer
	buf.WriteByte('\n')
	if err := Encode(&buf, st); err != nil {
		return 0, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, perm)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, terminated, err := lineEnds(f)
	if err != nil {
		return 0, err
	}
	data := buf.Bytes()
	if terminated {
		data = data[1:]
	}
	n, err := f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return 0, fmt.Errorf("cannot append the snapshot: %w", errors.Join(err, cutBack(f, size, n)))
	}
	end, err := f.Seek(0, io.SeekCurrent)
	return end - int64(buf.Len()-1), err
}

// cutBack removes the n bytes of a failed append behind size, unless someone
// else has appended too.
func cutBack(f *os.File, size int64, n int) error {
	info, err := f.Stat()
	if err != nil || info.Size() != size+int64(n) {
		return err
	}
	return f.Truncate(size)
}

// TerminateLine makes sure that a file that is open for appending ends in a
// newline, so that a header that is appended next is a line of its own.
func TerminateLine(f *os.File) error {
	_, terminated, err := lineEnds(f)
	if err == nil && !terminated {
		_, err = f.Write([]byte{'\n'})
	}
	return err
}

// lineEnds tells whether the file is empty or ends in a newline.
func lineEnds(f *os.File) (size int64, terminated bool, err error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return 0, true, err
	}
	last := make([]byte, 1)
	err = readFull(f, last, info.Size()-1)
	return info.Size(), last[0] == '\n', err
}
