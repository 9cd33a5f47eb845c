// Package reorgdb reads and writes the reorg database of an AILEE node: a RocksDB folder with
// Bitcoin block hashes, anchor commitment records and reorg events. docs/formats.md describes
// the records.
//
// # Reading
//
// [OpenReadOnly] opens a database as it was at one moment, even while a node is writing to
// it, and does not change the folder. [DB.Blocks], [DB.Anchors] and [DB.Events] yield the
// records that nodes can read; [DB.BlockHash], [DB.HighestBlock] and [DB.Anchor] look up a
// single one. [DB.Records] yields every record as it is stored, and [DB.Rows] does the same
// with ranges of blocks put together. [KeyKind], [ParseAnchor], [ParseEvent] and
// [ParseCounter] decode records just as leniently as nodes do.
//
// # Writing
//
// [Open] takes the database's lock, so the node must be stopped. [DB.Update] makes a change
// of any size that after a crash is there completely or not at all; [Update.Block] handles a
// block as a node does, reorgs included. [DB.AppendBlocks], [DB.BulkLoad] and
// [DB.CopyFamily] are for many records. Every node in the field can read what is written,
// whichever RocksDB it is linked with. Column families, keys and values that this package
// does not know are kept as they are.
//
// # Conventions
//
// Heights, ids and counts are unsigned. Hashes are lower-case hex in display order.
package reorgdb
