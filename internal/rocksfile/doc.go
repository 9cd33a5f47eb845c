// Package rocksfile reads the files of a RocksDB folder as bytes, without RocksDB. It can read
// the records of a database that does not open, one by one, and finds damage that RocksDB
// silently ignores. It writes nothing, and never opens the file LOCK.
//
// It reads write-ahead logs, the MANIFEST, and block-based tables up to format version 5, of
// column families in bytewise order. [Salvage] puts them together. [Check] finds only the
// problems that a successful open does not show. [OpenView] is for a database in which nothing
// is damaged or unusual, and reads it faster than RocksDB.
//
// # Why not an existing library
//
// Pebble's sstable package, the other reader of such tables in Go, only reads footers of
// format version 2 and has no XXH3 checksum. But nodes write version 5, and RocksDB 7 uses
// XXH3 by default. It stops at the first damaged block, where this package continues with the
// next one, and its readers of logs and the MANIFEST do the same. goleveldb only knows the
// older format of LevelDB. RocksDB's own RepairDB is not a reader: it rewrites the folder that
// it is given, puts every readable table at level 0, and so may bring back deleted records.
//
// # What cannot be detected
//
// Nothing in a log says how long it was. A log that was emptied, or cut exactly between two
// records, reads like a log that never had more, unless a later log or the MANIFEST shows a
// gap in the sequence numbers. The same goes for a MANIFEST that was cut between two edits:
// the tables that it no longer lists are still read, and reported. Records that were written
// with the log disabled, and not flushed, leave no trace. Without a MANIFEST, it is not known
// which tables a compaction had replaced: their records may be older than those that the
// database had, or deleted.
package rocksfile
