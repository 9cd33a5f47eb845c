package rocksfile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"

	"ailee-recovery/internal/workers"
)

// ErrAskRocksDB means that a database, or a part of it, is not exactly as nodes write it, or
// cannot be read, so that RocksDB has to read it.
var ErrAskRocksDB = errors.New("only RocksDB can tell")

// View is a database at one moment, opened for reading without RocksDB: the records of its
// tables and logs together, as its MANIFEST lists them. There is only a view of a database in
// which nothing is damaged and nothing is unusual. It is safe for concurrent use.
type View struct {
	families map[string]*viewFamily
	tables   []*viewTable
}

// viewFamily is a column family of a view.
type viewFamily struct {
	tables []*viewTable
	logs   run
}

// tableFile is an [os.File] that is only read.
type tableFile interface {
	io.ReaderAt
	io.Closer
}

// viewTable is a table that is open.
type viewTable struct {
	name     string
	family   uint32
	file     tableFile
	size     int64
	foot     footer
	dict     *dictionary
	blocks   []handle
	between  separators
	smallest []byte // the first key
	largest  []byte // the last key
	seq      uint64 // the highest sequence number, or the one of all entries of an ingested table
	ingested bool   // the entries have no sequence numbers of their own
}

const (
	// maxViewLogs bounds how many bytes of logs are held in memory. maxViewBlocks bounds how
	// many blocks the tables may have: their indexes take about 50 bytes for each.
	maxViewLogs   = 16 << 20
	maxViewBlocks = 1 << 19
)

// separators are the keys of an index: no key of a block is above its separator, and no key of
// the next block is below it.
type separators struct {
	userKeys bool // without sequence number and kind
	bad      bool
	data     []byte
	ends     []int
}

func (s *separators) add(key []byte) {
	if !s.userKeys {
		user, _, _, ok := splitKey(key)
		s.bad = s.bad || !ok
		key = user
	}
	if n := len(s.ends); n > 0 && bytes.Compare(s.at(n-1), key) > 0 {
		s.bad = true
	}
	s.data = append(s.data, key...)
	s.ends = append(s.ends, len(s.data))
}

func (s *separators) at(i int) []byte {
	from := 0
	if i > 0 {
		from = s.ends[i-1]
	}
	return s.data[from:s.ends[i]:s.ends[i]]
}

// OpenView opens the database in dir. It holds the entries of the live logs in memory, and keeps
// all tables open. The error is [ErrAskRocksDB], the error of ctx, or one of the file system. In each
// case RocksDB has to read the database.
func OpenView(ctx context.Context, dir string) (_ *View, err error) {
	f, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	v := &View{families: map[string]*viewFamily{}}
	defer func() {
		if err != nil {
			v.Close()
		}
	}()
	unusual := false
	problem := func(Problem) { unusual = true }
	s := f.state(problem)
	if unusual || s.Manifest == nil || !s.sound || s.name == "" {
		return nil, ErrAskRocksDB
	}
	byID := map[uint32]*viewFamily{}
	for id, family := range s.Families {
		if family.Comparator != bytewiseOrder || family.Name == "" || v.families[family.Name] != nil {
			return nil, ErrAskRocksDB
		}
		byID[id] = &viewFamily{}
		v.families[family.Name] = byID[id]
	}
	visible, err := v.readLogs(ctx, f, s, byID)
	if err != nil {
		return nil, err
	}
	if err := v.openTables(ctx, f, s.Tables, visible); err != nil {
		return nil, err
	}
	for _, t := range v.tables {
		family := byID[t.family]
		if family == nil {
			return nil, ErrAskRocksDB
		}
		family.tables = append(family.tables, t)
	}
	for _, family := range v.families {
		slices.SortFunc(family.tables, func(a, b *viewTable) int { return bytes.Compare(a.smallest, b.smallest) })
	}
	return v, nil
}

// Close closes the tables.
func (v *View) Close() {
	for _, t := range v.tables {
		t.file.Close()
	}
}

// openTables opens all tables. Their sequence numbers must not be above visible, the highest
// that RocksDB shows.
func (v *View) openTables(ctx context.Context, f *folder, listed map[uint64]Table, visible uint64) error {
	tables := make([]*viewTable, len(listed))
	var blocks atomic.Int64
	g, ctx := workers.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, number := range slices.Sorted(maps.Keys(listed)) {
		g.Go(func() (err error) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if listed[number].LargestSeq > visible {
				return ErrAskRocksDB
			}
			if tables[i], err = openViewTable(f, listed[number]); err == nil && blocks.Add(int64(len(tables[i].blocks))) > maxViewBlocks {
				err = ErrAskRocksDB
			}
			return err
		})
	}
	err := g.Wait()
	for _, t := range tables {
		if t != nil {
			v.tables = append(v.tables, t)
		}
	}
	return err
}

// readLogs reads the entries of the live logs into memory, and returns the highest sequence
// number that RocksDB would show.
func (v *View) readLogs(ctx context.Context, f *folder, s state, byID map[uint32]*viewFamily) (visible uint64, err error) {
	unusual := false
	logs := liveLogs(f, s, func(Problem) { unusual = true })
	size := int64(0)
	for _, number := range logs.numbers {
		info, err := os.Stat(filepath.Join(f.dir, logName(number)))
		if err != nil {
			return 0, err
		}
		size += info.Size()
	}
	if unusual || size > maxViewLogs {
		return 0, ErrAskRocksDB
	}
	visible = s.LastSeq
	err = logs.read(ctx, func(number uint64, e Entry) {
		visible = max(visible, e.Seq)
		switch family := s.Families[e.Family]; {
		case family != nil && number < family.LogNumber: // tables have it
		case family != nil && simple(e.Kind):
			byID[e.Family].logs.add(e)
		case family == nil && e.Family <= s.MaxFamily: // dropped
		default:
			unusual = true
		}
	})
	if err == nil && unusual {
		err = ErrAskRocksDB
	}
	for _, family := range byID {
		family.logs.sort()
	}
	return visible, err
}

// simple reports whether an entry of kind k is about one key, and its meaning does not depend on
// other entries.
func simple(k Kind) bool { return k == KindPut || k.deletes() }

// openViewTable opens a table. It must be exactly as the MANIFEST describes it.
func openViewTable(f *folder, listed Table) (_ *viewTable, err error) {
	t := &viewTable{name: tableName(listed.Number), family: listed.Family, size: listed.Size, seq: listed.LargestSeq, dict: noDictionary}
	file, size, err := f.open(t.name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	t.file = file
	if size != listed.Size || listed.Smallest == nil || listed.Largest == nil {
		return nil, ErrAskRocksDB
	}
	if t.foot, err = readFooter(file, size); err != nil {
		return nil, ErrAskRocksDB
	}
	r := fileReader(file, size, t.foot, smallWindow)
	r.between = &t.between
	blocks, _, err := r.layout(t.foot)
	if err != nil || !r.report.usual() || r.checksum == checksumNone || t.between.bad || len(blocks) == 0 || len(t.between.ends) != len(blocks) {
		return nil, ErrAskRocksDB
	}
	p := r.report.Properties
	if t.ingested = p.Ingested; t.ingested {
		// RocksDB uses the sequence number in the MANIFEST, and refuses a table with another.
		if p.ingestVersion != 2 || listed.SmallestSeq != listed.LargestSeq || p.GlobalSeq != 0 && p.GlobalSeq != listed.LargestSeq {
			return nil, ErrAskRocksDB
		}
	}
	t.blocks, t.dict = blocks, r.dict
	if err := t.bound(listed); err != nil {
		return nil, err
	}
	return t, nil
}

// usual reports whether no damage was found in a table so far, and it has only keys with their
// values.
func (r *TableReport) usual() bool {
	p := r.Properties
	return p != nil && len(r.Metadata) == 0 && !r.RangesUnknown && p.RangeDeletions == 0 && p.MergeOperands == 0 && p.Comparator == bytewiseOrder
}

// bound reads the first and the last key, which must be the ones in the MANIFEST: RocksDB uses
// those to find keys.
func (t *viewTable) bound(listed Table) error {
	c := &cursor{ctx: context.Background()}
	c.init()
	for _, block := range []int{0, len(t.blocks) - 1} {
		c.openTable(t, block, block+1)
		for first := true; ; first = false {
			more, err := c.advance()
			if err != nil {
				return err
			}
			if !more {
				break
			}
			if first && block == 0 {
				t.smallest = bytes.Clone(c.user)
			}
		}
	}
	t.largest = bytes.Clone(c.user)
	smallest, _, _, _ := splitKey(listed.Smallest)
	largest, _, _, _ := splitKey(listed.Largest)
	if !bytes.Equal(smallest, t.smallest) || !bytes.Equal(largest, t.largest) {
		return ErrAskRocksDB
	}
	return nil
}
