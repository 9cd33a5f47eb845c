package input

import (
	"context"
	"errors"
	"io"
)

// Source feeds a decompressor or unpacker until the end of its input or of the context. It is
// not safe for concurrent use.
type Source struct {
	// Err is the error from reading itself, including the context's error, nil for none. An
	// error that the decompressor returns because of it says nothing about the data.
	Err error

	ctx context.Context
	r   io.Reader
}

// NewSource returns a Source that reads from r.
func NewSource(ctx context.Context, r io.Reader) *Source { return &Source{ctx: ctx, r: r} }

func (s *Source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		s.Err = err
		return 0, err
	}
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.Err = err
	}
	return n, err
}
