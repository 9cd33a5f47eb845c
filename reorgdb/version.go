package reorgdb

import (
	"context"
	"errors"
	"path/filepath"

	"ailee-recovery/internal/rocksfile"
)

// newerTables returns a *[TooNewError] when a table of the database has a format
// that is newer than this build reads.
func newerTables(path string) error {
	checked, err := rocksfile.Check(context.Background(), path)
	if err != nil {
		return nil
	}
	return TooNew(path, checked.Problems, checked.Version)
}

// TooNew returns a *[TooNewError] when one of the problems found in the database at
// path is a table with a format that is newer than this build reads. version is that
// of the RocksDB which wrote it, "" when not known.
func TooNew(path string, problems []rocksfile.Problem, version string) error {
	for _, p := range problems {
		var tooNew *rocksfile.TooNewError
		if errors.As(p.Err, &tooNew) {
			return &TooNewError{File: filepath.Join(path, p.File), Format: int(tooNew.Format), Version: version}
		}
	}
	return nil
}
