package reorgdb

// #include <stdint.h>
// #include <stdlib.h>
// #include <string.h>
// #include <rocksdb/c.h>
//
// // put_all adds n records to a table. Their values are one after the other, of the given
// // size each. key is the key of the first record; it ends in decimal digits that are
// // counted up from one record to the next.
// static void put_all(rocksdb_sstfilewriter_t *w, char *key, size_t key_size, const char *values, size_t size, size_t n, char **err) {
//   for (size_t i = 0; i < n && !*err; i++) {
//     rocksdb_sstfilewriter_put(w, key, key_size, values + i * size, size, err);
//     size_t last = key_size - 1;
//     for (; key[last] == '9'; last--) key[last] = '0';
//     key[last]++;
//   }
// }
//
// // put_records adds the records of a block to a table. Each record is the lengths of key
// // and value (4 bytes each), the key, and the value.
// static void put_records(rocksdb_sstfilewriter_t *w, const char *block, size_t size, char **err) {
//   for (const char *end = block + size; block < end && !*err; ) {
//     uint32_t sizes[2];
//     memcpy(sizes, block, 8);
//     rocksdb_sstfilewriter_put(w, block + 8, sizes[0], block + 8 + sizes[0], sizes[1], err);
//     block += 8 + (size_t)sizes[0] + sizes[1];
//   }
// }
import "C"

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"unsafe"

	"github.com/linxGnu/grocksdb"
)

// HashSize is the length of a stored block hash: 64 hex digits.
const HashSize = 64

// appendName is the name of a table on its way into the database. RocksDB takes a file of
// this name for a temporary one. If a killed process leaves it behind, the next update
// removes it.
const appendName = "000000.dbtmp"

// AppendBlocks writes the block hashes of consecutive heights, starting at first. hashes has
// [HashSize] bytes for each, one after the other. All heights must be above the highest
// stored one. The hashes are synced: after a crash all are there or none. They are written as
// one table, which for many hashes takes a fraction of the time of [Update.Block]. As with
// [DB.Update], other writes wait. The error may wrap [ErrReadOnly] or [ErrCorrupt].
func (db *DB) AppendBlocks(first uint64, hashes []byte) (err error) {
	end, err := db.beginWriting()
	if err != nil {
		return err
	}
	defer end()
	highest, any, err := db.HighestBlock()
	switch {
	case err != nil:
		return err
	case any && first <= highest.Height:
		return fmt.Errorf("block %d is not above block %d", first, highest.Height)
	case len(hashes) == 0:
		return nil
	case len(hashes)%HashSize != 0:
		return fmt.Errorf("%d bytes of block hashes: must be a multiple of %d", len(hashes), HashSize)
	}
	t, err := db.newTable(0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	key := blockKey(first)
	if err := t.put(func(failed **C.char) {
		C.put_all(t.native, (*C.char)(unsafe.Pointer(&key[0])), C.size_t(len(key)),
			(*C.char)(unsafe.Pointer(&hashes[0])), HashSize, C.size_t(len(hashes)/HashSize), failed)
	}); err != nil {
		return err
	}
	if err := t.finish(); err != nil {
		return err
	}
	if err := db.ingest(t.path); err != nil {
		return errors.Join(err, db.keepTable(t.path))
	}
	return nil
}

// keepTable puts back a table that RocksDB removed after a disk error. If the sync of the
// MANIFEST fails, the edit that names the table may still have reached the disk, and without
// the table no node opens the database. If the MANIFEST does not name it, the next open
// removes it.
func (db *DB) keepTable(path string) error {
	manifest, err := readManifest(db.path)
	if err != nil {
		return err
	}
	for number := range manifest.Tables {
		// All others are there: the database was opened.
		err := os.Link(path, filepath.Join(db.path, fmt.Sprintf("%06d.sst", number)))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

func (db *DB) removeLeftover() error { return removeIfThere(filepath.Join(db.path, appendName)) }

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// newTable is a table file on its way into the default column family, made with the same
// options as all others.
type newTable struct {
	db     *DB
	path   string
	env    *grocksdb.EnvOptions
	writer *grocksdb.SSTFileWriter
	native *C.rocksdb_sstfilewriter_t // the C object of writer, which the library does not export
}

// newTable begins a table. Tables that are made at the same time have different numbers n.
// The caller must close the table.
func (db *DB) newTable(n int) (*newTable, error) {
	name := appendName
	if n > 0 {
		// Far above the numbers of RocksDB's own temporary files.
		name = fmt.Sprintf("%d.dbtmp", 1<<60+n)
	}
	t := &newTable{db: db, path: filepath.Join(db.path, name), env: grocksdb.NewDefaultEnvOptions()}
	t.writer = grocksdb.NewSSTFileWriter(t.env, db.opts.rocks)
	t.native = (*C.rocksdb_sstfilewriter_t)(reflect.ValueOf(t.writer).Elem().FieldByName("c").UnsafePointer())
	if err := t.writer.Open(t.path); err != nil {
		return nil, errors.Join(explain(db.path, err), t.close())
	}
	return t, nil
}

// put adds records through a function in C that adds many: a call for each record would cost
// as much as everything else. The keys must ascend.
func (t *newTable) put(all func(failed **C.char)) error {
	var failed *C.char
	all(&failed)
	if failed == nil {
		return nil
	}
	defer C.free(unsafe.Pointer(failed))
	return explain(t.db.path, errors.New(C.GoString(failed)))
}

// putRecords adds the records of a block, see [DB.blocks].
func (t *newTable) putRecords(block []byte) error {
	return t.put(func(failed **C.char) {
		C.put_records(t.native, (*C.char)(unsafe.Pointer(&block[0])), C.size_t(len(block)), failed)
	})
}

// finish completes the table and syncs it.
func (t *newTable) finish() error {
	if err := t.writer.Finish(); err != nil {
		return explain(t.db.path, err)
	}
	return nil
}

// close frees the writer, and removes the file if it was not ingested.
func (t *newTable) close() error {
	t.writer.Destroy()
	t.env.Destroy()
	return removeIfThere(t.path)
}

// ingest makes tables, if there are any, part of the default column family. After a crash
// all are there or none.
func (db *DB) ingest(paths ...string) error {
	if len(paths) == 0 {
		return nil
	}
	return db.ingestInto(db.families[0], paths)
}

// noLink is in RocksDB's error if the file system has no hard links. The C interface has no
// code for that.
const noLink = "while link file to"

// ingestInto links the tables to their names in the database, or copies them if they cannot
// be linked.
func (db *DB) ingestInto(family *grocksdb.ColumnFamilyHandle, paths []string) error {
	opts := grocksdb.NewDefaultIngestExternalFileOptions()
	defer opts.Destroy()
	opts.SetMoveFiles(true)
	err := db.rocks.IngestExternalFileCF(family, paths, opts)
	if err != nil && strings.Contains(err.Error(), noLink) {
		opts.SetMoveFiles(false)
		err = db.rocks.IngestExternalFileCF(family, paths, opts)
	}
	if err != nil {
		return explain(db.path, err)
	}
	return nil
}
