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
	if err := prepare(ctx, path, warn, others); err != nil {
		return nil, err
	}
	return reorgdb.Open(*path)
}

// OpenForDryRun opens the database for reading, where [Open] would open it: it refuses what
// Open refuses, and changes nothing.
func OpenForDryRun(ctx context.Context, path *string, warn func(format string, args ...any), others ...*string) (*reorgdb.DB, error) {
	if err := prepare(ctx, path, warn, others); err != nil {
		return nil, err
	}
	return reorgdb.OpenReadOnly(*path)
}

// prepare becomes the user, and refuses what is not to be opened for writing.
func prepare(ctx context.Context, path *string, warn func(format string, args ...any), others []*string) error {
	// Root sees processes that the user of the folder does not.
	if err := reorgdb.Holder(*path); err != nil {
		return err
	}
	if err := durable.BecomeUserOf(path, others...); err != nil {
		return err
	}
	if err := refuse(ctx, *path, warn); err != nil {
		return err
	}
	// RocksDB would say no more than that it cannot open its lock.
	return durable.CouldWriteIn(*path)
}

func refuse(ctx context.Context, path string, warn func(format string, args ...any)) error {
	if err := reorgdb.CheckFolder(path); err != nil {
		return err
	}
	problems, err := Damage(ctx, path)
	if err != nil {
		return err
	}
	for _, p := range problems {
		switch {
		case p.Kind == rocksfile.TornLog, p.Kind == rocksfile.ZeroedLog:
			warn("%s: %s", path, p)
		case p.Lost:
			return fmt.Errorf("%s: %w: %s", path, reorgdb.ErrCorrupt, p)
		}
	}
	return nil
}
