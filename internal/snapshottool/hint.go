package snapshottool

import (
	"errors"
	"io/fs"
	"path/filepath"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/input"
	"ailee-recovery/snapshot"
)

// ReadHint says what to do about an error from reading a snapshot file, or "" if there is
// nothing to say.
func ReadHint(err error) string {
	var line *snapshot.LineTooLongError
	var section *snapshot.SectionTooLargeError
	var anchors *snapshot.TooManyAnchorsError
	var memory *input.MemoryError
	switch {
	case errors.As(err, &memory):
		return memory.Hint()
	case errors.As(err, &line), errors.As(err, &section), errors.As(err, &anchors):
		return "run it again with more memory: --max-memory 1GiB"
	case errors.Is(err, snapshot.ErrShrunk), errors.Is(err, snapshot.ErrChanged):
		return "the file was replaced or cut while it was read: run the command again"
	}
	if hint := durable.Hint(err); hint != "" || !errors.Is(err, fs.ErrNotExist) {
		return hint
	}
	return "check the path; if the node's file is gone, restore it: ailee-restore --snapshot-only" // no such file or directory
}

// RestoreHint says how to get a snapshot file back if nothing in the one at path is usable.
func RestoreHint(path string) string {
	if filepath.Base(path) != snapshot.FileName { // nothing in the file is of use, and it has not the name of a node's
		return "name another copy of the file; that of a node is restored with ailee-restore --snapshot-only"
	}
	return "restore the file: " + exit.Command("ailee-restore", "--snapshot-only", "--data-dir", filepath.Dir(path)) // nothing in the file of a node is of use
}
