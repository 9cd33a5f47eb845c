package reorgtool

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"ailee-recovery/internal/durable"
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
	return Problems(path, checked.Problems, checked.Version)
}

// DamageWithTables is [Damage], and a look into the tables for what RocksDB shows otherwise
// than it was written, or ends the process at.
func DamageWithTables(ctx context.Context, path string) ([]rocksfile.Problem, error) {
	problems, err := Damage(ctx, path)
	if err != nil {
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
// may be half a record. A database that is too new is a *[reorgdb.TooNewError], one that
// holds what no node writes [reorgdb.ErrUnsupported], and a file that this process may not
// look at an error of the system.
func Problems(path string, all []rocksfile.Problem, version string) ([]rocksfile.Problem, error) {
	if tooNew := rocksfile.FindTooNew(all); tooNew != nil {
		return nil, &reorgdb.TooNewError{File: filepath.Join(path, tooNew.File), Format: int(tooNew.Format), Version: version}
	}
	if what := rocksfile.FindUnsupported(all); what != "" {
		return nil, fmt.Errorf("%s: %w: %s", path, reorgdb.ErrUnsupported, what)
	}
	inUse := reorgdb.Holder(path) != nil
	var problems []rocksfile.Problem
	for _, p := range all {
		if durable.CannotLook(p.Err) {
			return nil, fmt.Errorf("%s: %w", path, p.Err)
		}
		if p.Kind != rocksfile.TornLog || !inUse {
			problems = append(problems, p)
		}
	}
	return problems, nil
}

// Lossy tells whether records are lost or could be, or may have come back.
func Lossy(problems []rocksfile.Problem) bool {
	for _, p := range problems {
		if p.Lost || p.Stale {
			return true
		}
	}
	return false
}
