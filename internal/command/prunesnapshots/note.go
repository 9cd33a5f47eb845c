package prunesnapshots

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"ailee-recovery/internal/prunenote"
	"ailee-recovery/internal/snapshottool"
)

// note says which snapshots were pruned away.
type note = prunenote.Note

// newNote makes the note of a plan for the file r.
func newNote(p *plan, r io.ReaderAt, now time.Time) (note, error) {
	n := note{Time: now.UTC().Format(time.RFC3339), DroppedBytes: p.drop.bytes}
	if p.drop.counted {
		n.Dropped = &p.drop.snapshots
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, io.NewSectionReader(r, p.kept[0].offset, p.first)); err != nil {
		return n, err
	}
	if p.newline && p.snapshots == 1 {
		hash.Write([]byte{'\n'})
	}
	n.FirstKept = hex.EncodeToString(hash.Sum(nil))
	if p.drop.firstTimestampMs > 0 {
		n.DroppedFrom, _ = snapshottool.UTC(p.drop.firstTimestampMs)
	}
	if p.drop.lastTimestampMs > 0 {
		n.DroppedTo, _ = snapshottool.UTC(p.drop.lastTimestampMs)
	}
	return n, nil
}

// writeNote adds a line to the notes beside the file. What failed is a warning: the
// prune is done, and a backup will ask about it once.
func (p *pruning) writeNote(n note) {
	if p.plan.drop.bytes == 0 {
		return
	}
	if err := p.appendNote(n); err != nil {
		p.out.Warn("this prune is not noted: %v", err)
		p.out.Hint("the next backup may take the snapshots that were dropped for lost")
	}
}

func (p *pruning) appendNote(n note) error {
	line, err := json.Marshal(n)
	if err != nil {
		return err
	}
	pruned, err := os.Stat(p.File)
	if err != nil {
		return err
	}
	// Whoever owns the folder may have planted a link or a pipe there.
	path := prunenote.Path(p.File)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, pruned.Mode().Perm())
	if err != nil {
		return err
	}
	return errors.Join(addLine(f, pruned, line), f.Close())
}

// addLine appends to f, which must be a file of the owner of the pruned one, or new.
func addLine(f *os.File, pruned os.FileInfo, line []byte) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	owner, wanted := info.Sys().(*syscall.Stat_t), pruned.Sys().(*syscall.Stat_t)
	fresh := info.Size() == 0
	// Looked at before anything is changed: nothing but a file is given away.
	if !info.Mode().IsRegular() || owner.Nlink != 1 || owner.Uid != wanted.Uid && !fresh {
		return fmt.Errorf("%s is not a file of the owner of the snapshots", f.Name())
	}
	if owner.Uid != wanted.Uid {
		if err := f.Chown(int(wanted.Uid), int(wanted.Gid)); err != nil {
			return err
		}
	}
	// A line that a crash cut off stays one of its own.
	if size := info.Size(); size > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, size-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			line = append([]byte{'\n'}, line...)
		}
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		return err
	}
	return f.Sync()
}
