package content

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"iter"
	"runtime"
	"sort"
	"time"

	"ailee-recovery/internal/spill"
	"ailee-recovery/internal/workers"
)

// entry is what is stored about each valid snapshot.
type entry struct {
	number, offset, size int64
	ms                   int64 // its time, Unix milliseconds; noTime if it is out of range
}

const (
	entrySize  = 32
	numberSize = 8
	digestSize = sha256.Size + numberSize
	anchorSize = sha256.Size + numberSize
	noTime     = -1 << 63
)

func entryOf(s *Snapshot) entry {
	e := entry{number: s.Number, offset: s.Offset, size: s.Size, ms: noTime}
	if !s.Time.IsZero() {
		e.ms = s.Time.UnixMilli()
	}
	return e
}

func (e entry) append(buf []byte) []byte {
	for _, n := range []int64{e.number, e.offset, e.size, e.ms} {
		buf = appendNumber(buf, n)
	}
	return buf
}

func appendNumber(buf []byte, n int64) []byte { return binary.BigEndian.AppendUint64(buf, uint64(n)) }

func number(buf []byte) int64 { return int64(binary.BigEndian.Uint64(buf)) }

func parseEntry(buf []byte) entry {
	return entry{number(buf), number(buf[8:]), number(buf[16:]), number(buf[24:])}
}

func (e entry) time() time.Time {
	if e.ms == noTime {
		return time.Time{}
	}
	return time.UnixMilli(e.ms).UTC()
}

// entryAt returns the entry of the valid snapshot with index i, starting at 0.
func (s *Snapshots) entryAt(i int64) (entry, error) {
	buf := make([]byte, entrySize)
	err := s.valid.Read(i, buf)
	return parseEntry(buf), err
}

// SnapshotDigest is a valid snapshot that a file holds.
type SnapshotDigest struct {
	SHA256 [sha256.Size]byte // of its bytes, with its last newline even if the file lacks it
	Number int64
	Time   time.Time // as in [Snapshot.Time]
}

// ValidDigests yields the valid snapshots in the order of their digests, once each. The first
// call reads the file again. The iteration ends after an error.
func (s *Snapshots) ValidDigests(ctx context.Context) iter.Seq2[SnapshotDigest, error] {
	return func(yield func(SnapshotDigest, error) bool) {
		for group, err := range s.groups(ctx) {
			var d SnapshotDigest
			var e entry
			if err == nil {
				e, err = s.entryAt(group.first)
			}
			if err == nil {
				d = SnapshotDigest{SHA256: [sha256.Size]byte(group.digest), Number: e.number, Time: e.time()}
			}
			if !yield(d, err) || err != nil {
				return
			}
		}
	}
}

// Has reports whether the file holds a valid snapshot with the digest, in hex.
func (s *Snapshots) Has(ctx context.Context, sha256 string) (bool, error) {
	for d, err := range s.ValidDigests(ctx) {
		if err != nil || hex.EncodeToString(d.SHA256[:]) == sha256 {
			return err == nil, err
		}
	}
	return false, nil
}

// group is the valid snapshots with the same digest. first and last are the indexes of the
// first and last of them among the valid ones.
type group struct {
	digest      []byte
	first, last int64
}

// groups yields the valid snapshots by digest. A group may be used until the next is yielded.
func (s *Snapshots) groups(ctx context.Context) iter.Seq2[group, error] {
	return func(yield func(group, error) bool) {
		if s.digests == nil {
			if err := s.digestAll(ctx); err != nil {
				yield(group{}, err)
				return
			}
		}
		var now group
		for rec, err := range s.digests.Sorted() {
			if err != nil {
				yield(group{}, err)
				return
			}
			at := number(rec[sha256.Size:])
			if now.digest != nil && bytes.Equal(now.digest, rec[:sha256.Size]) {
				now.last = at
				continue
			}
			if now.digest != nil && !yield(now, nil) {
				return
			}
			now = group{append(now.digest[:0], rec[:sha256.Size]...), at, at}
		}
		if now.digest != nil {
			yield(now, nil)
		}
	}
}

// partBytes is how much of a file one core hashes at a time.
const partBytes = 8 << 20

// digestAll hashes each valid snapshot, on all cores.
func (s *Snapshots) digestAll(ctx context.Context) error {
	type part struct{ from, to int64 } // indexes among the valid snapshots
	parts := func(yield func(part, error) bool) {
		from, size := int64(0), int64(0)
		for i := range s.valid.Len() {
			e, err := s.entryAt(i)
			if err != nil {
				yield(part{}, err)
				return
			}
			if size += e.size; size < partBytes {
				continue
			}
			if !yield(part{from, i + 1}, nil) {
				return
			}
			from, size = i+1, 0
		}
		if from < s.valid.Len() {
			yield(part{from, s.valid.Len()}, nil)
		}
	}
	newHasher := func() workers.Worker[part, []byte] {
		sum, buf := sha256.New(), make([]byte, digestStep)
		return func(ctx context.Context, p part) iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) {
				for i := p.from; i < p.to; i++ {
					e, err := s.entryAt(i)
					if err == nil {
						sum.Reset()
						err = hashSnapshot(ctx, sum, s.r, e.offset, e.size, buf)
					}
					if !yield(appendNumber(sum.Sum(nil), i), err) || err != nil {
						return
					}
				}
			}
		}
	}
	digests := spill.NewSorter(digestSize, newFile(s.o.TempDir))
	for rec, err := range workers.Ordered(ctx, runtime.GOMAXPROCS(0), reportsAhead, parts, newHasher) {
		if err == nil {
			err = digests.Add(rec)
		}
		if err != nil {
			return errors.Join(err, digests.Close())
		}
	}
	s.digests = digests
	return nil
}

// reportsAhead is how many digests a core may be ahead of the output.
const reportsAhead = 256

// FileAnchor is the anchor of a valid snapshot.
type FileAnchor struct {
	Hash   string // lower-case hex
	Number int64  // of the first snapshot that has it
}

// Anchors yields the anchors of the valid snapshots in the order of their hashes, once each.
// The iteration ends after an error.
func (s *Snapshots) Anchors() iter.Seq2[FileAnchor, error] {
	return func(yield func(FileAnchor, error) bool) {
		var last []byte
		for rec, err := range s.anchors.Sorted() {
			if err != nil {
				yield(FileAnchor{}, err)
				return
			}
			if last != nil && bytes.Equal(last, rec[:sha256.Size]) {
				continue
			}
			last = append(last[:0], rec[:sha256.Size]...)
			if !yield(FileAnchor{hex.EncodeToString(last), number(rec[sha256.Size:])}, nil) {
				return
			}
		}
	}
}

// SnapshotsDifference is what each of two files has that the other lacks: valid snapshots, by
// the SHA-256 of their bytes. Neither their order in the file nor a missing newline at the end
// matters.
type SnapshotsDifference struct {
	Common       int64 // distinct snapshots that both have
	OnlyA, OnlyB Range // with the times of the first and last in their file
	// Equal: the contents are the same. Begins: the content of A is the beginning of B's.
	Equal, Begins bool
	// AtFront: everything that only A has is before everything that both have, as if B were pruned
	// or cut at the front. AtEnd: everything that only A has is after that.
	AtFront, AtEnd bool
	// Parting is the number in A of the last snapshot that both have, after which the histories
	// diverge; 0 if there is none.
	Parting int64
}

// Contains reports whether B has all valid snapshots of A.
func (d *SnapshotsDifference) Contains() bool { return d.OnlyA.Count == 0 }

// CompareSnapshots determines what a has that b lacks, and the other way round. It reads again
// only as much of the files as it needs.
func CompareSnapshots(ctx context.Context, a, b *Snapshots) (*SnapshotsDifference, error) {
	d := &SnapshotsDifference{Equal: a.ContentSize == b.ContentSize && a.SHA256 == b.SHA256}
	var err error
	if d.Begins, err = begins(ctx, a, b); err != nil {
		return nil, err
	}
	if d.Begins {
		d.Common = a.Valid
		if d.Parting, err = a.lastNumber(); err == nil {
			d.OnlyB, err = b.after(a.End)
		}
		return d, err
	}
	other, err := begins(ctx, b, a)
	switch {
	case err != nil:
		return nil, err
	case other:
		d.Common = b.Valid
		if d.Parting, err = b.lastNumber(); err == nil {
			d.OnlyA, err = a.after(b.End)
		}
		d.AtFront = d.Common == 0 && d.OnlyA.Count > 0
		d.AtEnd = !d.AtFront && d.OnlyA.Count > 0
		return d, err
	}
	return d, d.sets(ctx, a, b)
}

// begins reports whether the content of a is the beginning of b's.
func begins(ctx context.Context, a, b *Snapshots) (bool, error) {
	switch {
	case a.ContentSize > b.ContentSize:
		return false, nil
	case a.ContentSize == b.ContentSize:
		return a.SHA256 == b.SHA256, nil
	}
	sum, ok := b.prefixes[a.ContentSize]
	if !ok {
		hash := sha256.New()
		if _, err := readRange(ctx, hash, b.r, 0, a.ContentSize, make([]byte, digestStep)); err != nil {
			return false, err
		}
		sum = hex.EncodeToString(hash.Sum(nil))
		b.prefixes[a.ContentSize] = sum
	}
	return sum == a.SHA256, nil
}

// lastNumber returns the number of the last valid snapshot, 0 for none.
func (s *Snapshots) lastNumber() (int64, error) {
	if s.Valid == 0 {
		return 0, nil
	}
	e, err := s.entryAt(s.Valid - 1)
	return e.number, err
}

// after returns the range of the valid snapshots that begin at an offset or after it.
func (s *Snapshots) after(offset int64) (Range, error) {
	var failed error
	n := sort.Search(int(s.Valid), func(i int) bool {
		e, err := s.entryAt(int64(i))
		failed = errors.Join(failed, err)
		return e.offset >= offset
	})
	r := Range{Count: s.Valid - int64(n)}
	if failed != nil || r.Count == 0 {
		return r, failed
	}
	return s.rangeOf(r.Count, int64(n), s.Valid-1)
}

// rangeOf returns a range of count valid snapshots. first and last are indexes among all valid
// ones.
func (s *Snapshots) rangeOf(count, first, last int64) (Range, error) {
	if count == 0 {
		return Range{}, nil
	}
	from, err := s.entryAt(first)
	if err != nil {
		return Range{}, err
	}
	to, err := s.entryAt(last)
	return Range{count, from.time(), to.time()}, err
}

// places is a number of valid snapshots, and the indexes of the first and last of them.
type places struct{ count, first, last int64 }

func (p *places) add(g group) {
	if p.count == 0 || g.first < p.first {
		p.first = g.first
	}
	if p.count == 0 || g.last > p.last {
		p.last = g.last
	}
	p.count++
}

// sets compares the files by the digests of all valid snapshots.
func (d *SnapshotsDifference) sets(ctx context.Context, a, b *Snapshots) error {
	var onlyA, onlyB, common places // common in A
	err := merge(ctx, a.groups(ctx), b.groups(ctx), func(x, y group) int { return bytes.Compare(x.digest, y.digest) },
		onlyA.add, onlyB.add, common.add)
	if err != nil {
		return err
	}
	d.Common = common.count
	d.AtFront = onlyA.count > 0 && (common.count == 0 || onlyA.last < common.first)
	d.AtEnd = onlyA.count > 0 && common.count > 0 && onlyA.first > common.last
	var err2 error
	d.OnlyA, err = a.rangeOf(onlyA.count, onlyA.first, onlyA.last)
	d.OnlyB, err2 = b.rangeOf(onlyB.count, onlyB.first, onlyB.last)
	if common.count > 0 && err == nil {
		var e entry
		e, err = a.entryAt(common.last)
		d.Parting = e.number
	}
	return errors.Join(err, err2)
}
