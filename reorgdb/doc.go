// Package reorgdb knows an AILEE node's reorg database: a RocksDB folder of
// Bitcoin block hashes, anchor commitments and reorg events. docs/formats.md has
// the records.
//
// What it writes, every node in the field reads, whatever RocksDB it is linked
// with: options.go pins all that older releases are particular about. Column
// families, keys and values that it does not know it leaves as they are.
//
// Heights, ids and counts are unsigned; hashes are lower-case hex in display
// order.
package reorgdb
