package rocksfile

import (
	"bytes"
	"container/heap"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"sort"
)

// Part is a range of the keys of a column family. Parts can be read independently of each
// other.
type Part struct {
	from, to []byte // to is excluded; nil for no bound
	tables   []*viewTable
	logs     []item
}

// viewWindow is how many bytes of a table are read at a time. maxOpen is how many tables one
// reader may read in turns: RocksDB lets no more than 36 overlap.
const viewWindow, maxOpen = 256 << 10, 64

// samplesPerPart is about how many keys of a part are candidates for its end.
const samplesPerPart = 16

// sample is a key, and the number of bytes between the sample before and this key.
type sample struct {
	key  []byte
	size uint64
}

// Size returns about how many bytes of tables and logs a column family has.
func (v *View) Size(family string) (size uint64) {
	f := v.families[family]
	if f == nil {
		return 0
	}
	for _, t := range f.tables {
		size += uint64(t.size)
	}
	for _, i := range f.logs.items {
		size += uint64(len(i.data))
	}
	return size
}

// Parts yields the parts of a column family, in the order of the keys, of about partSize bytes
// of tables and logs each. Together they have all of its records.
func (v *View) Parts(family string, partSize uint64) iter.Seq[Part] {
	return func(yield func(Part) bool) {
		f := v.families[family]
		if f == nil {
			return
		}
		p := Part{}
		waiting, logs := f.tables, f.logs.items
		var size uint64
		// next yields the part that ends before a key, or the last part for nil.
		next := func(to []byte) bool {
			for len(waiting) > 0 && below(waiting[0].smallest, to) {
				p.tables, waiting = append(p.tables, waiting[0]), waiting[1:]
			}
			n, _ := slices.BinarySearchFunc(logs, to, func(i item, to []byte) int { return boolCompare(below(i.key(), to)) })
			p.to, p.logs, logs = to, logs[:n], logs[n:]
			if !yield(p) {
				return false
			}
			open := slices.DeleteFunc(slices.Clone(p.tables), func(t *viewTable) bool { return below(t.largest, to) })
			p, size = Part{from: to, tables: open}, 0
			return true
		}
		for _, s := range f.samples(partSize / samplesPerPart) {
			if size += s.size; size >= partSize && bytes.Compare(s.key, p.from) >= 0 && !next(append(bytes.Clone(s.key), 0)) {
				return
			}
		}
		next(nil)
	}
}

// below reports whether a key is below a bound; nil is no bound.
func below(key, to []byte) bool { return to == nil || bytes.Compare(key, to) < 0 }

// boolCompare turns the result of below into that of a comparison, for a binary search.
func boolCompare(below bool) int {
	if below {
		return -1
	}
	return 1
}

// samples returns keys of tables and logs in order. Within one table, and within the logs, they
// are at least the given number of bytes apart.
func (f *viewFamily) samples(apart uint64) []sample {
	var all []sample
	for _, t := range f.tables {
		s := sample{}
		for i, h := range t.blocks {
			if s.size += h.size; s.size >= apart || i == len(t.blocks)-1 {
				s.key = t.between.at(i)
				all = append(all, s)
				s = sample{}
			}
		}
	}
	s := sample{}
	for i, item := range f.logs.items {
		if s.size += uint64(len(item.data)); s.size >= apart || i == len(f.logs.items)-1 {
			s.key = item.key()
			all = append(all, s)
			s = sample{}
		}
	}
	slices.SortFunc(all, func(a, b sample) int { return bytes.Compare(a.key, b.key) })
	return all
}

// PartReader reads parts, one after the other. It is not safe for concurrent use.
type PartReader struct {
	free []*cursor
	open int
	met  bool   // last is set
	last []byte // the last key that was not read by drain
}

// Read calls record with the records of a part, in the order of the keys. Key and value are
// valid until record returns. Every block is read once, and its checksum is verified. The error
// is [ErrAskRocksDB], [ErrUnsupported] for an entry of a kind that RocksDB does not show as it
// was written, or the error of record or ctx. The records passed on before the error are the
// same that RocksDB reads.
func (r *PartReader) Read(ctx context.Context, p Part, record func(key, value []byte) error) error {
	var rest cursors
	defer func() {
		for _, c := range rest {
			r.release(c)
		}
	}()
	for _, t := range p.tables {
		rest = append(rest, r.cursor(ctx, p, t))
	}
	if len(p.logs) > 0 {
		c := r.cursor(ctx, p, nil)
		c.items, c.opened = p.logs, true
		_, _ = c.advance()
		rest = append(rest, c)
	}
	heap.Init(&rest)
	lastPacked := uint64(0)
	r.met = false
	for len(rest) > 0 {
		c := rest[0]
		switch {
		case !c.opened:
			c.begin()
			if r.open++; r.open > maxOpen {
				return ErrAskRocksDB
			}
		case c.same: // an older entry of the same key
		case r.met && bytes.Equal(r.last, c.user):
			if c.packed == lastPacked {
				return ErrAskRocksDB // it is not known which of the two entries counts
			}
		default:
			r.met, r.last, lastPacked = true, append(r.last[:0], c.user...), c.packed
			if Kind(c.packed) == KindPut {
				if err := record(c.user, c.value); err != nil {
					return err
				}
			}
		}
		if c.begun && rest.alone() {
			if err := c.drain(record); err != nil {
				return err
			}
		}
		more, err := c.advance()
		switch {
		case err != nil:
			return err
		case !more:
			heap.Pop(&rest)
			r.release(c)
		case rest.moved():
			heap.Fix(&rest, 0)
		}
	}
	return nil
}

// cursor returns a cursor before the entries of a table, or before those of the logs if t is
// nil.
func (r *PartReader) cursor(ctx context.Context, p Part, t *viewTable) *cursor {
	c := &cursor{}
	if n := len(r.free); n > 0 {
		c, r.free = r.free[n-1], r.free[:n-1]
	} else {
		c.init()
	}
	c.ctx, c.part, c.table, c.opened, c.begun, c.same = ctx, p, t, false, false, false
	if t != nil {
		// All entries of the table in this part come after this place.
		c.packed, c.user = 1<<64-1, t.smallest
		if bytes.Compare(p.from, c.user) > 0 {
			c.user = p.from
		}
	}
	return c
}

func (r *PartReader) release(c *cursor) {
	if c.table != nil && c.opened {
		r.open--
	}
	r.free = append(r.free, c)
}

// cursors is a heap with the cursor at the next entry on top.
type cursors []*cursor

func (h cursors) Len() int { return len(h) }
func (h cursors) Less(i, j int) bool {
	if c := bytes.Compare(h[i].user, h[j].user); c != 0 {
		return c < 0
	}
	return h[i].packed > h[j].packed
}
func (h cursors) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// alone reports whether the rest of the first cursor's block comes before the entries of all
// others, and belongs to the part.
func (h cursors) alone() bool {
	c := h[0]
	if c.table == nil || c.limit {
		return false
	}
	end := c.table.between.at(c.next - 1)
	for _, other := range h[1:min(len(h), 3)] {
		if bytes.Compare(other.user, end) <= 0 {
			return false
		}
	}
	return true
}

// moved reports whether the first cursor no longer belongs on top.
func (h cursors) moved() bool {
	return len(h) > 1 && h.Less(1, 0) || len(h) > 2 && h.Less(2, 0)
}

func (h *cursors) Push(x any) { *h = append(*h, x.(*cursor)) }
func (h *cursors) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

// cursor reads the entries of one table, or of the logs, that are in a part.
type cursor struct {
	ctx    context.Context
	part   Part
	opened bool

	// The current entry, once opened is set. Until then, user and packed are a place before
	// all entries.
	user   []byte
	value  []byte
	packed uint64 // sequence number, kind in the lowest byte

	items []item // of the logs

	table  *viewTable
	reader tableReader
	window window
	next   int    // index of the next block
	end    int    // index after the last block
	block  []byte // the entries of the current block
	at     int    // where the next entry begins
	points []byte // the offsets of the restart points that are still to come
	point  int    // the first of them, -1 for none
	begun  bool   // there is a current entry
	key    []byte // its internal key
	stored uint64 // the sequence number and kind in key
	same   bool   // the entry has the same key as the one before
	shares int    // how many bytes the next entry may share with key
	skip   bool   // entries below the part may come first
	limit  bool   // the block may have entries above the part
}

func (c *cursor) init() { c.reader.read = c.window.block }

// openTable makes c read the blocks of a table from index from up to index to, excluded.
func (c *cursor) openTable(t *viewTable, from, to int) {
	last := t.blocks[to-1]
	c.table, c.next, c.end, c.block, c.at, c.begun = t, from, to, nil, 0, false
	c.window = window{file: t.file, size: int64(last.end()), piece: viewWindow, data: c.window.data[:0]}
	c.reader.size, c.reader.checksum, c.reader.dict, c.reader.format = int(t.size), t.foot.checksum, t.dict, t.foot.format
}

// begin opens the blocks of the table that may have entries of the part.
func (c *cursor) begin() {
	c.opened = true
	reaches := func(key []byte) int {
		return sort.Search(len(c.table.blocks)-1, func(i int) bool { return bytes.Compare(c.table.between.at(i), key) >= 0 })
	}
	from, to := 0, len(c.table.blocks)
	if c.part.from != nil {
		from = reaches(c.part.from)
	}
	if c.part.to != nil {
		to = reaches(c.part.to) + 1
	}
	c.openTable(c.table, from, to)
	c.skip = c.part.from != nil
}

// advance goes to the next entry, and reports whether there is one.
func (c *cursor) advance() (more bool, err error) {
	if c.table == nil {
		if len(c.items) == 0 {
			return false, nil
		}
		i := c.items[0]
		c.user, c.value, c.packed, c.items = i.key(), i.value(), i.packed, c.items[1:]
		return true, nil
	}
	for {
		if c.at < len(c.block) {
			err = c.decode()
		} else if more, err = c.load(); err == nil && !more {
			return false, nil
		}
		switch {
		case err != nil:
			return false, err
		case c.skip && bytes.Compare(c.user, c.part.from) < 0:
			continue
		case c.limit && bytes.Compare(c.user, c.part.to) >= 0:
			return false, nil
		}
		c.skip = false
		return true, nil
	}
}

// load goes to the first entry of the next block, and reports whether there is one. It checks
// that the block before ended as the index says.
func (c *cursor) load() (more bool, err error) {
	if c.begun && (len(c.points) > 0 || bytes.Compare(c.user, c.table.between.at(c.next-1)) > 0) {
		return false, ErrAskRocksDB
	}
	if c.next == c.end {
		return false, nil
	}
	if c.ctx.Err() != nil {
		return false, c.ctx.Err()
	}
	block, err := c.reader.block(c.table.blocks[c.next])
	if err != nil {
		return false, ErrAskRocksDB
	}
	end, points, err := restartPoints(block)
	if err != nil || end == 0 {
		return false, ErrAskRocksDB
	}
	c.block, c.points, c.at, c.shares = block[:end], points, 0, 0
	c.limit = c.part.to != nil && bytes.Compare(c.table.between.at(c.next), c.part.to) >= 0
	c.nextPoint()
	c.next++
	if err := c.decode(); err != nil {
		return false, err
	}
	if i := c.next - 2; i >= 0 && bytes.Compare(c.user, c.table.between.at(i)) < 0 {
		return false, ErrAskRocksDB
	}
	return true, nil
}

// nextPoint takes the next restart point.
func (c *cursor) nextPoint() {
	c.point = -1
	if len(c.points) > 0 {
		c.point = int(binary.LittleEndian.Uint32(c.points))
	}
}

// decode goes to the entry at c.at. The entry must be in order, and of a kind whose meaning does
// not depend on other entries.
func (c *cursor) decode() error {
	b := c.block[c.at:]
	var shared, fresh, size int
	if len(b) >= 3 && b[0]|b[1]|b[2] < 0x80 {
		shared, fresh, size, b = int(b[0]), int(b[1]), int(b[2]), b[3:]
	} else {
		p := parser{rest: b}
		s, f, v := p.uint64(), p.uint64(), p.uint64()
		if p.bad || max(s, f, v) > uint64(len(c.block)) {
			return ErrAskRocksDB
		}
		shared, fresh, size, b = int(s), int(f), int(v), p.rest
	}
	if shared > c.shares || fresh+size > len(b) || shared+fresh < 8 {
		return ErrAskRocksDB
	}
	if c.at == c.point {
		if shared > 0 {
			return ErrAskRocksDB
		}
		c.points = c.points[4:]
		c.nextPoint()
	}
	order := -1
	if c.begun {
		order = c.order(shared, b[:fresh])
	}
	c.key = append(c.key[:shared], b[:fresh]...)
	c.user = c.key[:len(c.key)-8]
	packed := binary.LittleEndian.Uint64(c.key[len(c.user):])
	if c.same = order == 0; order > 0 || c.same && c.stored <= packed {
		return ErrAskRocksDB
	}
	kind := Kind(packed)
	switch {
	case !kind.plain():
		return fmt.Errorf("%w (%s)", unsupportedKind(kind), c.table.name)
	case !simple(kind):
		return ErrAskRocksDB
	}
	c.stored = packed
	switch seq := packed >> 8; {
	case !c.table.ingested:
		if seq > c.table.seq {
			return ErrAskRocksDB
		}
	case seq > 0:
		return ErrAskRocksDB
	default:
		packed |= c.table.seq << 8
	}
	c.packed, c.value, c.begun = packed, b[fresh:fresh+size], true
	c.at, c.shares = len(c.block)-len(b)+fresh+size, len(c.key)
	return nil
}

// order compares the key of the current entry with that of the next one, which shares some bytes
// of the internal key, followed by fresh.
func (c *cursor) order(shared int, fresh []byte) int {
	if shared > len(c.user) || len(fresh) < 8 {
		next := append(bytes.Clone(c.key[:shared]), fresh...)
		return bytes.Compare(c.user, next[:len(next)-8])
	}
	before, after := c.user[shared:], fresh[:len(fresh)-8]
	if len(before) > 0 && len(after) > 0 && before[0] < after[0] { // nearly always
		return -1
	}
	return bytes.Compare(before, after)
}

// drain passes on the remaining records of the block.
func (c *cursor) drain(record func(key, value []byte) error) error {
	for c.at < len(c.block) {
		if err := c.decode(); err != nil {
			return err
		}
		if c.same || Kind(c.packed) != KindPut {
			continue
		}
		if err := record(c.user, c.value); err != nil {
			return err
		}
	}
	return nil
}
