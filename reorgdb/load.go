package reorgdb

import (
	"bytes"
	"errors"
	"iter"

	"github.com/linxGnu/grocksdb"

	"ailee-recovery/internal/workers"
)

// bulkBatch is how many records [DB.BulkLoad] writes at a time if they are not in order.
const bulkBatch = 4096

// BulkLoad writes records as they are to a column family. It is for a database that is not
// used before [DB.Sync], which makes the records durable. If several records have the same
// key, the last one counts. Records of the default family are written as sorted tables as
// long as their keys ascend, as the keys of [DB.Records] do. All others are written in
// batches without the write-ahead log, which takes several times as long. BulkLoad ends with
// the first error that records yields; other errors may wrap [ErrNoFamily] or [ErrReadOnly].
func (db *DB) BulkLoad(family string, records iter.Seq2[Record, error]) error {
	handle, end, err := db.beginLoading(family)
	if err != nil {
		return err
	}
	defer end()
	return db.bulkLoad(handle, records)
}

// beginLoading is [DB.beginWriting] for writing to one column family without an update.
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
	// A table names its column family only if RocksDB flushed it from a memtable. Without a
	// MANIFEST, nothing else would show to which one it belongs.
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

// loadTable is about how many bytes of records a table gets. Tests set it.
var loadTable = 128 << 20

// loadAhead is how many blocks may wait for the table.
const loadAhead = 64

// sortedLoad writes records to tables, one after the other, as long as their keys ascend.
type sortedLoad struct {
	db    *DB
	free  freeBlocks
	ended bool         // the keys no longer ascend
	last  []byte       // the last key
	block *block       // nil if none has begun
	table *loadedTable // nil if none has begun
	size  int          // bytes of its records
}

// loadedTable is a table that a goroutine writes.
type loadedTable struct {
	*newTable
	blocks chan *block
	ended  chan struct{} // closed when no more blocks are taken
	group  *workers.Group
}

// add takes a record, unless its key is not above the key before. After that, add takes no
// more records.
func (s *sortedLoad) add(r Record) (taken bool, err error) {
	if s.ended {
		return false, nil
	}
	if s.last != nil && bytes.Compare(r.Key, s.last) <= 0 {
		s.ended = true
		return false, s.end() // now: later records must count as the newer ones
	}
	if s.block != nil && s.block.full(r.Key, r.Value) {
		if err := s.flush(); err != nil {
			return false, err
		}
	}
	if s.size >= loadTable {
		if err := s.end(); err != nil { // the next block begins another table
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

// flush hands over the block to the table.
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

// write puts the blocks into the table, and returns them to free.
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

// end makes the records taken so far part of the database.
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
