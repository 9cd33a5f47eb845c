// Package content says what a snapshot file and a reorg database hold, whatever they are
// called and whenever they were made, and what one has that another lacks. It reads in a
// stream, with memory that does not grow with the data.
package content

import (
	"encoding"
	"errors"
	"hash"
	"os"
	"path/filepath"
	"time"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/spill"
)

// newFile makes temporary files in a folder, "" for the system's.
func newFile(dir string) spill.NewFile {
	if dir == "" {
		dir = os.TempDir()
	}
	return func() (*os.File, error) { return durable.Unnamed(filepath.Join(dir, "ailee")) }
}

// Range is a number of snapshots, anchors or events, and the times of the first and the
// last of them, zero where no calendar has them.
type Range struct {
	Count       int64
	First, Last time.Time
}

// cloneHash gives to the state of from: both are of one kind.
func cloneHash(to, from hash.Hash) error {
	state, ok1 := from.(encoding.BinaryMarshaler)
	target, ok2 := to.(encoding.BinaryUnmarshaler)
	if !ok1 || !ok2 {
		return errors.New("the state of a digest cannot be copied")
	}
	data, err := state.MarshalBinary()
	if err != nil {
		return err
	}
	return target.UnmarshalBinary(data)
}
