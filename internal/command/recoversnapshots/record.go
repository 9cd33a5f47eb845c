package recoversnapshots

import (
	"crypto/sha256"
	"encoding/binary"

	"ailee-recovery/snapshot"
)

// record is what is kept of a snapshot that was found: 32 bytes, and the hash of its anchor if
// that will be needed.
type record struct {
	time   uint64 // Unix milliseconds
	offset int64
	body   int64 // from the header to the last byte of the end line, in bytes
	flags  uint64
	anchor string // as written, 64 characters
}

// The flags of a record.
const (
	newline = 1 << iota // its end line has a newline
	hidden              // no node sees it
	pending             // it is valid if its peg-outs name anchors of earlier snapshots
)

// The sizes of a record, in bytes.
const (
	recordSize = 32
	hashSize   = 2 * sha256.Size
)

func newRecord(r *snapshot.Report) record {
	rec := record{time: r.TimestampMs, offset: r.Offset, body: r.BodyEnd - r.Offset + int64(len(snapshot.EndLine)), anchor: r.Anchor.Hash}
	if r.Newline() {
		rec.flags |= newline
	}
	if r.Hidden {
		rec.flags |= hidden
	}
	if r.Verdict() == snapshot.PegOutMismatch {
		rec.flags |= pending
	}
	return rec
}

// size returns its size in the file.
func (r *record) size() int64 {
	if r.flags&newline != 0 {
		return r.body + 1
	}
	return r.body
}

// located says where it is.
func (r *record) located() snapshot.Located {
	return snapshot.Located{Offset: r.offset, Size: r.size(), BodyEnd: r.offset + r.body - int64(len(snapshot.EndLine)), Hidden: r.flags&hidden != 0}
}

func (r *record) append(buf []byte) []byte {
	for _, n := range []uint64{r.time, uint64(r.offset), uint64(r.body), r.flags} {
		buf = binary.BigEndian.AppendUint64(buf, n)
	}
	return buf
}

func parseRecord(buf []byte) record {
	number := func(i int) uint64 { return binary.BigEndian.Uint64(buf[8*i:]) }
	return record{time: number(0), offset: int64(number(1)), body: int64(number(2)), flags: number(3), anchor: string(buf[recordSize:])}
}

// sameSize is the length of the digest of what, besides the time, two snapshots with the same
// bytes have in common.
const sameSize = 16

// same returns that digest.
func same(r *snapshot.Report) []byte {
	sum := sha256.New()
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(r.BodyEnd-r.Offset))
	for _, part := range []string{string(size[:]), r.Root, r.Anchor.Hash, r.Anchor.RecoveryMetadata} {
		sum.Write([]byte(part))
	}
	return sum.Sum(nil)[:sameSize]
}
