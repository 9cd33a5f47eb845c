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

// Damage looks for what RocksDB passes over in silence when it opens the database
// at path. The errors are those of [reorgdb.CheckFolder], but for a damaged one, a
// *[reorgdb.TooNewError], [reorgdb.ErrUnsupported], or of reading the folder.
func Damage(ctx context.Context, path string) ([]rocksfile.Problem, error) {
	if err := reorgdb.CheckFolder(path); err != nil && !errors.Is(err, reorgdb.ErrCorrupt) {
		return nil, err
	}
	checked, err := rocksfile.Check(ctx, path)
	if err != nil {
		return nil, err
	}
	// Of a table whose blocks only RocksDB reads, it finds the damage as well.
	checked.Problems = slices.DeleteFunc(checked.Problems, func(p rocksfile.Problem) bool {
		tooNew := rocksfile.FindTooNew([]rocksfile.Problem{p})
		return tooNew != nil && int(tooNew.Format) <= reorgdb.NewestFormat()
	})
	return Problems(path, checked.Problems, checked.Version)
}

// DamageWithTables is [Damage]. Where that finds anything, it looks into the tables for what
// RocksDB shows otherwise than it was written, or ends the process at: of other databases,
// [reorgdb.DB.Records] does.
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

// Problems leaves out what is none: the end of a log that a running node writes to
// may be half a record. A database that is too new is a *[reorgdb.TooNewError], damage
// beside a table whose blocks only RocksDB reads an error with its hint, one that
// holds what no node writes [reorgdb.ErrUnsupported], and a file that this process may not
// look at an error of the system.
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

// Lossy reports whether records are lost or could be, or may have come back.
func Lossy(problems []rocksfile.Problem) bool {
	for _, p := range problems {
		if p.Lost || p.Stale {
			return true
		}
	}
	return false
}
