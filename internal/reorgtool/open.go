package reorgtool

import (
	"context"
	"fmt"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/rocksfile"
	"ailee-recovery/reorgdb"
)

// Open opens the database at path for reading and writing and takes its lock. If the process
// runs as root, it first becomes the owner of the folder: see [durable.BecomeUserOf], also
// for path and others. A database with damage in a log is refused with an error that wraps
// [reorgdb.ErrCorrupt]: RocksDB would drop for good what comes after the damage. A torn record
// or zeros at the end of a log, after which RocksDB goes on, are only passed to warn. The
// other errors are those of [reorgdb.Open].
func Open(ctx context.Context, path *string, warn func(format string, args ...any), others ...*string) (*reorgdb.DB, error) {
	if err := prepare(ctx, path, warn, others); err != nil {
		return nil, err
	}
	return reorgdb.Open(*path)
}

// OpenForDryRun opens the database for reading if [Open] would open it. It refuses what Open
// refuses, and changes nothing.
func OpenForDryRun(ctx context.Context, path *string, warn func(format string, args ...any), others ...*string) (*reorgdb.DB, error) {
	if err := prepare(ctx, path, warn, others); err != nil {
		return nil, err
	}
	return reorgdb.OpenReadOnly(*path)
}

// prepare becomes the owner of the folder, and refuses a database that must not be opened
// for writing.
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
	// RocksDB's own error would only say that it cannot open its lock.
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
