package reorgtool

import (
	"context"
	"fmt"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/rocksfile"
	"ailee-recovery/reorgdb"
)

// Open opens the database at path for reading and writing and takes its lock. Before
// that it becomes the user to whom the folder belongs, where it is root's: see
// [durable.BecomeUserOf], also for path and others.
// RocksDB would drop, for good, what stands behind damage in a log: such a database
// is refused, with an error that wraps [reorgdb.ErrCorrupt]. Of a torn record or zeros at
// the end of a log, which RocksDB goes on from, warn is told. The other errors are
// those of [reorgdb.Open].
func Open(ctx context.Context, path *string, warn func(format string, args ...any), others ...*string) (*reorgdb.DB, error) {
	// Root sees processes that the user of the folder does not.
	if err := reorgdb.Holder(*path); err != nil {
		return nil, err
	}
	if err := durable.BecomeUserOf(path, others...); err != nil {
		return nil, err
	}
	return open(ctx, *path, warn)
}

func open(ctx context.Context, path string, warn func(format string, args ...any)) (*reorgdb.DB, error) {
	if err := reorgdb.CheckFolder(path); err != nil {
		return nil, err
	}
	problems, err := Damage(ctx, path)
	if err != nil {
		return nil, err
	}
	for _, p := range problems {
		switch {
		case p.Kind == rocksfile.TornLog, p.Kind == rocksfile.ZeroedLog:
			warn("%s: %s", path, p)
		case p.Lost:
			return nil, fmt.Errorf("%s: %w: %s", path, reorgdb.ErrCorrupt, p)
		}
	}
	return reorgdb.Open(path)
}
