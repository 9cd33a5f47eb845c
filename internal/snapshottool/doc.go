// Package snapshottool has what the commands that read a snapshot file share: the snapshot
// that a node would load from a file or a pipe; all snapshots, including torn and hidden
// ones; hints for errors from reading; times as they are printed.
package snapshottool
