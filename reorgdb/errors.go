package reorgdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"ailee-recovery/internal/rocksfile"
)

// ErrCorrupt means that the database is damaged.
var ErrCorrupt = errors.New("the database is damaged")

// ErrNoDatabase means that a folder does not contain a RocksDB database.
var ErrNoDatabase = errors.New("not a RocksDB database")

// ErrNoFamily means that a database has no column family with the given name.
var ErrNoFamily = errors.New("no column family")

// ErrReadOnly means that the caller tried to change a database that was opened for reading.
var ErrReadOnly = errors.New("the database was opened for reading only")

// ErrUnsupported means that a database contains something that no node writes and this
// package does not read, such as marks of a two-phase transaction. It is not damaged.
var ErrUnsupported = errors.New("not supported")

// TooNewError means that the RocksDB linked here cannot read a database, because a newer one
// wrote it. It is not damaged.
type TooNewError struct {
	File    string // path of the table file that cannot be read
	Format  int    // its table format version
	Version string // of the RocksDB that last opened the database for writing, "" if not known
	Newest  int    // the newest format version that this build reads, see [NewestFormat]
}

func (e *TooNewError) Error() string {
	writer := "a newer RocksDB"
	if e.Version != "" {
		writer = "RocksDB " + e.Version
	}
	return fmt.Sprintf("%s has table format version %d, written by %s: this build reads up to version %d", e.File, e.Format, writer, e.Newest)
}

// explain turns an error of RocksDB, which is text without a code, into an error of this
// package.
func explain(path string, err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "While lock file"):
		if locked := Holder(path); locked != nil {
			return locked
		}
		return &LockedError{Path: path}
	}
	for _, errno := range []syscall.Errno{syscall.EACCES, syscall.EPERM, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
		syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO, syscall.EINVAL, syscall.ENOTSUP} {
		if strings.HasSuffix(strings.ToLower(text), ": "+errno.Error()) {
			return &systemError{path: path, text: within(path, text), errno: errno}
		}
	}
	if tooNew := newerTables(path); tooNew != nil {
		return tooNew
	}
	switch {
	case strings.Contains(text, "merge_operator"):
		return fmt.Errorf("%s: %w: %s", path, ErrUnsupported, rocksfile.KindMerge)
	case strings.HasPrefix(text, "Not implemented"), strings.Contains(text, "existing comparator"):
		return fmt.Errorf("%s: %w: %s", path, ErrUnsupported, relative(path, text))
	}
	missing := strings.HasPrefix(text, "IO error: No such file or directory")
	if missing || strings.HasPrefix(text, "Corruption") {
		return fmt.Errorf("%s: %w: %s", path, ErrCorrupt, relative(path, text))
	}
	return fmt.Errorf("%s: %s", path, text)
}

// systemError is an error of the system, in RocksDB's words. It says nothing about the
// database.
type systemError struct {
	path, text string
	errno      syscall.Errno
}

func (e *systemError) Error() string { return e.path + ": " + e.text }

func (e *systemError) Unwrap() error { return e.errno }

// replayed matches the folder of the links to tables, in paths in RocksDB's errors.
var replayed = regexp.MustCompile(regexp.QuoteMeta(filepath.Join(os.TempDir(), scratchPrefix)) + `[0-9]+/` + replayedName + `/`)

// relative shortens the paths in an error of RocksDB.
func relative(path, text string) string { return replayed.ReplaceAllString(within(path, text), "") }

func within(path, text string) string { return strings.ReplaceAll(text, filepath.Clean(path)+"/", "") }
