package snapshot

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
)

const (
	// sorterFree is how much a lineSorter takes without reserving it, in bytes.
	sorterFree = 512 << 10
	// sorterMax is the most that it takes, in bytes. A larger section is read again.
	sorterMax = 4 << 20
	// sorterKept is the most text that it keeps allocated for the next section, in bytes.
	sorterKept = 1 << 20
	// sorterLine is how much it takes for each line in addition to its text, in bytes.
	sorterLine = 8 + 2*sortEntrySize
	// sorterLines is how many line ends it notes while a section is in order: in nearly
	// every section that is not, this shows sooner.
	sorterLines = 1024
)

// lineSorter holds the canonical text of a section that turns out to be out of order, so
// that it need not be read again. It sorts what fits in memory; replay sorts what does not.
type lineSorter struct {
	memory   *Memory
	reserved bool       // sorterMax is reserved from memory
	text     []byte     // of the lines, except what the survey still has
	ends     []heldLine // of the lines, in file order

	entries, scratch []sortEntry // for sorting
	counts           []uint32    // of the buckets
}

// heldLine is a line of the section: its end in the text, and the length of its key.
type heldLine struct{ end, keyLen uint32 }

// add notes a line that ends at the offset end after the sorter's text. It reports whether
// there was room. If not, and the section is out of order, it is read again.
func (l *lineSorter) add(end, keyLen int, scan *sectionScan) bool {
	if len(l.ends) == cap(l.ends) && !l.grow(scan) {
		return false
	}
	l.ends = append(l.ends, heldLine{uint32(len(l.text) + end), uint32(keyLen)})
	return true
}

func (l *lineSorter) grow(scan *sectionScan) bool {
	switch {
	case l.ends == nil:
		l.ends = make([]heldLine, 0, sorterLines)
	case scan.inOrder() || !l.room(0):
		return false
	}
	return true
}

// room reports whether there is memory for that many more bytes of text.
func (l *lineSorter) room(more int) bool {
	need := len(l.text) + more + len(l.ends)*sorterLine
	if need > sorterFree && !l.reserved {
		l.reserved = need <= sorterMax && l.memory.left.TryAcquire(sorterMax)
		return l.reserved
	}
	return need <= sorterMax
}

// release forgets the section.
func (l *lineSorter) release() {
	l.text, l.ends = l.text[:0], l.ends[:0]
	if cap(l.text) > sorterKept || cap(l.ends) > sorterKept/64 {
		l.text, l.ends, l.entries, l.scratch, l.counts = nil, nil, nil, nil, nil
	}
	if l.reserved {
		l.reserved = false
		l.memory.left.Release(sorterMax)
	}
}

// sorted puts the lines, all of which are in the sorter, in a node's order. It returns how
// many of them have the same key as the line before.
func (l *lineSorter) sorted(s Section) (entries []sortEntry, repeats uint64) {
	n := len(l.ends)
	entries = slices.Grow(l.entries[:0], n)
	start := uint32(0)
	for _, e := range l.ends {
		entries = append(entries, sortEntry{off: int64(start), size: e.end - start, keyLen: e.keyLen})
		start = e.end
	}
	l.entries = entries
	order := newKeyOrder(l.text, s, entries)
	if n > smallSection {
		l.scratch = slices.Grow(l.scratch[:0], n)[:n]
		l.spread(entries, l.scratch, order)
		l.entries, l.scratch = l.scratch, l.entries
		entries = l.entries
		if repeats = order.repeats(entries); repeats == 0 {
			return entries, 0
		}
		// The order of equal keys depends on their order in the file.
		slices.SortFunc(entries, func(a, b sortEntry) int { return int(a.off - b.off) })
	}
	nodeSort(entries, order.less)
	return entries, order.repeats(entries)
}

// keyOrder compares the keys of lines.
type keyOrder struct {
	text  []byte
	start int // where the key starts in a line
}

// newKeyOrder returns the order of the entries' lines in text, and sets the word of each
// entry that is compared first.
func newKeyOrder(text []byte, s Section, entries []sortEntry) keyOrder {
	o := keyOrder{text, len(layouts[s].text)}
	first := o.key(entries[0])
	common := len(first)
	for _, e := range entries {
		common = commonLen(first[:common], o.key(e))
	}
	for i := range entries {
		entries[i].word = keyWord(o.key(entries[i])[common:])
	}
	return o
}

// keyWord returns the first eight bytes of a key, padded with zeros, as a number with the
// same order.
func keyWord(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var word [8]byte
	copy(word[:], key)
	return binary.BigEndian.Uint64(word[:])
}

func (o *keyOrder) key(e sortEntry) []byte {
	start := e.off + int64(o.start)
	return o.text[start : start+int64(e.keyLen)]
}

func (o *keyOrder) compare(a, b sortEntry) int {
	if a.word != b.word {
		return cmp.Compare(a.word, b.word)
	}
	return bytes.Compare(o.key(a), o.key(b))
}

func (o *keyOrder) less(a, b sortEntry) bool { return o.compare(a, b) < 0 }

// repeats returns how many of the sorted entries have the same key as the one before.
func (o *keyOrder) repeats(entries []sortEntry) (n uint64) {
	for i := range entries[1:] {
		a, b := entries[i], entries[i+1]
		if a.word == b.word && bytes.Equal(o.key(a), o.key(b)) {
			n++
		}
	}
	return n
}

const (
	// smallSection is the number of lines up to which comparing them at once is faster.
	smallSection = 64
	// smallBucket is the number of entries up to which a bucket is sorted by insertion.
	smallBucket = 16
)

// spread sorts from into to: into buckets by the first bytes of their words, and then each
// bucket by comparing. Keys use only few of the 256 byte values. The number of a bucket is
// therefore made of the rank of each byte among the values that occur at its position.
func (l *lineSorter) spread(from, to []sortEntry, order keyOrder) {
	var ranks [8][256]uint32
	places, buckets := 0, 1
	for places < len(ranks) && buckets < len(from) {
		var seen [256]bool
		shift := 56 - 8*places
		for i := range from {
			seen[byte(from[i].word>>shift)] = true
		}
		count := uint32(0)
		for b, is := range seen {
			ranks[places][b] = count
			if is {
				count++
			}
		}
		if buckets*int(count) > 4*len(from) {
			break
		}
		for b := range ranks[places] {
			for p := range places {
				ranks[p][b] *= count
			}
		}
		buckets *= int(count)
		places++
	}
	bucket := func(word uint64) (b uint32) {
		for p := range places {
			word = bits.RotateLeft64(word, 8)
			b += ranks[p][byte(word)]
		}
		return b
	}
	ends := slices.Grow(l.counts[:0], buckets)[:buckets]
	l.counts = ends
	clear(ends)
	for i := range from {
		ends[bucket(from[i].word)]++
	}
	sum := uint32(0)
	for b, n := range ends {
		ends[b] = sum
		sum += n
	}
	for i := range from {
		b := bucket(from[i].word)
		to[ends[b]] = from[i]
		ends[b]++
	}
	start := uint32(0)
	for _, end := range ends {
		switch same := to[start:end]; {
		case len(same) > smallBucket:
			slices.SortFunc(same, order.compare)
		case len(same) > 1:
			insertionSort(same, order.less)
		}
		start = end
	}
}
