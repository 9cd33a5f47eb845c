package rocksfile

import "fmt"

// Kind is what an entry does to its key. The numbers are the ones in the files.
type Kind uint8

const (
	KindDelete       Kind = 0x00
	KindPut          Kind = 0x01
	KindMerge        Kind = 0x02 // cannot be resolved without the node's merge operator
	KindSingleDelete Kind = 0x07
	KindRangeDelete  Kind = 0x0F // from Key, inclusive, to Value, exclusive
	KindBlobIndex    Kind = 0x11 // the value is in a blob file, which is not read
	KindEntity       Kind = 0x16 // a value with several columns, which is not decoded

	kindTimestampDelete Kind = 0x14 // of a key with a user-defined timestamp
	kindPreferredSeq    Kind = 0x18 // a value with its write time, of RocksDB 8
)

func (k Kind) String() string {
	switch k {
	case KindMerge:
		return "merge operands, which need the merge operator that they were written for"
	case KindBlobIndex:
		return "values in blob files"
	case KindEntity:
		return "wide-column entities"
	case kindTimestampDelete:
		return "keys with timestamps"
	}
	return fmt.Sprintf("entries of kind %d", uint8(k))
}

// plain reports whether RocksDB reads entries of kind k as they were written, whichever program
// wrote them. Of an entity it shows only one column. At a merge operand without its operator,
// it stops reading a log or iterating, and ends the process if it iterates backwards.
func (k Kind) plain() bool { return k != KindMerge && k != KindBlobIndex && k != KindEntity }

// foreign reports whether sound tables of other programs may have entries of kind k, which
// this package does not read.
func (k Kind) foreign() bool { return k == kindTimestampDelete || k == kindPreferredSeq }

// tableKind reports whether a data block can have entries of kind k.
func (k Kind) tableKind() bool {
	switch k {
	case KindDelete, KindPut, KindMerge, KindSingleDelete, KindBlobIndex, KindEntity:
		return true
	}
	return false
}

func (k Kind) deletes() bool { return k == KindDelete || k == KindSingleDelete }

// Entry is one change to one key.
type Entry struct {
	Family uint32 // the column family's id
	Seq    uint64 // the sequence number; the entry with the highest one wins
	Kind   Kind
	Key    []byte
	Value  []byte
}

// maxSeq is the highest sequence number. It is stored in eight bytes, of which the lowest has
// the kind.
const maxSeq = 1<<56 - 1

// Damage is a range of a file that cannot be used.
type Damage struct {
	Offset int64
	Length int64 // 0 if not known
	Why    string
	Err    error // [ErrUnsupported] if it is not damage, but something that is not supported
	// Torn is set if the file ends in the middle of a record: after a crash, or while the
	// record is being written.
	Torn bool
	// Zeros is set if everything from there to the end of the log is zeros.
	Zeros bool
}
