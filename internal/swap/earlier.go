package swap

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/durable"
	"ailee-recovery/snapshot"
)

// adopt takes over a second name that a run of an earlier version left. It says that what
// comes after one byte of the old file belongs after another byte of FILE. adopt renames it
// to the current form.
func (r *Run) adopt(n *second) error {
	src, err := r.openFile(n.name(r.base), unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := r.lockOne(src.File); err != nil {
		return err
	}
	// Only now is it certain that no run of that version is using it.
	leads, err := r.leadsTo(n.name(r.base))
	if err != nil {
		return err
	}
	if err := r.own(src); err != nil || leads != src.inode {
		return errors.Join(err, planted(src.Name()))
	}
	current, err := r.current()
	if err != nil {
		return err
	}
	defer r.closeUnlessKept(current)
	if current.inode == src.inode {
		return r.remove(n.name(r.base))
	}
	known, err := goesOn(current.File, src.File, n)
	if err != nil {
		return err
	}
	if !known {
		if size, err := sizeOf(src.File); err != nil || size != n.from {
			return errors.Join(err, r.elsewhere(n))
		}
		return r.remove(n.name(r.base)) // nothing is lost with it
	}
	r.known[src.inode] = true
	next := &second{kind: oldKind, src: src.inode, from: n.from, dst: current.inode, at: n.at}
	if next.gs, err = digest(src.File, next.from); err != nil {
		return err
	}
	if next.gd, err = digest(current.File, next.at); err != nil {
		return err
	}
	return r.rename(n.name(r.base), next.name(r.base), unix.RENAME_NOREPLACE)
}

// goesOn reports whether the bytes of the old file still belong at their place in FILE: the
// last snapshot before it is the same in both, with the same bytes after it.
func goesOn(current, src *os.File, n *second) (bool, error) {
	have, err := sizeOf(current)
	if err != nil || have < n.at {
		return false, err
	}
	size, err := sizeOf(src)
	if err != nil || size < n.from {
		return false, err
	}
	here, err := snapshot.Latest(current, n.at)
	if errors.Is(err, snapshot.ErrNoSnapshot) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	there, err := snapshot.Latest(src, n.from)
	if errors.Is(err, snapshot.ErrNoSnapshot) {
		return false, nil
	}
	if err != nil || here.BodyEnd-here.Offset != there.BodyEnd-there.Offset {
		return false, err
	}
	body, after := here.BodyEnd-here.Offset, n.at-here.End()
	same, err := durable.SameBytes(io.NewSectionReader(current, here.Offset, body), io.NewSectionReader(src, there.Offset, body))
	if err != nil || !same {
		return false, err
	}
	return durable.SameBytes(io.NewSectionReader(current, here.End(), after), io.NewSectionReader(src, n.from-after, after))
}
