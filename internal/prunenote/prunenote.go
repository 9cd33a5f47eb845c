// Package prunenote reads the notes that a prune leaves next to a snapshot file about the
// snapshots that it dropped. A file that was cut by hand has the same bytes: only a note
// distinguishes a prune from a loss.
package prunenote

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"ailee-recovery/internal/durable"
)

// Note describes one prune. It is a line in the file of notes.
type Note struct {
	Time string `json:"time"` // RFC 3339, UTC
	// FirstKept is the SHA-256 of the first snapshot that was kept, with its last newline, in
	// hex. The note explains only a file that begins with that snapshot.
	FirstKept    string `json:"first_kept_sha256"`
	Dropped      *int64 `json:"dropped,omitempty"` // snapshots; missing if there were too many bytes to count them
	DroppedBytes int64  `json:"dropped_bytes"`
	// The times of the oldest and newest snapshot dropped; missing if none was found, or if
	// they are out of range.
	DroppedFrom string `json:"dropped_from,omitempty"`
	DroppedTo   string `json:"dropped_to,omitempty"`
}

// Path returns the path of the file of notes for a snapshot file.
func Path(file string) string {
	return filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".ailee-pruned")
}

// maxLine is the length of the longest line that is read, in bytes.
const maxLine = 64 << 10

// Read returns the notes on the prunes of a snapshot file, the oldest first. If the file of
// notes is missing, there are none. A line that is not a note, such as one that a crash cut
// off, is skipped. If the file is a link, a pipe or anything else that is not a regular file,
// the error wraps [durable.ErrNotRegular]. System errors are returned as they are.
func Read(file string) (notes []Note, err error) {
	path := Path(file)
	f, err := durable.OpenNoFollow(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, maxLine)
	for {
		line, tooLong, err := in.ReadLine()
		if err != nil {
			return notes, endOf(err)
		}
		var n Note
		if !tooLong && json.Unmarshal(line, &n) == nil && isDigest(n.FirstKept) {
			notes = append(notes, n)
		}
		for tooLong && err == nil {
			_, tooLong, err = in.ReadLine()
		}
	}
}

func endOf(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("read the notes on prunes: %w", err)
}

func isDigest(text string) bool {
	sum, err := hex.DecodeString(text)
	return err == nil && len(sum) == sha256.Size
}

// Explaining returns the newest note that explains a file whose first snapshot has the given
// SHA-256, with its last newline, in hex.
func Explaining(notes []Note, firstSHA256 string) (Note, bool) {
	for i := len(notes) - 1; i >= 0; i-- {
		if notes[i].FirstKept == firstSHA256 {
			return notes[i], true
		}
	}
	return Note{}, false
}
