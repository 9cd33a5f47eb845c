// Package rocksfile reads the files of a RocksDB folder as bytes, without
// RocksDB: records can be taken out of a database that does not open, one by
// one, and damage is seen that RocksDB passes over in silence. It writes
// nothing, and never opens the file LOCK.
//
// It knows write-ahead logs, the MANIFEST, and block-based tables up to format
// version 5, of column families in bytewise order. [Salvage] puts them together,
// [Check] looks only at what a successful open does not tell.
//
// # What cannot be detected
//
// Nothing in a log says how long it was. A log that was emptied, one that was
// cut exactly between two records, and one whose end became zeros (which is what
// space reserved in advance looks like) read like logs that never held more,
// unless a later log or the MANIFEST shows a gap in the sequence numbers. The
// same goes for a MANIFEST that was cut between two edits: the tables that it no
// longer lists are still read, and reported. Records that were written with the
// log switched off, and not flushed, leave no trace. Without a MANIFEST nobody
// knows which tables a compaction had replaced: what they hold may be older than
// what the database held, or deleted.
package rocksfile
