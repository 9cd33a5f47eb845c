package reorgtool

import (
	"context"
	"errors"
	"iter"

	"ailee-recovery/reorgdb"
)

// Copy makes a database at path, which must be missing or an empty folder, and copies all
// records of another database to it, one column family after the other. The records of each
// pass through the given function. The new database is synced, with all records in tables.
func Copy(ctx context.Context, from *reorgdb.DB, path string,
	through func(family string, records iter.Seq2[reorgdb.Record, error]) iter.Seq2[reorgdb.Record, error]) (err error) {
	to, err := reorgdb.Create(path, from.Families()...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	for _, family := range from.Families() {
		if err := to.BulkLoad(family, through(family, from.Records(ctx, family))); err != nil {
			return err
		}
	}
	return to.Sync()
}
