// Package content determines what a snapshot file or a reorg database holds, whatever its
// name and date, and what one has that another lacks. It streams the data: memory does not
// grow with it.
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

// newFile makes temporary files in a folder, "" for the system's temporary folder.
func newFile(dir string) spill.NewFile {
	if dir == "" {
		dir = os.TempDir()
	}
	return func() (*os.File, error) { return durable.Unnamed(filepath.Join(dir, "ailee")) }
}

// Range is a number of snapshots, anchors or events, and the times of the first and the
// last of them, zero if they are out of range.
type Range struct {
	Count       int64
	First, Last time.Time
}

// cloneHash copies the state of from to to. Both must be of the same kind.
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
