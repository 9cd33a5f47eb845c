package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math"
	"math/bits"
)

// replay computes the root of a snapshot that is not in order, now that the survey knows
// how many records each section has and where they are. It makes one pass over the range of
// each section, or two if keys repeat, and sorts those that need it in memory.
func (c *Checker) replay(ctx context.Context, r io.ReaderAt, sv *survey) (digest [sha256.Size]byte, err error) {
	out := rootText{c.hash, append(c.hash.buffer(), rootPreamble...)}
	defer func() {
		if err != nil {
			c.hash.reset(out.text)
		}
	}()
	for i := range sv.sections {
		s, scan := Section(i), &sv.sections[i]
		out.text = appendHeading(out.text, s, scan.kept)
		switch {
		case scan.kept == 0:
		case scan.inOrder():
			err = c.sectionText(ctx, r, s, scan, func(line []byte, _ int) { out.add(line) })
		case scan.unsorted || scan.kept > math.MaxUint32:
			err = c.replayUnsorted(ctx, r, s, scan, &out, &sv.found)
		default:
			err = c.replayRepeats(ctx, r, s, scan, &out)
		}
		if err != nil {
			return digest, err
		}
	}
	return c.hash.sum(out.text), nil
}

// rootText is the text that the root covers, on its way to the hash.
type rootText struct {
	hash *textHash
	text []byte
}

func (t *rootText) add(line []byte) {
	t.text = append(t.text, line...)
	if len(t.text) >= textBlock {
		t.text = t.hash.write(t.text)
	}
}

// reserve reserves memory for sorting a section, in bytes, until release is called.
func (c *Checker) reserve(ctx context.Context, s Section, scan *sectionScan, need int64) (release func(), err error) {
	if need > c.memory.limit {
		return nil, &SectionTooLargeError{Section: s, Offset: scan.first, Repeats: !scan.unsorted, Need: need, Limit: c.memory.limit}
	}
	if err := c.memory.left.Acquire(ctx, need); err != nil {
		return nil, err
	}
	return func() { c.memory.left.Release(need) }, nil
}

// sortEntry is one record of a section in memory: the place of its canonical line.
type sortEntry struct {
	off          int64
	size, keyLen uint32
	// word is the eight bytes of the key after the prefix that all keys share, as a number
	// with the same order. With it, the key itself is hardly ever compared.
	word uint64
}

const sortEntrySize = 24 // bytes

// replayUnsorted writes the text of an unsorted section, which it holds in memory.
func (c *Checker) replayUnsorted(ctx context.Context, r io.ReaderAt, s Section, scan *sectionScan, out *rootText, found *findings) error {
	release, err := c.reserve(ctx, s, scan, scan.textBytes+int64(scan.kept)*sortEntrySize)
	if err != nil {
		return err
	}
	defer release()
	lines := make([]byte, 0, scan.textBytes)
	entries := make([]sortEntry, 0, scan.kept)
	err = c.sectionText(ctx, r, s, scan, func(line []byte, keyLen int) {
		entries = append(entries, sortEntry{off: int64(len(lines)), size: uint32(len(line)), keyLen: uint32(keyLen)})
		lines = append(lines, line...)
	})
	if err != nil {
		return err
	}
	order := newKeyOrder(lines, s, entries)
	nodeSort(entries, order.less)
	found.repeat(s, scan.first, order.repeats(entries))
	for _, e := range entries {
		out.add(lines[e.off : e.off+int64(e.size)])
	}
	return nil
}

// place is a record of a section that is sorted but repeats keys.
type place struct {
	key   uint32 // how many different keys come before this one
	index uint32 // the number of the record in its section, in file order
}

const placeSize = 8 // bytes

// replayRepeats writes the text of a section that is sorted but repeats keys. A node moves
// a record of such a section only among those with the same key. So only the text of one
// key's records is in memory at a time, and the end of each of their lines, which have more
// than eight bytes.
func (c *Checker) replayRepeats(ctx context.Context, r io.ReaderAt, s Section, scan *sectionScan, out *rootText) error {
	release, err := c.reserve(ctx, s, scan, int64(scan.kept)*placeSize+2*scan.longestRun)
	if err != nil {
		return err
	}
	defer release()
	places := make([]place, 0, scan.kept)
	var before []byte // the previous key
	err = c.sectionText(ctx, r, s, scan, func(line []byte, keyLen int) {
		p := place{index: uint32(len(places))}
		key := canonicalKey(line, s, keyLen)
		if p.index > 0 {
			p.key = places[p.index-1].key
			if !bytes.Equal(key, before) {
				p.key++
			}
		}
		places = append(places, p)
		before = append(before[:0], key...)
	})
	if err != nil {
		return err
	}
	nodeSort(places, func(a, b place) bool { return a.key < b.key })
	lines := make([]byte, 0, scan.longestRun) // the records with the current key
	ends := make([]int, 1, scan.longestRun/8+1)
	done := 0
	return c.sectionText(ctx, r, s, scan, func(line []byte, _ int) {
		lines = append(lines, line...)
		ends = append(ends, len(lines))
		// After sorting, each key is where it was: only the records that have it have moved.
		n := len(ends) - 1
		if done+n < len(places) && places[done+n].key == places[done].key {
			return
		}
		for _, p := range places[done : done+n] {
			i := int(p.index) - done
			out.add(lines[ends[i]:ends[i+1]])
		}
		done += n
		lines, ends = lines[:0], ends[:1]
	})
}

// commonLen returns how many bytes a and b start with in common.
func commonLen(a, b []byte) int {
	n := min(len(a), len(b))
	start := 0
	for ; start+8 <= n; start += 8 {
		if differ := binary.LittleEndian.Uint64(a[start:]) ^ binary.LittleEndian.Uint64(b[start:]); differ != 0 {
			return start + bits.TrailingZeros64(differ)/8
		}
	}
	for i := start; i < n; i++ {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// sectionText calls emit with the canonical line of every record of section s
// within its range, in file order, and the length of its key. The line is valid
// during the call. If the number of records is not the one that the survey saw, the
// error is [ErrChanged].
func (c *Checker) sectionText(ctx context.Context, r io.ReaderAt, s Section, scan *sectionScan, emit func(line []byte, keyLen int)) error {
	var text []byte
	count := uint64(0)
	for rec, err := range c.records(ctx, r, scan.span, s) {
		if err != nil {
			return err
		}
		if count++; count > scan.kept {
			return ErrChanged
		}
		text = rec.appendCanonical(text[:0])
		emit(text, rec.ends[0])
	}
	if count != scan.kept {
		return ErrChanged
	}
	return nil
}
