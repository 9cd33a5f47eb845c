package input

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// ErrNotSeekable says that an input is no regular file.
var ErrNotSeekable = errors.New("not a regular file, and it has to be read more than once")

// OpenRegular opens a regular file.
func OpenRegular(ctx context.Context, name string) (*Input, error) {
	// A pipe nobody writes to must not keep the caller waiting.
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return nil, fmt.Errorf("%s: %w", name, ErrNotSeekable)
	}
	in, err := Open(ctx, name, nil)
	if err != nil {
		return nil, err
	}
	if !in.Seekable {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, ErrNotSeekable), in.Close())
	}
	return in, nil
}
