// Package rocksfile reads the files of a RocksDB folder as bytes, without
// RocksDB: records can be taken out of a database that does not open, one by
// one, and damage is seen that RocksDB passes over in silence. It writes
// nothing, and never opens the file LOCK.
//
// It knows write-ahead logs, the MANIFEST, and block-based tables up to format
// version 5, of column families in bytewise order. [Salvage] puts them together,
// [Check] looks only at what a successful open does not tell. [OpenView] is for a
// database in which nothing is damaged or unusual: it reads it faster than RocksDB.
//
// # Why none of the libraries
//
// Pebble's sstable package, the other reader of such tables in Go, reads the footer of
// format version 2 only and no XXH3 checksum: nodes write version 5, and RocksDB 7 takes
// XXH3 unless told otherwise. At the first damaged block it ends, where this package goes
// on with the next one, and so do its readers of logs and the MANIFEST. goleveldb knows
// the older format of LevelDB alone. RocksDB's own RepairDB is no reader: it rewrites the
// folder that it is given, puts every readable table at level 0, and so may bring back
// what was deleted.
//
// # What cannot be detected
//
// Nothing in a log says how long it was. A log that was emptied, and one that was
// cut exactly between two records read like logs that never held more,
// unless a later log or the MANIFEST shows a gap in the sequence numbers. The
// same goes for a MANIFEST that was cut between two edits: the tables that it no
// longer lists are still read, and reported. Records that were written with the
// log switched off, and not flushed, leave no trace. Without a MANIFEST nobody
// knows which tables a compaction had replaced: what they hold may be older than
// what the database held, or deleted.
package rocksfile
