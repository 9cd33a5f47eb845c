// Package datadir says what is true of a node's data directory, its backups and, if asked,
// Bitcoin at one moment: a [View] of facts. Each fact is sound, wrong, or could not be
// checked, and has its evidence; these three are never confused. The package only reads,
// and a node may be running.
//
// # One moment
//
// The snapshot file is opened once, and bytes appended to it after that do not count. The
// database is opened once as well. If another file or folder has either name at the end,
// everything is checked again, at most three times in all. A file or folder is identified by
// device and inode, never by its path. Links are resolved once, at the start.
//
// # Cost
//
// A caller names the facts that it needs ([Options.Codes]). Other facts are established only
// if these depend on them.
package datadir
