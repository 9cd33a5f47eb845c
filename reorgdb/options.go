package reorgdb

import (
	"github.com/linxGnu/grocksdb"

	"ailee-recovery/internal/durable"
)

const (
	// tableFormat is the newest table format that RocksDB 6.11.4 reads. The
	// default of RocksDB 9 and later is 6.
	tableFormat = 5
	// tableChecksum is CRC32c. To 6.11.4, the default of RocksDB 7 and later, XXH3, is an
	// "unknown checksum type 4", and the node does not start.
	tableChecksum = 1

	writeBuffer = 16 << 20 // bytes
	maxVersions = 1 << 20  // how many versions of a key an iterator skips one by one
)

const scratchPrefix = ".ailee-reorgdb-"

// options are used for every open and every column family. They apply to each table that
// is written while the database is open; even opening it may write some.
type options struct {
	rocks *grocksdb.Options
	table *grocksdb.BlockBasedTableOptions
	// scratch is where RocksDB writes its info log and the files of a secondary instance, so
	// that neither ends up in the folder of the database.
	scratch *durable.Scratch
}

func newOptions() (*options, error) {
	scratch, err := durable.NewScratch(scratchPrefix)
	if err != nil {
		return nil, err
	}
	o := &options{
		rocks:   grocksdb.NewDefaultOptions(),
		table:   grocksdb.NewDefaultBlockBasedTableOptions(),
		scratch: scratch,
	}
	o.table.SetFormatVersion(tableFormat)
	o.table.SetChecksum(tableChecksum)
	o.rocks.SetBlockBasedTableFactory(o.table)
	o.rocks.SetCompression(grocksdb.SnappyCompression)
	o.rocks.SetWriteBufferSize(writeBuffer)
	// After that many versions of a key, an iterator seeks to the next key instead of skipping
	// the rest. In a log of GiBs, opened as hundreds of tables, each seek costs as much as
	// thousands of versions.
	o.rocks.SetMaxSequentialSkipInIterations(maxVersions)
	o.rocks.SetDbLogDir(scratch.Path)
	o.rocks.SetInfoLogLevel(grocksdb.FatalInfoLogLevel)
	o.rocks.SetStatsDumpPeriodSec(0)
	o.rocks.SetStatsPersistPeriodSec(0)
	return o, nil
}

// close frees the options. It must be called after the database was closed.
func (o *options) close() error {
	o.rocks.Destroy()
	o.table.Destroy()
	return o.scratch.Remove()
}
