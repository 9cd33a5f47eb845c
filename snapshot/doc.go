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
// [Stream] splits input that can be read only once, such as a pipe.
//
// # Judging
//
// A [Checker] reads a snapshot of any size in bounded memory, computes its state root and
// returns a [Report]: its contents, the [Verdict] of the nodes' verifier, and a [Finding]
// for each kind of irregularity that nodes ignore silently. [Checker.Records] then yields
// the records of one section, [Checker.RecordsWith] those with a given id, [Checker.Lines]
// the lines that a node would write for them, and [Checker.Read] builds a [State] of all
// of them in memory. On request, a [Judge] accepts peg-outs that nodes reject.
//
// # Writing
//
// [Encode] writes a [State] as a node does; a [Builder] builds a snapshot record by record,
// and [Append] adds one to a file. [Root], [NewAnchor] and [Commitment] compute the state
// root, the anchor that commits to it, and the bytes that a Bitcoin transaction carries.
//
// # Conventions
//
// Offsets are in bytes from the start of the file, ranges are half-open. Strings are the
// bytes in the file. Functions are safe for concurrent use. Values with methods are not,
// unless they say so.
package snapshot
