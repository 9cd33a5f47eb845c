package reorgdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/linxGnu/grocksdb"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/rocksfile"
)

// maxHeld is the greatest total length of the logs, in bytes, with which RocksDB may open a
// database for reading: it keeps all records in them in memory until the database is closed.
// Tests set it.
var maxHeld int64 = 32 << 20

// replayedName is the folder, in the scratch folder, of the database that is made from one
// with longer logs.
const replayedName = "replayed"

const (
	// changesSize is about how many bytes of records each table made from the logs has.
	changesSize = 16 << 20
	// replayedFiles is how many files of that database are open at a time: the index of each
	// table takes memory.
	replayedFiles = 48
)

// openReplayed opens a database for reading in bounded memory. It makes another database in
// the scratch folder, with links to the same tables and with new tables made from the logs.
// The result shows the database at one moment. openReplayed takes ownership of the options.
func openReplayed(path string, opts *options, how mode, replay *rocksfile.Replay) (*DB, error) {
	db := &DB{path: path, mode: how, opts: opts}
	// The database is read only once: compactions would cost more than they gain.
	opts.rocks.SetDisableAutoCompactions(true)
	opts.rocks.SetMaxOpenFiles(replayedFiles)
	for start := time.Now(); ; {
		err := db.replay(replay)
		if replay.Unchanged() {
			if err != nil {
				return nil, errors.Join(err, opts.close())
			}
			return db, nil
		}
		if err == nil {
			db.release()
		}
		err = os.RemoveAll(filepath.Join(opts.scratch.Path, replayedName))
		if err == nil && time.Since(start) > catchUpWait {
			err = fmt.Errorf("%s: %w", path, ErrBusy)
		}
		if err == nil {
			replay, err = rocksfile.OpenReplay(path)
		}
		if err == nil && replay == nil {
			err = fmt.Errorf("%s: %w: its MANIFEST cannot be used", path, ErrCorrupt)
		}
		if err != nil {
			return nil, errors.Join(err, opts.close())
		}
	}
}

// replay makes the database in the scratch folder and opens it. After an error it is closed.
func (db *DB) replay(replay *rocksfile.Replay) (err error) {
	if err := fit(db.path, replay.Unfit()); err != nil {
		return err
	}
	dir := filepath.Join(db.opts.scratch.Path, replayedName)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := replay.Link(dir); err != nil {
		return err
	}
	if db.names, err = grocksdb.ListColumnFamilies(db.opts.rocks, dir); err != nil {
		return explain(db.path, err)
	}
	if err := db.openAt(dir, readWrite); err != nil {
		return explain(db.path, err)
	}
	defer func() {
		if err != nil {
			db.release()
		}
	}()
	unnamed := func() (*os.File, error) { return durable.Unnamed(dir) }
	changes, err := replay.Changes(context.Background(), unnamed)
	if errors.Is(err, rocksfile.ErrUnsupported) || errors.Is(err, rocksfile.ErrLogsEndEarly) {
		return fit(db.path, err)
	}
	if err != nil {
		return err
	}
	defer changes.Close()
	for _, f := range changes.Families {
		if err := db.putChanges(dir, f); err != nil {
			return err
		}
	}
	return nil
}

// putChanges puts the changes that the logs have for a column family into it.
func (db *DB) putChanges(dir string, changes rocksfile.FamilyChanges) error {
	family, err := db.family(changes.Name)
	if err != nil {
		return err
	}
	batch := grocksdb.NewWriteBatch()
	defer batch.Destroy()
	for _, r := range changes.Ranges {
		batch.DeleteRangeCF(family, r.From, r.To)
	}
	if err := db.write(batch, false); err != nil {
		return err
	}
	t := &changesTable{db: db, path: filepath.Join(dir, "changes.dbtmp"), family: family}
	for e, err := range changes.All(context.Background()) {
		if err == nil {
			err = t.put(e)
		}
		if err != nil {
			t.drop()
			return err
		}
	}
	return t.end()
}

// changesTable writes changes to tables, one after the other.
type changesTable struct {
	db     *DB
	path   string
	family *grocksdb.ColumnFamilyHandle
	env    *grocksdb.EnvOptions
	writer *grocksdb.SSTFileWriter // nil if no table has begun
	size   int
}

func (t *changesTable) put(e rocksfile.Entry) (err error) {
	if t.writer == nil {
		t.env, t.size = grocksdb.NewDefaultEnvOptions(), 0
		t.writer = grocksdb.NewSSTFileWriter(t.env, t.db.opts.rocks)
		if err := t.writer.Open(t.path); err != nil {
			return explain(t.db.path, err)
		}
	}
	if e.Kind == rocksfile.KindPut {
		err = t.writer.Put(e.Key, e.Value)
	} else {
		err = t.writer.Delete(e.Key)
	}
	if err != nil {
		return explain(t.db.path, err)
	}
	if t.size += len(e.Key) + len(e.Value); t.size < changesSize {
		return nil
	}
	return t.end()
}

// end makes the table part of the database, if one has begun.
func (t *changesTable) end() error {
	if t.writer == nil {
		return nil
	}
	defer t.drop()
	if err := t.writer.Finish(); err != nil {
		return explain(t.db.path, err)
	}
	return t.db.ingestInto(t.family, []string{t.path})
}

func (t *changesTable) drop() {
	if t.writer != nil {
		t.writer.Destroy()
		t.env.Destroy()
		t.writer = nil
	}
}
