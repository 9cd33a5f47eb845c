// Package datadir says what is true of a node's data directory, of its backups and, if
// asked, of Bitcoin, at one moment: a [View] of facts. Each is sound, wrong, or could not
// be looked at, with its evidence, and never one taken for another. It only reads, and a
// node may be running.
//
// # One moment
//
// The snapshot file is opened once, and only the bytes below the size that it had then
// count. The database is opened once as well. If another file or folder has either name
// at the end, the look starts again, three times at most. A file or folder is known by
// device and inode, never by its path; links are resolved once, at the start.
//
// # Cost
//
// A caller names the facts that it needs ([Options.Codes]), and nothing is read for the
// others but what these rest on.
package datadir
