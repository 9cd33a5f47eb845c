package packed

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"ailee-recovery/internal/input"
)

// NewReader returns the content of a file in this format, which it reads from r. Closing it does
// not close r. An error, here or while reading, is one of r, an *[input.MemoryError], or says that
// the file is damaged. For a format that is not readable, it wraps [errors.ErrUnsupported]. The
// reader is not safe for concurrent use, and starts no goroutines.
func NewReader(f *input.Format, r io.Reader) (io.ReadCloser, error) {
	switch f.Name {
	case input.Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		return z, nil
	case input.Zstd:
		in := &frames{from: r}
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(input.MaxWindow))
		if err != nil {
			return nil, err
		}
		return unzstd{z, in}, nil
	}
	return nil, fmt.Errorf("%s: %w", f.Name, errors.ErrUnsupported)
}

// unzstd distinguishes too little memory from damage.
type unzstd struct {
	out *zstd.Decoder
	in  *frames
}

func (z unzstd) Read(p []byte) (int, error) {
	n, err := z.out.Read(p)
	// The second error is also that for a block which is larger than its window: damage.
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) && z.in.atLargeFrame() {
		err = &input.MemoryError{}
	}
	return n, err
}

func (z unzstd) Close() error {
	z.out.Close()
	return nil
}

// frames remembers the last bytes that were read. The decoder reads the header of a frame to its
// end, and no further, before it refuses it.
type frames struct {
	from io.Reader
	last []byte
}

// frameHeaderLen is the largest size of the header of a frame, in bytes: magic 4, descriptor 1,
// window 1, dictionary 4, size of the content 8.
const frameHeaderLen = 18

func (f *frames) Read(p []byte) (int, error) {
	n, err := f.from.Read(p)
	f.last = append(f.last, p[max(0, n-frameHeaderLen):n]...)
	f.last = f.last[max(0, len(f.last)-frameHeaderLen):]
	return n, err
}

// atLargeFrame reports whether the last bytes that were read are the header of a frame with a
// window above the limit.
func (f *frames) atLargeFrame() bool {
	for i := range f.last {
		var h zstd.Header
		if h.Decode(f.last[i:]) == nil && h.HeaderSize == len(f.last)-i {
			return h.WindowSize > input.MaxWindow
		}
	}
	return false
}
