package reorgdb

import (
	"bytes"
	"errors"
	"iter"

	"github.com/linxGnu/grocksdb"

	"ailee-recovery/internal/workers"
)

// bulkBatch is how many records [DB.BulkLoad] writes at a time where they are in no order.
const bulkBatch = 4096

// BulkLoad writes records as they are to a column family: for a database that nobody sees
// before [DB.Sync], which makes them durable. Of one key the last record counts. Those of
// the default family make sorted tables, as long as their keys ascend, as those of
// [DB.Records] do; all others are written batch by batch, without the write-ahead log, which
// takes several times as long. It ends with the first error that records yields, or with one
// that wraps [ErrNoFamily] or [ErrReadOnly].
func (db *DB) BulkLoad(family string, records iter.Seq2[Record, error]) error {
	handle, end, err := db.beginLoading(family)
	if err != nil {
		return err
	}
	defer end()
	return db.bulkLoad(handle, records)
}

// beginLoading is [DB.beginWriting] for what writes to one column family past the updates.
func (db *DB) beginLoading(family string) (handle *grocksdb.ColumnFamilyHandle, end func(), err error) {
	if handle, err = db.family(family); err != nil {
		return nil, nil, err
	}
	if end, err = db.beginWriting(); err != nil {
		return nil, nil, err
	}
	db.reorgs = reorgs{}
	return handle, end, nil
}

func (db *DB) bulkLoad(family *grocksdb.ColumnFamilyHandle, records iter.Seq2[Record, error]) (err error) {
	batch := grocksdb.NewWriteBatch()
	defer batch.Destroy()
	// A table says its column family only where RocksDB made it of a memtable: without a
	// MANIFEST, nothing else would tell of which one it is.
	sorted := &sortedLoad{db: db, ended: family != db.families[0], free: make(freeBlocks, 2*loadAhead)}
	defer func() { err = errors.Join(err, sorted.abort()) }()
	for r, err := range records {
		if err != nil {
			return err
		}
		if taken, err := sorted.add(r); err != nil {
			return err
		} else if taken {
			continue
		}
		batch.PutCF(family, r.Key, r.Value)
		if batch.Count() < bulkBatch {
			continue
		}
		if err := db.write(batch, false); err != nil {
			return err
		}
	}
	if err := sorted.end(); err != nil {
		return err
	}
	return db.write(batch, false)
}

// loadTable is how many bytes of records a table gets, about. Tests set it.
var loadTable = 128 << 20

// loadAhead is how many blocks may wait for the table.
const loadAhead = 64

// sortedLoad makes tables of records as long as their keys ascend, one after the other.
type sortedLoad struct {
	db    *DB
	free  freeBlocks
	ended bool         // the keys no longer ascend
	last  []byte       // the last key
	block *block       // nil: to be begun
	table *loadedTable // nil: to be begun
	size  int          // bytes of its records
}

// loadedTable is a table that a goroutine writes.
type loadedTable struct {
	*newTable
	blocks chan *block
	ended  chan struct{} // closed when no more blocks are taken
	group  *workers.Group
}

// add takes a record, unless its key does not follow the one before: from then on it takes
// none.
func (s *sortedLoad) add(r Record) (taken bool, err error) {
	if s.ended {
		return false, nil
	}
	if s.last != nil && bytes.Compare(r.Key, s.last) <= 0 {
		s.ended = true // after what is here: of one key the last record counts
		return false, s.end()
	}
	if s.block != nil && s.block.full(r.Key, r.Value) {
		if err := s.flush(); err != nil {
			return false, err
		}
	}
	if s.size >= loadTable {
		if err := s.end(); err != nil { // and the next one begins
			return false, err
		}
	}
	if s.block == nil {
		s.block = s.free.take()
	}
	s.block.add(r.Key, r.Value)
	added, _ := cutRecord(s.block.data[s.block.last:])
	s.last = added.Key
	return true, nil
}

// flush hands over the block.
func (s *sortedLoad) flush() error {
	if s.table == nil {
		t, err := s.db.newTable(0)
		if err != nil {
			return err
		}
		loaded := &loadedTable{newTable: t, blocks: make(chan *block, loadAhead), ended: make(chan struct{}), group: workers.NewGroup()}
		loaded.group.Go(func() error { return loaded.write(s.free) })
		s.table, s.size = loaded, 0
	}
	s.size += len(s.block.data)
	select {
	case s.table.blocks <- s.block:
		s.block = nil
		return nil
	case <-s.table.ended:
		return s.table.group.Wait()
	}
}

// write puts the blocks into the table, and gives them back.
func (t *loadedTable) write(free freeBlocks) error {
	defer close(t.ended)
	for b := range t.blocks {
		if err := t.putRecords(b.data); err != nil {
			return err
		}
		free.give(b)
	}
	return t.finish()
}

// end makes the records so far part of the database.
func (s *sortedLoad) end() error {
	if s.block != nil {
		if err := s.flush(); err != nil {
			return err
		}
	}
	t := s.table
	if t == nil {
		return nil
	}
	s.table, s.size = nil, 0
	close(t.blocks)
	err := t.group.Wait()
	if err == nil {
		err = s.db.ingest(t.path)
	}
	return errors.Join(err, t.close())
}

// abort drops the records of the table that is being written, if there is one.
func (s *sortedLoad) abort() error {
	if s.table == nil {
		return nil
	}
	close(s.table.blocks)
	_ = s.table.group.Wait()
	return s.table.close()
}
