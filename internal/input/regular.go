package input

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"ailee-recovery/internal/durable"
)

// ErrNotSeekable says that an input is not a regular file.
var ErrNotSeekable = errors.New("not a regular file, and it has to be read more than once")

// OpenRegular opens a regular file.
func OpenRegular(ctx context.Context, name string) (*Input, error) {
	f, err := durable.OpenRegular(name, os.O_RDONLY)
	if errors.Is(err, durable.ErrNotRegular) {
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			return nil, &os.PathError{Op: "read", Path: name, Err: syscall.EISDIR}
		}
		return nil, fmt.Errorf("%s: %w", name, ErrNotSeekable)
	}
	if err != nil {
		return nil, err
	}
	return opened(ctx, name, f)
}

// Regular returns an input of the first size bytes of an open regular file.
func Regular(ctx context.Context, f *os.File, size int64) *Input {
	return &Input{File: f, Name: f.Name(), Seekable: true, Size: size, ctx: ctx, release: func() bool { return true }}
}
