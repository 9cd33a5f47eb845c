package rocksfile

import (
	"bytes"
	"fmt"
	"io"
)

// Tags of a version edit.
const (
	editComparator    = 1
	editLogNumber     = 2
	editNextFile      = 3
	editLastSequence  = 4
	editCompactCursor = 5
	editDeletedFile   = 6
	editNewFile       = 7
	editPrevLog       = 9
	editMinLog        = 10
	editNewFile2      = 100
	editNewFile3      = 102
	editNewFile4      = 103
	editFamily        = 200
	editFamilyAdd     = 201
	editFamilyDrop    = 202
	editMaxFamily     = 203
	editAtomicGroup   = 300
	editBlobFile      = 400
	editBlobGarbage   = 401
	editIgnoreMask    = 1 << 13
)

// Custom fields of a new file.
const (
	fileEnd        = 1
	filePath       = 65
	fileMustKnow   = 1 << 6
	defaultFamily  = "default"
	bytewiseOrder  = "leveldb.BytewiseComparator"
	maxTableLevels = 1 << 16
)

// Table is a table file in the list of a MANIFEST.
type Table struct {
	Number      uint64
	Family      uint32
	Level       int
	Size        int64
	SmallestSeq uint64
	LargestSeq  uint64
	// Smallest and Largest are the internal keys that bound the table, nil if they are not
	// valid. The range deletions of the table only count between them.
	Smallest, Largest []byte
}

// Family is a column family of a MANIFEST.
type Family struct {
	ID         uint32
	Name       string
	Comparator string
	LogNumber  uint64 // everything in logs with lower numbers is in the family's tables
}

// Manifest is the state after all edits of a MANIFEST.
type Manifest struct {
	Families  map[uint32]*Family
	Tables    map[uint64]Table
	Deleted   map[uint64]bool // tables that were deleted or replaced
	NextFile  uint64
	LastSeq   uint64
	MaxFamily uint32
	KeptLog   uint64 // the oldest log that is kept for two-phase transactions, 0 if not given
	// Complete is set if there is everything that RocksDB demands to open the database. It
	// does not demand a comparator: the first edit of a new database has none.
	Complete bool
}

func newManifest() *Manifest {
	return &Manifest{
		Families: map[uint32]*Family{0: {Name: defaultFamily}},
		Tables:   map[uint64]Table{},
		Deleted:  map[uint64]bool{},
	}
}

// untouched reports whether this is still the initial state of a new database. RocksDB before 7
// keeps it, and keeps all records in the logs, until the first flush or until the database is
// opened again.
func (m *Manifest) untouched() bool {
	if m == nil {
		return false
	}
	f := m.Families[0]
	return f != nil && f.Comparator == "" && f.LogNumber == 0 && m.LastSeq == 0 && len(m.Tables)+len(m.Deleted) == 0
}

// edit is one record of a MANIFEST.
type edit struct {
	family                       uint32
	comparator, add              *string
	drop                         bool
	logNumber, nextFile, lastSeq *uint64
	maxFamily                    uint32
	keptLog                      uint64
	inGroup                      bool
	groupRest                    uint32
	deleted                      []uint64
	added                        []Table
}

// DecodeManifest reads a MANIFEST, the first size bytes of r. Damage that is not torn means that
// edits are missing; the state is then only an approximation. The error is that of reading.
func DecodeManifest(r io.ReaderAt, size int64) (*Manifest, []Damage, error) {
	m := newManifest()
	var damage []Damage
	var group []edit
	var seen struct{ log, next, last bool }
	reader := LogReader{
		Record: func(off int64, record []byte) {
			e, err := decodeEdit(record)
			if err != nil {
				damage = append(damage, Damage{Offset: off, Length: int64(len(record)), Why: err.Error(), Err: err})
				return
			}
			// A group of edits applies completely or not at all.
			group = append(group, e)
			if e.inGroup && e.groupRest > 0 {
				return
			}
			for _, e := range group {
				seen.log = seen.log || e.logNumber != nil
				seen.next = seen.next || e.nextFile != nil
				seen.last = seen.last || e.lastSeq != nil
				m.apply(e)
			}
			group = nil
		},
		Damage: func(d Damage) { damage = append(damage, d) },
	}
	if err := reader.Read(r, size, 0); err != nil {
		return nil, nil, err
	}
	if len(group) > 0 {
		damage = append(damage, Damage{Offset: size, Why: "a group of edits without its end", Torn: true})
	}
	m.Complete = seen.log && seen.next && seen.last
	return m, damage, nil
}

func (m *Manifest) apply(e edit) {
	if e.nextFile != nil {
		m.NextFile = *e.nextFile
	}
	if e.lastSeq != nil {
		m.LastSeq = *e.lastSeq
	}
	m.MaxFamily, m.KeptLog = max(m.MaxFamily, e.maxFamily), max(m.KeptLog, e.keptLog)
	f := m.Families[e.family]
	switch {
	case e.drop:
		delete(m.Families, e.family)
		for number, t := range m.Tables {
			if t.Family == e.family {
				delete(m.Tables, number)
				m.Deleted[number] = true
			}
		}
		return
	case f == nil:
		f = &Family{ID: e.family}
		m.Families[e.family] = f
		m.MaxFamily = max(m.MaxFamily, e.family)
	}
	if e.add != nil {
		f.Name = *e.add
	}
	if e.comparator != nil {
		f.Comparator = *e.comparator
	}
	if e.logNumber != nil {
		f.LogNumber = max(f.LogNumber, *e.logNumber)
	}
	for _, number := range e.deleted {
		delete(m.Tables, number)
		m.Deleted[number] = true
	}
	// After the deletions: a table that changes its level is in both lists.
	for _, t := range e.added {
		t.Family = e.family
		m.Tables[t.Number] = t
		delete(m.Deleted, t.Number)
	}
}

// MinLog returns the number of the oldest log that is still needed.
func (m *Manifest) MinLog() uint64 {
	oldest := ^uint64(0)
	for _, f := range m.Families {
		oldest = min(oldest, f.LogNumber)
	}
	return oldest
}

func decodeEdit(data []byte) (e edit, err error) {
	p := parser{rest: data}
	number := func() *uint64 { v := p.uint64(); return &v }
	text := func() *string { v := string(p.slice()); return &v }
	for len(p.rest) > 0 && !p.bad {
		switch tag := p.uint32(); tag {
		case editComparator:
			e.comparator = text()
		case editLogNumber:
			e.logNumber = number()
		case editNextFile:
			e.nextFile = number()
		case editLastSequence:
			e.lastSeq = number()
		case editCompactCursor:
			p.uint32()
			p.slice()
		case editDeletedFile:
			p.uint32()
			e.deleted = append(e.deleted, p.uint64())
		case editNewFile, editNewFile2, editNewFile3, editNewFile4:
			t, err := decodeNewFile(&p, tag)
			if err != nil {
				return edit{}, err
			}
			e.added = append(e.added, t)
		case editPrevLog:
			p.uint64()
		case editMinLog:
			e.keptLog = p.uint64()
		case editFamily:
			e.family = p.uint32()
		case editFamilyAdd:
			e.add = text()
		case editFamilyDrop:
			e.drop = true
		case editMaxFamily:
			e.maxFamily = p.uint32()
		case editAtomicGroup:
			e.inGroup, e.groupRest = true, p.uint32()
		case editBlobFile, editBlobGarbage:
			return edit{}, unsupported("blob files")
		default:
			if tag&editIgnoreMask == 0 {
				return edit{}, unsupported("tag %d in a version edit", tag)
			}
			p.slice()
		}
	}
	if p.bad {
		return edit{}, fmt.Errorf("a version edit that ends in the middle of a field")
	}
	return e, nil
}

// internalKey copies an internal key. It returns nil if the key is not valid.
func internalKey(key []byte) []byte {
	if _, _, _, ok := splitKey(key); !ok {
		return nil
	}
	return bytes.Clone(key)
}

func decodeNewFile(p *parser, tag uint32) (Table, error) {
	level := p.uint32()
	if level > maxTableLevels {
		p.bad = true
	}
	t := Table{Level: int(level), Number: p.uint64(), LargestSeq: maxSeq}
	if tag == editNewFile3 && p.uint32() != 0 {
		return t, unsupported("tables in another folder")
	}
	size := p.uint64()
	if size > 1<<62 {
		p.bad = true
	}
	t.Size = int64(size)
	t.Smallest, t.Largest = internalKey(p.slice()), internalKey(p.slice())
	if tag != editNewFile {
		t.SmallestSeq, t.LargestSeq = p.uint64(), p.uint64()
	}
	for tag == editNewFile4 && !p.bad {
		field := p.uint32()
		if field == fileEnd {
			break
		}
		value := p.slice()
		switch {
		case field == filePath && (len(value) != 1 || value[0] != 0):
			return t, unsupported("tables in another folder")
		case field != filePath && field&fileMustKnow != 0:
			return t, unsupported("field %d of a new table in a version edit", field)
		}
	}
	return t, nil
}
