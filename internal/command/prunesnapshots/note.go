package prunesnapshots

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/prunenote"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/internal/swap"
	"ailee-recovery/snapshot"
)

// note says which snapshots were pruned away.
type note = prunenote.Note

// newNote returns the note for a plan of the file r.
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

// notesOfKilled returns the notes of runs that were killed after the exchange, made from
// the old files that they left: everything in them before the first snapshot of the
// present file was dropped. A file that cannot be read has no note.
func (p *pruning) notesOfKilled(ctx context.Context) (notes []note) {
	left, err := swap.LeftOf(p.File)
	if err != nil {
		return nil // completing the run reports the error
	}
	for _, name := range left {
		if name.Elsewhere {
			continue
		}
		if n, ok, err := p.noteOfKilled(ctx, name.Path); err == nil && ok {
			notes = append(notes, n)
		}
	}
	return notes
}

func (p *pruning) noteOfKilled(ctx context.Context, old string) (n note, ok bool, err error) {
	pruned, first, err := openFirst(p.File)
	if err != nil {
		return n, false, err
	}
	defer pruned.Close()
	n = note{Time: p.out.Now().UTC().Format(time.RFC3339)}
	if n.FirstKept, err = digestOf(pruned, first); err != nil {
		return n, false, err
	}
	before, _, err := openFirst(old)
	if err != nil {
		return n, false, err
	}
	defer before.Close()
	info, err := before.Stat()
	if err != nil {
		return n, false, err
	}
	var dropped int64
	var oldest, newest snapshot.Located
	for l, err := range snapshot.Forward(before, info.Size()) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return n, false, err
		}
		if l.BodyEnd-l.Offset == first.BodyEnd-first.Offset {
			sum, err := digestOf(before, l)
			if err != nil {
				return n, false, err
			}
			if sum == n.FirstKept {
				n.Dropped, n.DroppedBytes = &dropped, l.Offset
				break
			}
		}
		if dropped++; dropped == 1 {
			oldest = l
		}
		newest = l
	}
	if n.Dropped == nil || dropped == 0 {
		return n, false, nil
	}
	for _, of := range []struct {
		l  snapshot.Located
		at *string
	}{{oldest, &n.DroppedFrom}, {newest, &n.DroppedTo}} {
		report, err := p.judge.Check(ctx, before, of.l)
		if err != nil {
			return n, false, err
		}
		*of.at, _ = snapshottool.UTC(report.TimestampMs)
	}
	return n, true, nil
}

// openFirst opens a snapshot file and finds its first snapshot.
func openFirst(path string) (f *os.File, first snapshot.Located, err error) {
	f, err = durable.OpenRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, first, err
	}
	info, err := f.Stat()
	if err == nil {
		err = snapshot.ErrNoSnapshot
		for l, failed := range snapshot.Forward(f, info.Size()) {
			first, err = l, failed
			break
		}
	}
	if err != nil {
		return nil, first, errors.Join(err, f.Close())
	}
	return f, first, nil
}

// digestOf returns the digest of a snapshot as notes have it.
func digestOf(f io.ReaderAt, l snapshot.Located) (string, error) {
	hash := sha256.New()
	if _, err := io.Copy(hash, io.NewSectionReader(f, l.Offset, l.Size)); err != nil {
		return "", err
	}
	if !l.Newline() {
		hash.Write([]byte{'\n'})
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// writeNote adds a line to the notes next to the file. A failure is only a warning: the
// prune is done, and a backup will ask about it once.
func (p *pruning) writeNote(n note) {
	if n.DroppedBytes == 0 {
		return
	}
	if err := p.appendNote(n); err != nil {
		p.out.Warn("could not record this prune: %v", err)
		p.out.Hint("the next backup may report the dropped snapshots as lost")
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
	// The owner of the folder may have planted a link or a pipe there.
	path := prunenote.Path(p.File)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, pruned.Mode().Perm())
	if err != nil {
		return err
	}
	return errors.Join(addLine(f, pruned, line), f.Close())
}

// addLine appends to f, which must be new, or a file of the owner of the pruned one.
func addLine(f *os.File, pruned os.FileInfo, line []byte) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	owner, wanted := info.Sys().(*syscall.Stat_t), pruned.Sys().(*syscall.Stat_t)
	fresh := info.Size() == 0
	// Checked before anything is changed: only a regular file may change its owner.
	if !info.Mode().IsRegular() || owner.Nlink != 1 || owner.Uid != wanted.Uid && !fresh {
		return fmt.Errorf("%s does not belong to the owner of the snapshot file", f.Name())
	}
	if owner.Uid != wanted.Uid {
		if err := f.Chown(int(wanted.Uid), int(wanted.Gid)); err != nil {
			return err
		}
	}
	// A line that a crash cut off stays a separate line.
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
