// Package reorgdb reads and writes an AILEE node's reorg database: a RocksDB folder of
// Bitcoin block hashes, anchor commitment records and reorg events. docs/formats.md has
// the records.
//
// # Reading
//
// [OpenReadOnly] opens a database as it was at one moment, also beside a node that writes,
// and leaves the folder as it is. [DB.Blocks], [DB.Anchors] and [DB.Events] yield what nodes
// can read, [DB.BlockHash], [DB.HighestBlock] and [DB.Anchor] look one up. [DB.Records]
// yields everything as it is stored, [DB.Rows] the same with blocks taken together;
// [KeyKind], [ParseAnchor], [ParseEvent] and [ParseCounter] read it just as leniently as
// nodes do.
//
// # Writing
//
// [Open] takes the database's lock: the node must be stopped. [DB.Update] makes a change of
// any size that is there whole or not at all after a crash; [Update.Block] takes a block as
// a node does, reorgs included. [DB.AppendBlocks], [DB.BulkLoad] and [DB.CopyFamily] are
// for many records.
// Every node in the field reads what is written, whatever RocksDB it is linked with.
// Column families, keys and values that are not known here stay as they are.
//
// # Conventions
//
// Heights, ids and counts are unsigned; hashes are lower-case hex in display order.
package reorgdb
