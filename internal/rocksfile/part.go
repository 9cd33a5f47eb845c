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

// Part is a range of the keys of a column family. Parts are independent pieces of work.
type Part struct {
	from, to []byte // to excluded; nil: no bound
	tables   []*viewTable
	logs     []item
}

// viewWindow is how much is read of a table at a time, and maxOpen from how many tables one
// reader takes turns: RocksDB lets no more than 36 overlap.
const viewWindow, maxOpen = 256 << 10, 64

// samplesPerPart is at how many keys a part may end, about.
const samplesPerPart = 16

// sample is a key, and how many bytes are in front of it and behind the sample before.
type sample struct {
	key  []byte
	size uint64
}

// Size returns how many bytes of tables and logs a column family has, about.
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

// Parts yields the parts of a column family, in the order of the keys, of about so many bytes
// of tables and logs each. Its records are those of all parts.
func (v *View) Parts(family string, partSize uint64) iter.Seq[Part] {
	return func(yield func(Part) bool) {
		f := v.families[family]
		if f == nil {
			return
		}
		p := Part{}
		waiting, logs := f.tables, f.logs.items
		var size uint64
		// next yields the part up to a key, nil for the last one.
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

// below reports whether a key is in front of a bound, nil for none.
func below(key, to []byte) bool { return to == nil || bytes.Compare(key, to) < 0 }

// boolCompare is for a binary search for the first that is not below.
func boolCompare(below bool) int {
	if below {
		return -1
	}
	return 1
}

// samples are keys of tables and logs in order, of each at least so many bytes apart.
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
	met  bool   // a key, and
	last []byte // this one was the last, while several tables took turns
}

// Read passes the records of a part to record, in the order of the keys. Key and value are
// lent until it returns. Every block is read once, with its checksum. It ends with
// [ErrAskRocksDB], with [ErrUnsupported] where an entry is of a kind that RocksDB shows
// otherwise than it was written, or with the error of record or ctx; what was passed on by
// then is what RocksDB reads.
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
		case c.same: // and older
		case r.met && bytes.Equal(r.last, c.user):
			if c.packed == lastPacked {
				return ErrAskRocksDB // two entries, and nothing says which one counts
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

// cursor returns a cursor in front of the entries of a table, or of those of the logs.
func (r *PartReader) cursor(ctx context.Context, p Part, t *viewTable) *cursor {
	c := &cursor{}
	if n := len(r.free); n > 0 {
		c, r.free = r.free[n-1], r.free[:n-1]
	} else {
		c.init()
	}
	c.ctx, c.part, c.table, c.opened, c.begun, c.same = ctx, p, t, false, false, false
	if t != nil {
		// No entry of the part is below it, and none that is equal before it.
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

// cursors has the one with the next entry on top.
type cursors []*cursor

func (h cursors) Len() int { return len(h) }
func (h cursors) Less(i, j int) bool {
	if c := bytes.Compare(h[i].user, h[j].user); c != 0 {
		return c < 0
	}
	return h[i].packed > h[j].packed
}
func (h cursors) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// alone reports whether all that is left of the block of the first one comes before all else,
// and belongs to the part.
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

// moved reports whether the first one no longer is.
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

// cursor goes through the entries that a part has of one table, or of the logs.
type cursor struct {
	ctx    context.Context
	part   Part
	opened bool

	// The entry, once it is opened. Until then user and packed are in front of all.
	user   []byte
	value  []byte
	packed uint64 // sequence number, kind in the lowest byte

	items []item // of the logs

	table  *viewTable
	reader tableReader
	window window
	next   int // of the blocks, up to
	end    int
	block  []byte // its entries
	at     int    // where the next one begins
	points []byte // the offsets of the restart points that are still to come, and
	point  int    // the first of them
	begun  bool   // there was an entry, with
	key    []byte // this internal key
	stored uint64 // that ends so
	same   bool   // it is of the same key as the one before
	shares int    // how many bytes the next one may share with it
	skip   bool   // the entries so far are in front of the part
	limit  bool   // the block may have entries behind it
}

func (c *cursor) init() { c.reader.read = c.window.block }

// openTable makes c read some blocks of a table.
func (c *cursor) openTable(t *viewTable, from, to int) {
	last := t.blocks[to-1]
	c.table, c.next, c.end, c.block, c.at, c.begun = t, from, to, nil, 0, false
	c.window = window{file: t.file, size: int64(last.end()), piece: viewWindow, data: c.window.data[:0]}
	c.reader.size, c.reader.checksum, c.reader.dict, c.reader.format = int(t.size), t.foot.checksum, t.dict, t.foot.format
}

// begin finds the blocks that the part has of the table.
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

// load goes to the first entry of the next block, and reports whether there is one. The index
// must be right about the block before.
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

// decode goes to the entry at c.at. It must be in order, and of a kind that needs no other
// entry to be understood.
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

// order compares the key of the entry with the next one, which shares some bytes of the
// internal key and has some of its own.
func (c *cursor) order(shared int, fresh []byte) int {
	if shared > len(c.user) || len(fresh) < 8 {
		next := append(bytes.Clone(c.key[:shared]), fresh...)
		return bytes.Compare(c.user, next[:len(next)-8])
	}
	before, after := c.user[shared:], fresh[:len(fresh)-8]
	if len(before) > 0 && len(after) > 0 && before[0] < after[0] { // as nearly all
		return -1
	}
	return bytes.Compare(before, after)
}

// drain passes on what is left of the block.
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
