// Package snapshot knows the format of an AILEE node's l2_snapshots.dat: how a
// node writes it, how a node reads it, the state root and the verdict that the
// node's verifier reaches, byte for byte. It is pure Go and never imports cgo.
//
// The file is a sequence of snapshots, each a run of lines between the marker
// lines [HeaderLine] and [EndLine]. docs/formats.md has the layout.
//
// Two ways of reading exist. [Checker] streams a snapshot of any size in
// bounded memory and computes its root on the way; everything that only has to
// judge or move snapshots uses it. [Read] builds a [State] in memory for the
// tools that need the records themselves.
//
// Offsets are byte offsets from the start of the file, half-open: [Offset,
// Offset+Size). Functions are safe to call concurrently unless they say
// otherwise; values with methods are not.
package snapshot
