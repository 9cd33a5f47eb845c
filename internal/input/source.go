package input

import (
	"context"
	"errors"
	"io"
)

// Source reads until its end, or that of the context, for what decompresses or unpacks.
// Not safe for concurrent use.
type Source struct {
	// Err is what reading itself failed with, the context's error included, nil for nothing:
	// what comes of it says nothing of the bytes that were read.
	Err error

	ctx context.Context
	r   io.Reader
}

// NewSource returns a Source of what r has.
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
