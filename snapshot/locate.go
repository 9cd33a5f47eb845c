package snapshot

import (
	"errors"
	"io"
	"iter"
	"slices"
)

// ErrNoSnapshot says that a file has no complete snapshot.
var ErrNoSnapshot = errors.New("no complete snapshot")

// headerSize is the length of the header line with its newline, which every complete
// snapshot has.
const headerSize = int64(len(HeaderLine) + 1)

// Located is the place of a complete snapshot in its file: [Offset, Offset+Size), from the
// header line to the end line, including its newline if it has one.
type Located struct {
	Index   int64 // 1 is the oldest one in the file; 0 if not known
	Offset  int64
	Size    int64
	BodyEnd int64 // where the end line starts
	// Hidden is set by [Scan] for a snapshot that no node can see.
	Hidden bool
}

// End returns the offset of the first byte after the snapshot.
func (l Located) End() int64 { return l.Offset + l.Size }

// Newline reports whether the end line has a newline.
func (l Located) Newline() bool { return l.End()-l.BodyEnd > int64(len(EndLine)) }

// Forward yields the complete snapshots of the first size bytes of r, the
// oldest first, numbered from 1. The iteration ends after an error.
func Forward(r io.ReaderAt, size int64) iter.Seq2[Located, error] {
	return func(yield func(Located, error) bool) {
		for l, err := range Scan(r, size) {
			if !l.Hidden && !yield(l, err) {
				return
			}
		}
	}
}

// Backward yields the same snapshots as [Forward], the newest first and without
// their numbers. Getting to a snapshot costs no more than reading the file from there
// to its end. The iteration ends after an error.
func Backward(r io.ReaderAt, size int64) iter.Seq2[Located, error] {
	return backward(r, size, nil)
}

func backward(r io.ReaderAt, size int64, passed func(to int64) bool) iter.Seq2[Located, error] {
	return func(yield func(Located, error) bool) {
		var end *marker
		for m, err := range markersBackward(r, size, passed) {
			switch {
			case err != nil:
				yield(Located{}, err)
				return
			case m.kind == endMarker:
				// An end line found before, which is later in the file, was outside any snapshot.
				end = &m
			case m.kind == headerMarker && end != nil:
				l := Located{Offset: m.off, Size: end.next - m.off, BodyEnd: end.off}
				end = nil
				if !yield(l, nil) {
					return
				}
			}
		}
	}
}

// Latest returns the snapshot that a node loads: the last complete one. The
// cost does not depend on what comes before it. The error is [ErrNoSnapshot] or
// one from r.
func Latest(r io.ReaderAt, size int64) (Located, error) {
	return latest(r, size, nil)
}

func latest(r io.ReaderAt, size int64, passed func(to int64) bool) (Located, error) {
	for l, err := range backward(r, size, passed) {
		return l, err
	}
	return Located{}, ErrNoSnapshot
}

// TailFindings reports on the bytes after the last complete snapshot, which ends at end:
// a torn tail, hidden snapshots, a missing last newline, stray bytes.
func TailFindings(r io.ReaderAt, end, size int64) ([]Finding, error) {
	if size == 0 {
		return nil, nil
	}
	t := tail{offset: end, size: size - end}
	var s scanner
	for m, err := range markersForward(r, end, size) {
		if err != nil {
			return nil, err
		}
		for _, l := range s.step(m) {
			if l.Hidden {
				t.hidden.add(HiddenSnapshot, "", l.Offset)
			}
		}
		t.header = m.kind.starts()
	}
	last := make([]byte, min(size, headerSize))
	if err := readFull(r, last, size-int64(len(last))); err != nil {
		return nil, err
	}
	t.newline = last[len(last)-1] == '\n'
	if t.size < headerSize {
		t.short = last[len(last)-int(min(t.size, int64(len(last)))):]
	}
	return t.findings(), nil
}

// tail describes the bytes after the last complete snapshot.
type tail struct {
	offset, size int64
	header       bool // a snapshot starts in them and does not end
	hidden       findings
	newline      bool   // the file ends in a newline
	short        []byte // all of them, if they are shorter than a header line
}

func (t tail) findings() []Finding {
	found := []Finding(slices.Clone(t.hidden))
	torn := t.header || (len(t.short) > 0 && string(t.short) == HeaderLine[:min(len(t.short), len(HeaderLine))])
	switch {
	case torn:
		found = append(found, Finding{Kind: TornTail, Offset: t.offset, Length: t.size, Count: 1})
	case t.size > 0:
		found = append(found, Finding{Kind: StrayBytes, Offset: t.offset, Length: t.size, Count: 1})
	}
	if !t.newline && !torn {
		found = append(found, Finding{Kind: MissingNewline, Offset: t.offset + t.size, Count: 1})
	}
	return found
}
