// Package snapshot reads, judges and writes an AILEE node's l2_snapshots.dat. Format,
// state root and verdict are the node's, byte for byte. It is pure Go and uses no cgo.
//
// The file is a sequence of snapshots, each a run of lines between the marker lines
// [HeaderLine] and [EndLine]. docs/formats.md has the layout.
//
// # Finding
//
// [Latest] finds the snapshot that a node loads, without reading what comes before it.
// [Forward] and [Backward] go through all of them, [Scan] also through those that no
// node can see because a torn line swallowed a marker. They all need an [io.ReaderAt];
// [Stream] cuts up what can be read only once, such as a pipe.
//
// # Judging
//
// A [Checker] reads a snapshot of any size in bounded memory, computes its state root and
// returns a [Report]: what is in it, the [Verdict] of the nodes' verifier, and a [Finding]
// for each thing that nodes pass over in silence. [Checker.Records] then yields the records
// of one section, [Checker.RecordsWith] those that have an id, [Checker.Lines] the lines
// that a node would write for them, and [Checker.Read] builds a [State] of them all in
// memory. A [Judge] knows one more rule than nodes, on request.
//
// # Writing
//
// [Encode] writes a [State] as a node does; a [Builder] makes a snapshot record by record,
// and [Append] adds one to a file. [Root], [NewAnchor] and [Commitment] make the state
// root, the anchor that commits to it and what a Bitcoin transaction carries of that.
//
// # Conventions
//
// Offsets are in bytes from the start of the file, ranges are half-open. Strings are bytes
// as they are in the file. Functions are safe for concurrent use; values with methods are
// not unless they say so.
package snapshot
