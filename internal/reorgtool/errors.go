// Package reorgtool is what the tools that use the reorg database share: its errors with
// exit code and hint, the search for damage that RocksDB does not report, and the comparison
// with a Bitcoin node.
package reorgtool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/rocksfile"
	"ailee-recovery/reorgdb"
)

// Explain adds exit code and hint to an error of opening or reading the reorg database at
// path. Damage gets the exit code for wrong data. An error that already has an exit code, and
// nil, are returned as they are.
func Explain(path string, err error) error {
	var known *exit.Error
	var locked *reorgdb.LockedError
	var tooNew *reorgdb.TooNewError
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.As(err, &locked):
		return exit.Fail("stop the node first: systemctl stop ailee-node; never delete the LOCK file, it is not the lock", err)
	case errors.As(err, &tooNew):
		return exit.Fail("nothing is damaged: use the build for your distribution's RocksDB", err)
	case errors.Is(err, reorgdb.ErrUnsupported):
		return exit.Fail("no damage was found: no AILEE node writes this, and a copy would lack it; open the database with the program that wrote it", err)
	case errors.Is(err, reorgdb.ErrCorrupt):
		return exit.WrongData(CopyHint(path), err)
	case errors.Is(err, reorgdb.ErrNoDatabase):
		return exit.Fail(noDatabaseHint(path), err)
	case errors.Is(err, reorgdb.ErrBusy), errors.Is(err, rocksfile.ErrChanging):
		return exit.Fail("run the command again, or stop the node first", err)
	case durable.Hint(err) != "":
		return exit.Fail(durable.Hint(err), err)
	case errors.Is(err, syscall.ENOTDIR):
		// It is the path itself: for the folder for temporary files there was a hint.
		return exit.Fail(noDatabaseHint(path), err)
	case errors.Is(err, fs.ErrNotExist):
		return exit.Fail(missingHint(path), err)
	}
	return exit.Fail("", fmt.Errorf("%s: %w", path, err))
}

// Name is the name of the database in the data directory of a node.
const Name = "reorg_db"

// missingHint is the hint for a path where there is nothing.
func missingHint(path string) string {
	if filepath.Base(path) != Name { // no such file or directory, and the name is not reorg_db
		return "check the path: the database of a node is the folder reorg_db in its data directory, such as /var/lib/ailee/reorg_db"
	}
	return "restore it: " + restoreCommand(path) + "; only a new node starts with an empty one" // no such file or directory: reorg_db is missing
}

// noDatabaseHint is the hint for a path where there is something other than a database.
func noDatabaseHint(path string) string {
	names, err := os.ReadDir(path)
	switch {
	case err != nil: // not a directory
		return "name the folder of the database, such as /var/lib/ailee/reorg_db, not a file in it"
	case len(names) == 0 && filepath.Base(path) == Name: // not a RocksDB database: reorg_db is empty
		return "the folder is empty: restore the database: " + restoreCommand(path) + "; only a new node starts with an empty one"
	case slices.ContainsFunc(names, func(e fs.DirEntry) bool { return e.Name() == Name && e.IsDir() }): // not a RocksDB database, but the folder that contains it
		return "name the database in this folder: " + exit.Command("--db-path", filepath.Join(path, Name))
	}
	return "name the folder that holds the file CURRENT, such as /var/lib/ailee/reorg_db" // not a RocksDB database
}

// restoreCommand is the command that restores a node's database.
func restoreCommand(path string) string {
	return exit.Command("ailee-restore", "--db-only", "--data-dir", filepath.Dir(path))
}

// LookAgain reports whether an error of reading the database at path is damage found while
// a node has the database open. It may be a change by the node that looked like damage:
// such damage is believed only when it is seen twice.
func LookAgain(path string, err error) bool {
	return errors.Is(err, reorgdb.ErrCorrupt) && reorgdb.Holder(path) != nil
}

// CopyHint says how to get a sound database from a damaged one.
func CopyHint(path string) string {
	return "copy what can still be read into a new database: " +
		exit.Command("ailee_init_reorg_db", "--path", path+".new", "--copy-from", path)
}
