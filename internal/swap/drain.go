package swap

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/snapshot"
)

// drain is DRAIN to REMOVE for the file that a second name leads to. It returns when the name
// is gone, or when there is another one that is to be completed first.
func (r *Run) drain(ctx context.Context, n *second) error {
	src, err := r.openSource(n)
	if err != nil {
		return err
	}
	for {
		if err := r.holdNew(n); err != nil {
			return err
		}
		// LET-THROUGH
		if err := src.Take(ctx, writerWait, r.patience); err != nil {
			return err
		}
		seen, err := look(src.File)
		if err != nil {
			return err
		}
		same, err := sameBefore(src.File, n.from, n.gs)
		if err != nil {
			return err
		}
		if !same {
			return r.putBack(ctx, n) // a program that knew it as FILE has copied over it
		}
		if seen.Size == n.from {
			removed, err := r.watchAndRemove(n, src, seen)
			if removed || err != nil {
				return err
			}
			continue
		}
		done, err := r.bring(ctx, n, src, seen.Size)
		if done || err != nil {
			return err
		}
	}
}

// bring brings what the source has, up to its size, to FILE. done is set if that took another
// exchange.
func (r *Run) bring(ctx context.Context, n *second, src *file, size int64) (done bool, err error) {
	current, err := r.current()
	if err != nil {
		return false, err
	}
	defer r.closeUnlessKept(current)
	same, err := sameBefore(current.File, n.at, n.gd)
	if err != nil {
		return false, err
	}
	if !same {
		return false, r.elsewhere(n)
	}
	in, err := newInsertion(src.File, n.from, size, current.File, n.at)
	if err != nil {
		return false, err
	}
	there, err := in.isAt(current.File, n.at)
	if err != nil {
		return false, err
	}
	if !there {
		carried, err := r.carry(n, src, current, in)
		if err != nil {
			return false, err
		}
		if !carried {
			return r.insert(ctx, n, src, current, in)
		}
		if there, err = in.isAt(current.File, n.at); err != nil || !there {
			return false, err // another writer was faster: check again
		}
		r.Carried += in.length()
	}
	// STILL-HELD, of the source: all of it has been brought.
	if held, err := src.Held(); err != nil || !held {
		return false, err
	}
	return false, r.record(n, src, current, in)
}

// current returns FILE, and opens it if it is not open.
func (r *Run) current() (*file, error) {
	now, err := r.leadsTo(r.base)
	if err != nil {
		return nil, err
	}
	if f := r.open[now]; f != nil {
		return f, nil
	}
	return r.openFile(r.base, unix.O_RDONLY)
}

// holdNew takes a lease on the new file, if that is FILE and the lease is available at once.
func (r *Run) holdNew(n *second) error {
	if r.open[n.dst] != nil {
		return r.patience()
	}
	now, err := r.leadsTo(r.base)
	if err != nil || now != n.dst {
		return err
	}
	f, err := r.openFile(r.base, unix.O_RDWR|unix.O_APPEND)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, fs.ErrPermission) {
		return nil // another process has a lease on it
	}
	if err != nil {
		return err
	}
	r.open[f.inode] = f
	taken, err := f.Try()
	if err == nil && !taken {
		err = r.release(f)
	}
	return err
}

// carryStep is how much is appended with one call. Each part stays in one piece, even if another
// process appends at the same time.
const carryStep = 16 << 20

// carry is CARRY: it appends the insertion to the new file, if that is FILE, leased, and ends
// exactly at the place. For each part it reads, checks the leases, and then appends.
func (r *Run) carry(n *second, src, current *file, in *insertion) (carried bool, err error) {
	if current.inode != n.dst || !current.alone || r.open[current.inode] != current {
		return false, nil
	}
	size, err := sizeOf(current.File)
	if err != nil || size != n.at {
		return false, err
	}
	part := make([]byte, min(in.length(), carryStep))
	for all := in.reader(); ; {
		k, err := io.ReadFull(all, part)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return false, err
		}
		// STILL-HELD
		for _, f := range []*file{src, current} {
			if held, err := f.Held(); err != nil || !held {
				return false, err
			}
		}
		if _, err := current.Write(part[:k]); err != nil {
			return false, exit.Fail(completeHint, err) // what nodes appended meanwhile cannot be carried over
		}
	}
	if err := current.Sync(); err != nil {
		return false, exit.Fail(completeHint, err) // what nodes appended meanwhile cannot be carried over
	}
	return true, nil
}

// record is RECORD: it changes the second name to say that the insertion is in its place.
func (r *Run) record(n *second, src, current *file, in *insertion) error {
	next := *n
	next.from += in.size
	next.at += in.length()
	next.dst = current.inode
	var err error
	if next.gs, err = digest(src.File, next.from); err != nil {
		return err
	}
	if next.gd, err = digest(current.File, next.at); err != nil {
		return err
	}
	if err := r.rename(n.name(r.base), next.name(r.base), unix.RENAME_NOREPLACE); err != nil {
		return err
	}
	*n = next
	return nil
}

// state is the size and times of a file, which change when it is written to.
type state struct {
	Size       int64
	Mtim, Ctim unix.Timespec
}

func look(f *os.File) (state, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return state{}, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return state{st.Size, st.Mtim, st.Ctim}, nil
}

// watchAndRemove is RELEASE-NEW, WATCH and REMOVE. It reports false if there was a late writer.
func (r *Run) watchAndRemove(n *second, src *file, seen state) (removed bool, err error) {
	// RELEASE-NEW
	if err := errors.Join(r.releaseAll(src.inode), r.syncFolder()); err != nil {
		return false, err
	}
	// WATCH
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		over := time.Since(began) >= r.watch
		alone, err := src.Try()
		if err != nil || !alone {
			return false, err
		}
		if now, err := look(src.File); err != nil || now != seen {
			return false, err
		}
		if over {
			break
		}
	}
	// REMOVE
	return true, errors.Join(r.remove(n.name(r.base)), r.release(src), r.syncFolder())
}

// insertion is what a source has that belongs at a place in FILE, with the newlines that are
// missing before it and at its end: a writer that died may not have written one.
type insertion struct {
	src           *os.File
	from, size    int64 // in the source
	before, after string
}

func newInsertion(src *os.File, from, end int64, current *os.File, at int64) (*insertion, error) {
	in := &insertion{src: src, from: from, size: end - from}
	var err error
	if in.before, err = missingNewline(current, at); err == nil {
		in.after, err = missingNewline(src, end)
	}
	return in, err
}

// missingNewline returns a newline if there is none before a place.
func missingNewline(f *os.File, place int64) (string, error) {
	if place == 0 {
		return "", nil
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, place-1); err != nil {
		return "", err
	}
	if last[0] == '\n' {
		return "", nil
	}
	return "\n", nil
}

func (in *insertion) length() int64 {
	return int64(len(in.before)) + in.size + int64(len(in.after))
}

func (in *insertion) reader() io.Reader {
	return io.MultiReader(bytes.NewReader([]byte(in.before)), io.NewSectionReader(in.src, in.from, in.size), bytes.NewReader([]byte(in.after)))
}

// isAt reports whether the complete insertion is at a place in f.
func (in *insertion) isAt(f *os.File, at int64) (bool, error) {
	size, err := sizeOf(f)
	if err != nil || size < at+in.length() {
		return false, err
	}
	return durable.SameBytes(io.NewSectionReader(f, at, in.length()), in.reader())
}

// putBack is BACK: the file that the second name leads to becomes FILE.
func (r *Run) putBack(ctx context.Context, n *second) error {
	var displaced *file
	next := *n
	for {
		// LEASE-DISPLACED
		var err error
		if displaced == nil {
			if displaced = r.open[n.leads]; displaced == nil {
				if displaced, err = r.openFile(n.name(r.base), unix.O_RDONLY); err != nil {
					return err
				}
				r.open[displaced.inode] = displaced
			}
		}
		if err := displaced.Take(ctx, writerWait, r.patience); err != nil {
			return err
		}
		if next.at, err = sizeOf(displaced.File); err != nil {
			return err
		}
		if next.gd, err = digest(displaced.File, next.at); err != nil {
			return err
		}
		held, err := displaced.Held()
		if err != nil {
			return err
		}
		if held {
			break
		}
	}
	// RECORD-BACK
	if n.kind == oldKind || n.leads == n.src {
		current, err := r.current()
		if err != nil {
			return err
		}
		same, err := sameBefore(current.File, n.at, n.gd)
		r.closeUnlessKept(current)
		if err != nil {
			return err
		}
		if !same {
			return r.elsewhere(n)
		}
		next.kind, next.src, next.from, next.gs, next.dst = backKind, current.inode, n.at, n.gd, displaced.inode
	}
	if next != *n {
		if err := r.rename(n.name(r.base), next.name(r.base), unix.RENAME_NOREPLACE); err != nil {
			return err
		}
	}
	// EXCHANGE-BACK
	if now, err := r.leadsTo(r.base); err != nil {
		return err
	} else if now != next.src {
		return r.elsewhere(&next)
	}
	if err := r.rename(next.name(r.base), r.base, unix.RENAME_EXCHANGE); err != nil {
		return err
	}
	r.back = true
	r.warn("%s was replaced or rewritten meanwhile: that version is kept", r.path)
	return errors.Join(r.releaseAll(0), r.syncFolder())
}

// insert is INSERT: it brings in a new FILE, made from FILE up to the place, what the source has,
// and the rest of FILE without that. The source keeps its second name and is checked again.
func (r *Run) insert(ctx context.Context, n *second, src, current *file, in *insertion) (done bool, err error) {
	// Our own descriptor for writing would count as a writer.
	if r.open[current.inode] == current {
		if err := r.release(current); err != nil {
			return false, err
		}
	}
	old, err := r.openFile(r.base, unix.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer r.closeUnlessKept(old)
	c := &inserted{n: n, src: src, in: in}
	if wanted, err := c.Plan(ctx, old.File); err != nil || !wanted {
		return false, err
	}
	err = r.copyAndBringIn(ctx, c, old)
	if errors.Is(err, ErrChanged) {
		return true, nil // everything is checked again
	}
	if err == nil {
		r.Carried += in.length()
		err = r.release(src)
	}
	return err == nil, err
}

// inserted is the content of a file with an insertion.
type inserted struct {
	n      *second
	src    *file
	in     *insertion
	pieces []Piece
	end    int64 // up to where the old file has been copied
	size   int64 // of the new file so far
}

// Plan implements [Content].
func (c *inserted) Plan(_ context.Context, old *os.File) (bool, error) {
	same, err := sameBefore(old, c.n.at, c.n.gd)
	if err != nil || !same {
		return false, err
	}
	if c.end, err = sizeOf(old); err != nil {
		return false, err
	}
	rest, err := c.in.without(old, c.n.at, c.end)
	if err != nil {
		return false, err
	}
	c.pieces = append([]Piece{{Size: c.n.at}}, rest...)
	return true, nil
}

// Copy implements [Content].
func (c *inserted) Copy(ctx context.Context, to, old *os.File) error {
	for i := range c.pieces {
		if i == 1 {
			if _, err := io.Copy(to, c.in.reader()); err != nil {
				return err
			}
			c.size += c.in.length()
		}
		p := &c.pieces[i]
		p.At = c.size
		if err := durable.CopyRange(ctx, to, old, p.Offset, p.Size, func(int64) {}); err != nil {
			return err
		}
		c.size += p.Size
	}
	// STILL-HELD, of the source: what was read counts.
	held, err := c.src.Held()
	if err == nil && !held {
		err = fmt.Errorf("%s: %w", c.src.Name(), ErrChanged)
	}
	return err
}

// Tail implements [Content].
func (c *inserted) Tail(ctx context.Context, to, old *os.File, size int64) (int64, error) {
	n := size - c.end
	if n < 0 {
		return 0, fmt.Errorf("%s: %w", old.Name(), ErrChanged)
	}
	if n > 0 {
		if err := durable.CopyRange(ctx, to, old, c.end, n, func(int64) {}); err != nil {
			return 0, err
		}
		c.pieces = append(c.pieces, Piece{c.end, n, c.size})
		c.end, c.size = size, c.size+n
	}
	return n, nil
}

// Check implements [Content].
func (c *inserted) Check(_ context.Context, to, _ *os.File) error {
	size, err := sizeOf(to)
	if err == nil && size != c.size {
		err = fmt.Errorf("%s has %d bytes instead of %d: do not trust this disk", to.Name(), size, c.size)
	}
	return err
}

// Pieces implements [Content].
func (c *inserted) Pieces() []Piece { return c.pieces }

// without returns the pieces of f, between the place and the end, that are not in the insertion: a
// killed run may have carried over a part of it, or all of it, possibly after what others
// appended. There is always a first piece, which may be empty.
func (in *insertion) without(f *os.File, at, end int64) ([]Piece, error) {
	next := io.NewSectionReader(f, at, end-at)
	same, err := durable.SamePrefix(next, in.reader())
	if err != nil {
		return nil, err
	}
	skip := same
	if same < in.length() && same < end-at {
		// All snapshots begin with the same bytes: what a writer appended begins with the last
		// header that is not after the first byte that differs.
		header, err := snapshot.LastHeader(next, same, end-at)
		if err != nil {
			return nil, err
		}
		if header >= 0 {
			skip = header
		}
	}
	pieces := []Piece{{Offset: at + skip}}
	last := &pieces[0]
	own, err := in.snapshots()
	if err != nil {
		return nil, err
	}
	rest := io.NewSectionReader(f, at+skip, end-at-skip)
	for l, err := range snapshot.Forward(rest, rest.Size()) {
		if err != nil {
			return nil, err
		}
		sum, err := sumOf(rest, l)
		if err != nil {
			return nil, err
		}
		if own[sum] {
			last.Size = at + skip + l.Offset - last.Offset
			pieces = append(pieces, Piece{Offset: at + skip + l.End()})
			last = &pieces[len(pieces)-1]
		}
	}
	last.Size = end - last.Offset
	return pieces, nil
}

// snapshots returns the digests of the snapshots in the insertion.
func (in *insertion) snapshots() (map[[sha256.Size]byte]bool, error) {
	own := map[[sha256.Size]byte]bool{}
	section := io.NewSectionReader(in.src, in.from, in.size)
	for l, err := range snapshot.Forward(section, section.Size()) {
		if err != nil {
			return nil, err
		}
		sum, err := sumOf(section, l)
		if err != nil {
			return nil, err
		}
		own[sum] = true
	}
	return own, nil
}

// sumOf returns the digest of a snapshot up to its end line.
func sumOf(r io.ReaderAt, l snapshot.Located) (sum [sha256.Size]byte, err error) {
	hash := sha256.New()
	_, err = io.Copy(hash, io.NewSectionReader(r, l.Offset, l.BodyEnd-l.Offset))
	copy(sum[:], hash.Sum(nil))
	return sum, err
}
