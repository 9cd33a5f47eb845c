package input

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow is how much memory a file may ask for to be unpacked, in bytes. It is the limit of
// zstd itself, and more than zstd uses without --ultra or --long.
const maxWindow = 128 << 20

// A MemoryError says that a file cannot be unpacked within the limit for memory. Nothing is known
// about its content.
type MemoryError struct{}

func (*MemoryError) Error() string {
	return fmt.Sprintf("unpacking it takes more than %d bytes of memory", maxWindow)
}

// Hint says how the file can be unpacked all the same.
func (*MemoryError) Hint() string { return "unpack it first: zstd -dc --long=31 < FILE > UNPACKED" }

// Readable reports whether [Format.NewReader] unpacks files in this format.
func (f *Format) Readable() bool { return f.Name == Gzip || f.Name == Zstd }

// NewReader returns the content of a file in this format, which it reads from r. Closing it does
// not close r. An error, here or while reading, is one of r, a *[MemoryError], or says that the
// file is damaged. For a format that is not [Format.Readable], it wraps [errors.ErrUnsupported].
// The reader is not safe for concurrent use, and starts no goroutines.
func (f *Format) NewReader(r io.Reader) (io.ReadCloser, error) {
	switch f.Name {
	case Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		return z, nil
	case Zstd:
		in := &frames{from: r}
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
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
		err = &MemoryError{}
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
			return h.WindowSize > maxWindow
		}
	}
	return false
}
