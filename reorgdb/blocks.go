package reorgdb

// #include <stdint.h>
// #include <string.h>
// #include <rocksdb/c.h>
//
// // fill copies records to buf, each as the lengths of key and value (4 bytes each),
// // the key, and the value, and advances the iterator. It stops before a record that
// // does not fit, and returns the number of bytes written.
// static size_t fill(rocksdb_iterator_t *it, char *buf, size_t size) {
//   size_t used = 0;
//   for (; rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
//     size_t key_size, value_size;
//     const char *key = rocksdb_iter_key(it, &key_size);
//     const char *value = rocksdb_iter_value(it, &value_size);
//     if (size - used < 8 + key_size + value_size) break;
//     uint32_t sizes[2] = {(uint32_t)key_size, (uint32_t)value_size};
//     memcpy(buf + used, sizes, 8);
//     memcpy(buf + used + 8, key, key_size);
//     memcpy(buf + used + 8 + key_size, value, value_size);
//     used += 8 + key_size + value_size;
//   }
//   return used;
// }
import "C"

import (
	"context"
	"encoding/binary"
	"iter"
	"reflect"
	"runtime"
	"unsafe"

	"github.com/linxGnu/grocksdb"
)

// blockSize is how many bytes of records are copied from RocksDB at a time.
const blockSize = 16 << 10

// blocks yields the records of a column family with keys in [from, to), nil for no bound, in
// blocks that [cutRecord] takes apart. It gets the memory for them from fresh. A call into C
// for each record would cost more than reading it, so C code gathers a block at a time.
func (db *DB) blocks(ctx context.Context, family *grocksdb.ColumnFamilyHandle, from, to []byte, fresh func() []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		opts := grocksdb.NewDefaultReadOptions()
		defer opts.Destroy()
		opts.SetVerifyChecksums(true)
		opts.SetFillCache(false)
		if to != nil {
			// RocksDB keeps the pointer.
			var pinned runtime.Pinner
			defer pinned.Unpin()
			pinned.Pin(&to[0])
			opts.SetIterateUpperBound(to)
		}
		it := db.rocks.NewIteratorCF(opts, family)
		defer it.Close()
		if from != nil {
			it.Seek(from)
		} else {
			it.SeekToFirst()
		}
		for ctx.Err() == nil {
			block := fresh()
			n := fill(it, block)
			if n == 0 && it.Valid() {
				// One record alone is larger.
				block = make([]byte, 8+it.Key().Size()+it.Value().Size())
				n = fill(it, block)
			}
			if n == 0 {
				break
			}
			if !yield(block[:n], nil) {
				return
			}
		}
		if err := it.Err(); err != nil {
			yield(nil, explain(db.path, err))
		} else if err := ctx.Err(); err != nil {
			yield(nil, err)
		}
	}
}

// native returns the C iterator, which the library does not export.
func native(it *grocksdb.Iterator) *C.rocksdb_iterator_t {
	return (*C.rocksdb_iterator_t)(reflect.ValueOf(it).Elem().FieldByName("c").UnsafePointer())
}

func fill(it *grocksdb.Iterator, block []byte) int {
	return int(C.fill(native(it), (*C.char)(unsafe.Pointer(&block[0])), C.size_t(len(block))))
}

// cutRecord cuts the first record off a block that is not empty.
func cutRecord(block []byte) (r Record, rest []byte) {
	keyEnd := 8 + int(binary.NativeEndian.Uint32(block))
	end := keyEnd + int(binary.NativeEndian.Uint32(block[4:]))
	return Record{block[8:keyEnd:keyEnd], block[keyEnd:end:end]}, block[end:]
}
