package reorgdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/linxGnu/grocksdb"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/rocksfile"
)

// DB is an open reorg database. Its methods are safe for concurrent use, except for
// [DB.Close].
type DB struct {
	path     string
	mode     mode
	rocks    *grocksdb.DB
	opts     *options
	names    []string // of the column families, the default one first
	families []*grocksdb.ColumnFamilyHandle
	writing  sync.Mutex
	reorgs   reorgs // for the holder of writing
	files    files
}

// mode is how a database is opened.
type mode int

const (
	readWrite mode = iota
	readOnly       // shows the database at one moment; only safe while no process writes
	secondary      // for reading while another process writes
)

// Create makes a new database at path, which must be missing or an empty folder, and opens
// it for reading and writing. It has the default column family, and those in families. Older
// nodes cannot open a database that has any other than the default one.
func Create(path string, families ...string) (*DB, error) {
	opts, err := newOptions()
	if err != nil {
		return nil, err
	}
	opts.rocks.SetCreateIfMissing(true)
	opts.rocks.SetCreateIfMissingColumnFamilies(true)
	opts.rocks.SetErrorIfExists(true)
	names := []string{DefaultFamily}
	for _, name := range families {
		if name != DefaultFamily {
			names = append(names, name)
		}
	}
	return openFamilies(path, opts, names, readWrite)
}

// Open opens a database for reading and writing and takes its lock. A database that a
// process was killed while making is completed. The error wraps [fs.ErrNotExist],
// [syscall.ENOTDIR], [fs.ErrPermission], [ErrNoDatabase], [ErrCorrupt] or [ErrUnsupported],
// or is a *[LockedError], a *[TooNewError], or another error of the system.
func Open(path string) (*DB, error) {
	if err := CheckFolder(path); err != nil {
		return nil, err
	}
	if err := Holder(path); err != nil {
		return nil, err
	}
	return open(path, readWrite)
}

// OpenReadOnly opens a database for reading, even while a node is writing to it, and does
// not change the folder. The result shows the database at one moment. A database that is not
// completely made yet has no records. The errors are those of [Open], without *[LockedError];
// the error may also wrap [ErrBusy].
//
// According to RocksDB, a read-only open during writes is undefined: a file that a
// compaction removes during the open looks like damage. Therefore a database that is in use
// is opened as a secondary instance, and damage is believed only when a second open finds it
// too.
func OpenReadOnly(path string) (*DB, error) {
	if err := CheckFolder(path); err != nil {
		return nil, err
	}
	db, err := open(path, sharedMode(path))
	if errors.Is(err, ErrCorrupt) {
		db, err = open(path, sharedMode(path))
	}
	if errors.Is(err, ErrCorrupt) {
		// ErrUnsupported takes precedence: a copy would lack what is not supported.
		if unsupported := unsupportedInTables(context.Background(), path); errors.Is(unsupported, ErrUnsupported) {
			err = unsupported
		}
	}
	return db, err
}

func sharedMode(path string) mode {
	if Holder(path) != nil {
		return secondary
	}
	return readOnly
}

// CheckFolder returns an error if there is no database at path that can be opened, as far as
// the names and types of the files show. It refuses a pipe, for example: RocksDB would wait
// forever for its writer. The error wraps [fs.ErrNotExist], [syscall.ENOTDIR],
// [fs.ErrPermission], [ErrNoDatabase] or [ErrCorrupt].
func CheckFolder(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR}
	}
	names, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	files, current := false, false
	for _, name := range names {
		if err := checkKind(path, name); err != nil {
			return err
		}
		current = current || name.Name() == "CURRENT"
		files = files || named(name, "MANIFEST-*", "*.sst", "*.log")
	}
	if current || rocksfile.Unfinished(path) {
		return nil
	}
	if files {
		return fmt.Errorf("%s: %w: CURRENT is missing", path, ErrCorrupt)
	}
	return fmt.Errorf("%s: %w", path, ErrNoDatabase)
}

// named reports whether the name of an entry matches one of the patterns.
func named(entry fs.DirEntry, patterns ...string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		match, _ := filepath.Match(pattern, entry.Name())
		return match
	})
}

// checkKind returns an error that wraps [ErrCorrupt] for a pipe, a device or a socket that
// RocksDB would open, directly or through a link.
func checkKind(path string, entry fs.DirEntry) error {
	kind := entry.Type()
	if kind.IsRegular() || !named(entry, "CURRENT", "LOCK", "IDENTITY", "MANIFEST-*", "OPTIONS-*", "*.sst", "*.log") {
		return nil
	}
	if kind == fs.ModeSymlink {
		info, err := os.Stat(filepath.Join(path, entry.Name()))
		if err != nil {
			return nil // a dangling link counts as a missing file
		}
		kind = info.Mode().Type()
	}
	if kind.IsRegular() || kind.IsDir() {
		return nil
	}
	return fmt.Errorf("%s: %w: %q is not a regular file", path, ErrCorrupt, entry.Name())
}

func open(path string, how mode) (*DB, error) {
	opts, err := newOptions()
	if err != nil {
		return nil, err
	}
	if how == secondary {
		// Files stay readable after the writer removed them, as long as they are open.
		opts.rocks.SetMaxOpenFiles(-1)
	}
	if rocksfile.Unfinished(path) {
		return openUnfinished(path, opts, how)
	}
	mark := ""
	tables := tablesIn(path)
	switch n, fewer := fewerTables(tables); {
	case fewer && how != secondary:
		opts.rocks.SetMaxOpenFiles(n)
	case 2*tables <= n && how == readOnly:
		mark = manifestMark(path)
	}
	if how != readWrite {
		if replay, err := rocksfile.OpenReplay(path); err == nil && replay != nil && replay.LogBytes() > maxHeld {
			return openReplayed(path, opts, how, replay)
		}
	}
	if err := fit(path, rocksfile.Unfit(path)); err != nil {
		return nil, errors.Join(err, opts.close())
	}
	// RocksDB opens a database only when all its column families are named.
	names, err := grocksdb.ListColumnFamilies(opts.rocks, path)
	if err != nil {
		return nil, errors.Join(explain(path, err), opts.close())
	}
	db, err := openFamilies(path, opts, names, how)
	if err == nil {
		db.files.mark = mark
	}
	return db, err
}

// fit turns an error of [rocksfile.Unfit] into one of this package. RocksDB must not open
// such a database.
func fit(path string, unfit error) error {
	switch {
	case unfit == nil:
		return nil
	case errors.Is(unfit, rocksfile.ErrUnsupported):
		return fmt.Errorf("%s: %w: %s", path, ErrUnsupported, unfit)
	}
	return fmt.Errorf("%s: %w: %s", path, ErrCorrupt, unfit)
}

// openUnfinished completes an unfinished database, or for a reader makes an empty one
// elsewhere.
func openUnfinished(path string, opts *options, how mode) (*DB, error) {
	opts.rocks.SetCreateIfMissing(true)
	if how == readWrite {
		return openFamilies(path, opts, []string{DefaultFamily}, readWrite)
	}
	db, err := openFamilies(filepath.Join(opts.scratch.Path, "empty"), opts, []string{DefaultFamily}, readWrite)
	if err == nil {
		db.path, db.mode = path, how
	}
	return db, err
}

const (
	// otherFiles is a generous bound on the number of open files that are not tables.
	otherFiles = 48
	// maxTables is how many tables may be open at a time: each takes 6 KiB of memory or more.
	maxTables = 1000
)

// fewerTables returns how many tables this process should have open at a time, and whether
// fewer than all tables of the database. If not, all stay open, which is faster.
func fewerTables(tables int) (n int, fewer bool) {
	n = maxTables
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil && limit.Cur < maxTables+otherFiles {
		n = max(0, int(limit.Cur)-otherFiles)
	}
	return n, tables > n
}

func tablesIn(path string) (n int) {
	for _, name := range namesIn(path) {
		n += boolInt(strings.HasSuffix(name, ".sst"))
	}
	return n
}

// openFamilies opens the database. It takes ownership of the options.
func openFamilies(path string, opts *options, names []string, how mode) (*DB, error) {
	db := &DB{path: path, mode: how, opts: opts, names: names}
	if err := db.openAt(path, how); err != nil {
		return nil, errors.Join(explain(path, err), opts.close())
	}
	if how == secondary {
		if err := db.catchUp(); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return db, nil
}

// openAt opens the column families of the database in a folder.
func (db *DB) openAt(dir string, how mode) (err error) {
	opts := db.opts.rocks
	// The default family comes first.
	slices.SortStableFunc(db.names, func(a, b string) int {
		return boolInt(b == DefaultFamily) - boolInt(a == DefaultFamily)
	})
	each := make([]*grocksdb.Options, len(db.names))
	for i := range each {
		each[i] = opts
	}
	switch how {
	case readWrite:
		db.rocks, db.families, err = grocksdb.OpenDbColumnFamilies(opts, dir, db.names, each)
	case readOnly:
		db.rocks, db.families, err = grocksdb.OpenDbForReadOnlyColumnFamilies(opts, dir, db.names, each, false)
	case secondary:
		db.rocks, db.families, err = grocksdb.OpenDbAsSecondaryColumnFamilies(opts, dir, filepath.Join(db.opts.scratch.Path, "secondary"), db.names, each)
	}
	return err
}

// ErrBusy means that a node kept changing the database, so that no consistent view of it
// could be opened.
var ErrBusy = errors.New("the database keeps changing")

// catchUpWait is how long opening tries to get a consistent view.
const catchUpWait = 20 * time.Second

// catchUp makes a secondary instance show the database at one moment. RocksDB reads the
// MANIFEST first and then the logs. Records that the writer moves from a log to a table in
// between would silently be missing, although later ones are there. The writer adds the
// table to the MANIFEST before it removes the log, so the view is complete if the MANIFEST
// did not change meanwhile.
func (db *DB) catchUp() error {
	for start := time.Now(); time.Since(start) < catchUpWait; {
		before := manifestMark(db.path)
		if err := db.rocks.TryCatchUpWithPrimary(); err != nil {
			return explain(db.path, err)
		}
		err := db.lacksTables()
		if manifestMark(db.path) == before {
			return err
		}
	}
	return fmt.Errorf("%s: %w", db.path, ErrBusy)
}

// lacksTables returns an error if the MANIFEST names a table that is not in the view: a
// secondary instance silently ignores a table that it cannot open, and all records in it.
// The error is a *[TooNewError] or wraps [ErrCorrupt], or is an error of reading the MANIFEST.
func (db *DB) lacksTables() error {
	manifest, err := readManifest(db.path)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, table := range db.rocks.GetLiveFilesMetaData() {
		there[filepath.Base(table.Name)] = true
	}
	for _, number := range slices.Sorted(maps.Keys(manifest.Tables)) {
		name := fmt.Sprintf("%06d.sst", number)
		if there[name] {
			continue
		}
		if tooNew := newerTables(db.path); tooNew != nil {
			return tooNew
		}
		return fmt.Errorf("%s: %w: %s cannot be opened", db.path, ErrCorrupt, name)
	}
	return nil
}

// readManifest reads the MANIFEST that CURRENT names.
func readManifest(path string) (*rocksfile.Manifest, error) {
	current, err := os.ReadFile(filepath.Join(path, "CURRENT"))
	if err != nil {
		return nil, err
	}
	file, err := os.Open(filepath.Join(path, strings.TrimSpace(string(current))))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	manifest, _, err := rocksfile.DecodeManifest(file, info.Size())
	return manifest, err
}

// manifestMark returns a text that changes with every edit of the MANIFEST.
func manifestMark(path string) string {
	current, err := os.ReadFile(filepath.Join(path, "CURRENT"))
	if err != nil {
		return err.Error()
	}
	info, err := os.Stat(filepath.Join(path, strings.TrimSpace(string(current))))
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s %d", current, info.Size())
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Path returns the folder of the database, as it was given when it was opened.
func (db *DB) Path() string { return db.path }

// Families returns the names of the column families, [DefaultFamily] first.
func (db *DB) Families() []string { return slices.Clone(db.names) }

// Sync writes everything into tables and makes it durable. The write-ahead log is then empty.
func (db *DB) Sync() error {
	opts := grocksdb.NewDefaultFlushOptions()
	defer opts.Destroy()
	opts.SetWait(true)
	for _, family := range db.families {
		if err := db.rocks.FlushCF(family, opts); err != nil {
			return explain(db.path, err)
		}
	}
	return nil
}

// Close closes the database. It must not be called while another method or an iteration is
// running. It does not sync.
func (db *DB) Close() error {
	db.files.close()
	db.release()
	return db.opts.close()
}

func (db *DB) release() {
	for _, family := range db.families {
		family.Destroy()
	}
	db.rocks.Close()
}
