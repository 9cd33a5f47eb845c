package snapshottool

import (
	"context"
	"errors"
	"fmt"
	"io"

	"ailee-recovery/internal/input"
	"ailee-recovery/snapshot"
)

// NoSuchError says that a file has fewer snapshots than the number that was asked for, or
// than the first of several.
type NoSuchError struct {
	Index int64
	Last  int64 // of several; 0 if one was asked for
	Count int64 // how many the file has
}

func (e *NoSuchError) Error() string {
	if e.Count == 0 {
		return snapshot.ErrNoSnapshot.Error()
	}
	if e.Last > e.Index {
		return fmt.Sprintf("there are no snapshots %d to %d (the file has %d)", e.Index, e.Last, e.Count)
	}
	return fmt.Sprintf("there is no snapshot %d (the file has %d)", e.Index, e.Count)
}

// Unwrap returns [snapshot.ErrNoSnapshot] if the file has none at all.
func (e *NoSuchError) Unwrap() error {
	if e.Count == 0 {
		return snapshot.ErrNoSnapshot
	}
	return nil
}

// FindNumbered finds the complete snapshot of in with the given number, counted from 1. It
// returns its place, and a reader that has its bytes at these offsets. The error is a
// *[NoSuchError] or one from reading.
func FindNumbered(ctx context.Context, in *input.Input, index int64) (snapshot.Located, io.ReaderAt, error) {
	if !in.Seekable {
		return numberedOfStream(ctx, snapshot.NewStream(in), index)
	}
	r, last := in.Section(), snapshot.Located{}
	for l, err := range snapshot.Forward(r, in.Size) {
		if err = errors.Join(err, ctx.Err()); err != nil || l.Index == index {
			return l, r, err
		}
		last = l
	}
	return last, r, &NoSuchError{Index: index, Count: last.Index}
}

func numberedOfStream(ctx context.Context, s *snapshot.Stream, index int64) (snapshot.Located, io.ReaderAt, error) {
	count := int64(0)
	for {
		l, r, err := s.Next()
		if errors.Is(err, io.EOF) {
			return l, r, &NoSuchError{Index: index, Count: count}
		}
		if err = errors.Join(err, ctx.Err()); err != nil || l.Index == index {
			return l, r, err
		}
		count = l.Index
	}
}
