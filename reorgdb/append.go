package reorgdb

// #include <stdlib.h>
// #include <rocksdb/c.h>
//
// // put_all adds n records with values of the given size, one after the other, to a
// // table. key ends with decimal digits: it is the first record's, and counts up.
// static void put_all(rocksdb_sstfilewriter_t *w, char *key, size_t key_size, const char *values, size_t size, size_t n, char **err) {
//   for (size_t i = 0; i < n && !*err; i++) {
//     rocksdb_sstfilewriter_put(w, key, key_size, values + i * size, size, err);
//     size_t last = key_size - 1;
//     for (; key[last] == '9'; last--) key[last] = '0';
//     key[last]++;
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
	"unsafe"

	"github.com/linxGnu/grocksdb"
)

// HashSize is the length of a block hash, in hex digits.
const HashSize = 64

// appendName is the table on its way into the database, a name that RocksDB takes
// for a temporary file. What a killed process leaves the next update removes.
const appendName = "000000.dbtmp"

// AppendBlocks writes the hashes of consecutive heights from first on, of
// [HashSize] bytes each, one after the other. All must be above the highest height
// that is stored. They are synced: after a crash all are there or none. It makes one
// table of them, which takes a fraction of the time of [Update.Block] where they are
// many. As with [DB.Update], nothing else may write meanwhile.
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
		return fmt.Errorf("%d bytes of block hashes", len(hashes))
	}
	path := filepath.Join(db.path, appendName)
	defer func() { err = errors.Join(err, db.removeLeftover()) }()
	if err := db.writeTable(path, first, hashes); err != nil {
		return explain(db.path, err)
	}
	opts := grocksdb.NewDefaultIngestExternalFileOptions()
	defer opts.Destroy()
	opts.SetMoveFiles(true)
	if err := db.rocks.IngestExternalFileCF(db.families[0], []string{path}, opts); err != nil {
		return errors.Join(explain(db.path, err), db.keepTable(path))
	}
	return nil
}

// keepTable puts back a table that RocksDB removed after an error of the disk. Where
// the sync of the MANIFEST fails, what was written to it may last all the same and
// name the table, without which no node opens the database. One that it does not
// name, the next open removes.
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

func (db *DB) removeLeftover() error {
	if err := os.Remove(filepath.Join(db.path, appendName)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// writeTable writes a table file with the options of all others. A call into C for
// each record would cost as much as the rest.
func (db *DB) writeTable(path string, first uint64, hashes []byte) error {
	env := grocksdb.NewDefaultEnvOptions()
	defer env.Destroy()
	w := grocksdb.NewSSTFileWriter(env, db.opts.rocks)
	defer w.Destroy()
	if err := w.Open(path); err != nil {
		return err
	}
	// The library keeps the C writer to itself.
	writer := (*C.rocksdb_sstfilewriter_t)(reflect.ValueOf(w).Elem().FieldByName("c").UnsafePointer())
	key := blockKey(first)
	var failed *C.char
	C.put_all(writer, (*C.char)(unsafe.Pointer(&key[0])), C.size_t(len(key)),
		(*C.char)(unsafe.Pointer(&hashes[0])), HashSize, C.size_t(len(hashes)/HashSize), &failed)
	if failed != nil {
		defer C.free(unsafe.Pointer(failed))
		return errors.New(C.GoString(failed))
	}
	return w.Finish()
}
