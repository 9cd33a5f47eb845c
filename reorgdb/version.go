package reorgdb

import (
	"context"
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
	if tooNew := rocksfile.FindTooNew(checked.Problems); tooNew != nil {
		return &TooNewError{File: filepath.Join(path, tooNew.File), Format: int(tooNew.Format), Version: checked.Version}
	}
	return nil
}
