// Package snapshottool is what the commands share that read a snapshot file: the
// snapshot that a node would load, of a file or a pipe; all that was meant as one, torn or
// hidden as it may be; hints for errors of reading; times as they are printed.
package snapshottool
