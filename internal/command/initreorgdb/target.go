package initreorgdb

import (
	"context"
	"iter"

	"ailee-recovery/reorgdb"
)

// target is the new database, or nothing in a dry run.
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

// copy writes all records of a column family of another database, and calls seen for each
// row.
func (t target) copy(ctx context.Context, from *reorgdb.DB, family string, seen func(reorgdb.Row)) error {
	if t.db != nil {
		return t.db.CopyFamily(ctx, from, family, seen)
	}
	for r, err := range from.Records(ctx, family) {
		if err != nil {
			return err
		}
		seen(reorgdb.Row{Record: r})
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
