package reorgtool

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/rocksfile"
	"ailee-recovery/reorgdb"
)

// Damage looks for problems that RocksDB silently ignores when it opens the database at
// path. The errors are those of [reorgdb.CheckFolder] except for [reorgdb.ErrCorrupt], those
// of [Problems], and those of reading the folder.
func Damage(ctx context.Context, path string) ([]rocksfile.Problem, error) {
	if err := reorgdb.CheckFolder(path); err != nil && !errors.Is(err, reorgdb.ErrCorrupt) {
		return nil, err
	}
	checked, err := rocksfile.Check(ctx, path)
	if err != nil {
		return nil, err
	}
	// RocksDB reads the blocks of these tables, and reports their damage itself.
	checked.Problems = slices.DeleteFunc(checked.Problems, func(p rocksfile.Problem) bool {
		tooNew := rocksfile.FindTooNew([]rocksfile.Problem{p})
		return tooNew != nil && int(tooNew.Format) <= reorgdb.NewestFormat()
	})
	return Problems(path, checked.Problems, checked.Version)
}

// DamageWithTables is [Damage]. If that finds anything, it also looks in the tables for
// entries that RocksDB does not show as they were written, or that make it end the process.
// For other databases, [reorgdb.DB.Records] does this.
func DamageWithTables(ctx context.Context, path string) ([]rocksfile.Problem, error) {
	problems, err := Damage(ctx, path)
	if err != nil || len(problems) == 0 {
		return nil, err
	}
	inTables, err := rocksfile.CheckTables(ctx, path)
	if err != nil {
		return nil, err
	}
	if inTables, err = Problems(path, inTables, ""); err != nil {
		return nil, err
	}
	return append(problems, inTables...), nil
}

// Problems returns the problems that are real: while a node is running, half a record at the
// end of a log is normal. Some problems make it return an error instead: a
// *[reorgdb.TooNewError] for a table that this build cannot read; an error with exit code and
// hint for damage in a database with a table whose blocks only RocksDB can read; one that
// wraps [reorgdb.ErrUnsupported] for something that no node writes; and an error of the
// system for a file that this process is not allowed to read.
func Problems(path string, all []rocksfile.Problem, version string) ([]rocksfile.Problem, error) {
	if tooNew := rocksfile.FindTooNew(all); tooNew != nil {
		file, format, newest := filepath.Join(path, tooNew.File), int(tooNew.Format), reorgdb.NewestFormat()
		if format <= newest {
			return nil, exit.Failf("restore a backup: ailee-restore", "%s: %w, and %s has table format version %d, which RocksDB reads whole or not at all",
				path, reorgdb.ErrCorrupt, tooNew.File, format)
		}
		return nil, &reorgdb.TooNewError{File: file, Format: format, Version: version, Newest: newest}
	}
	if what := rocksfile.FindUnsupported(all); what != "" {
		return nil, fmt.Errorf("%s: %w: %s", path, reorgdb.ErrUnsupported, what)
	}
	inUse := sync.OnceValue(func() bool { return reorgdb.Holder(path) != nil })
	var problems []rocksfile.Problem
	for _, p := range all {
		if durable.CannotLook(p.Err) {
			return nil, fmt.Errorf("%s: %w", path, p.Err)
		}
		if p.Kind != rocksfile.TornLog || !inUse() {
			problems = append(problems, p)
		}
	}
	return problems, nil
}

// Lossy reports whether records are lost or could be, or whether deleted or older ones may
// have come back.
func Lossy(problems []rocksfile.Problem) bool {
	for _, p := range problems {
		if p.Lost || p.Stale {
			return true
		}
	}
	return false
}
