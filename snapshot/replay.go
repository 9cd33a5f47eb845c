package snapshot

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"slices"
)

// replay computes the root of a snapshot that is not in order, now that the
// survey knows how many records each section has and where they lie: one pass
// over each section's range, and a sort in memory for a section that needs it.
func (c *Checker) replay(ctx context.Context, r io.ReaderAt, sv *survey) (digest [sha256.Size]byte, err error) {
	text := append(c.hash.buffer(), rootPreamble...)
	defer func() {
		if err != nil {
			c.hash.reset(text)
		}
	}()
	for i := range sv.sections {
		s, scan := Section(i), &sv.sections[i]
		text = appendHeading(text, s, scan.kept)
		if scan.kept == 0 {
			continue
		}
		if scan.unsorted {
			if text, err = c.replaySorted(ctx, r, s, scan, text, &sv.found); err != nil {
				return digest, err
			}
			continue
		}
		err = c.sectionText(ctx, r, s, scan, func(line []byte, _ int) {
			text = append(text, line...)
			if len(text) >= textBlock {
				text = c.hash.write(text)
			}
		})
		if err != nil {
			return digest, err
		}
	}
	return c.hash.sum(text), nil
}

// sortEntry is one record of a section in memory: where its canonical line is.
type sortEntry struct {
	off          int64
	size, keyLen uint32
	// word is the eight bytes of the key behind what all keys start with, in an
	// order that can be compared: it spares nearly every look at the key itself.
	word uint64
}

const sortEntrySize = 24 // bytes

// replaySorted writes a section's text in the order of its keys, records with
// one key in file order.
func (c *Checker) replaySorted(ctx context.Context, r io.ReaderAt, s Section, scan *sectionScan, text []byte, found *findings) ([]byte, error) {
	if need := scan.textBytes + int64(scan.kept)*sortEntrySize; need > c.memory.limit {
		return text, &SectionTooLargeError{Section: s, Offset: scan.first, Need: need, Limit: c.memory.limit}
	} else if err := c.memory.left.Acquire(ctx, need); err != nil {
		return text, err
	} else {
		defer c.memory.left.Release(need)
	}
	lines := make([]byte, 0, scan.textBytes)
	entries := make([]sortEntry, 0, scan.kept)
	err := c.sectionText(ctx, r, s, scan, func(line []byte, keyLen int) {
		entries = append(entries, sortEntry{off: int64(len(lines)), size: uint32(len(line)), keyLen: uint32(keyLen)})
		lines = append(lines, line...)
	})
	if err != nil {
		return text, err
	}
	key := func(e sortEntry) []byte { return canonicalKey(lines[e.off:], s, int(e.keyLen)) }
	common := key(entries[0])
	for _, e := range entries {
		common = common[:commonLen(common, key(e))]
	}
	for i := range entries {
		var word [8]byte
		copy(word[:], key(entries[i])[len(common):])
		entries[i].word = binary.BigEndian.Uint64(word[:])
	}
	slices.SortFunc(entries, func(a, b sortEntry) int {
		if order := cmp.Compare(a.word, b.word); order != 0 {
			return order
		}
		if order := bytes.Compare(key(a), key(b)); order != 0 {
			return order
		}
		return cmp.Compare(a.off, b.off)
	})
	// The survey saw only neighbours in the file.
	found.remove(DuplicateKey, s.String())
	for i, e := range entries {
		if i > 0 && entries[i-1].word == e.word && bytes.Equal(key(entries[i-1]), key(e)) {
			found.add(DuplicateKey, s.String(), scan.first)
		}
		text = append(text, lines[e.off:e.off+int64(e.size)]...)
		if len(text) >= textBlock {
			text = c.hash.write(text)
		}
	}
	return text, nil
}

// commonLen returns how many bytes a and b start with in common.
func commonLen(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// sectionText calls emit with the canonical line of every record of section s
// within its range, in file order, and the length of its key. The line is valid
// during the call.
func (c *Checker) sectionText(ctx context.Context, r io.ReaderAt, s Section, scan *sectionScan, emit func(line []byte, keyLen int)) error {
	var text []byte
	for rec, err := range c.records(ctx, r, scan.span, s) {
		if err != nil {
			return err
		}
		text = rec.appendCanonical(text[:0])
		emit(text, rec.ends[0])
	}
	return nil
}
