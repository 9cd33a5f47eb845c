// Package prunenote reads the notes that a prune leaves beside a snapshot file: which
// snapshots it dropped. A file that was cut by hand has the same bytes, and only a note
// tells a prune from a loss.
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

// Note is one prune: a line of the file of notes.
type Note struct {
	Time string `json:"time"` // RFC 3339, UTC
	// FirstKept is the SHA-256 of the first snapshot kept, its last newline included, in
	// hex: the note explains a file that begins with it, and no other.
	FirstKept    string `json:"first_kept_sha256"`
	Dropped      *int64 `json:"dropped,omitempty"` // snapshots; missing where there are too many bytes to count them in
	DroppedBytes int64  `json:"dropped_bytes"`
	// The times of the oldest and newest snapshot dropped; missing where none was found, or
	// where no calendar has them.
	DroppedFrom string `json:"dropped_from,omitempty"`
	DroppedTo   string `json:"dropped_to,omitempty"`
}

// Path is where the prunes of a snapshot file are noted.
func Path(file string) string {
	return filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".ailee-pruned")
}

// maxLine bounds a line that is read, in bytes.
const maxLine = 64 << 10

// Read returns the notes on the prunes of a snapshot file, the oldest first. There are
// none where the file of notes is missing. A line that is no note, such as one that a
// crash cut off, is passed over. A link, a pipe and whatever else is no file is an error
// that wraps [durable.ErrNotRegular], and one of the system is returned as it is.
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

// Explaining returns the newest note that explains a file whose first snapshot has the
// SHA-256, in hex and its last newline included.
func Explaining(notes []Note, firstSHA256 string) (Note, bool) {
	for i := len(notes) - 1; i >= 0; i-- {
		if notes[i].FirstKept == firstSHA256 {
			return notes[i], true
		}
	}
	return Note{}, false
}
