package initreorgdb

import (
	"iter"

	"ailee-recovery/reorgdb"
)

// target is the new database, or in a dry run nothing.
type target struct{ db *reorgdb.DB }

// load writes records to a column family.
func (t target) load(family string, records iter.Seq2[reorgdb.Record, error]) error {
	if t.db != nil {
		return t.db.BulkLoad(family, records)
	}
	for _, err := range records {
		if err != nil {
			return err
		}
	}
	return nil
}

// put writes a record to the default column family.
func (t target) put(key, value []byte) error {
	if t.db == nil {
		return nil
	}
	return t.db.Update(func(u *reorgdb.Update) error { return u.Put(reorgdb.DefaultFamily, key, value) })
}
