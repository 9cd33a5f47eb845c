package content

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/internal/rocksfile"
	"ailee-recovery/reorgdb"
)

// Database is what a reorg database holds. It must be closed: for a large one, the anchors,
// events and heights are in temporary files. Not safe for concurrent use.
type Database struct {
	SHA256  string // of all records by family in the order of their keys, in hex: equal for equal content
	Size    int64  // bytes of all keys and values
	Records int64  // of all families

	Blocks      int64
	Lowest, Tip uint64 // lowest and highest height, if there are blocks
	Gaps        uint64 // heights between them that have no block

	// Anchors are the numbers of anchors that a node can read, by the status in their record, and
	// AnchorCount is their sum.
	Anchors     map[reorgdb.AnchorStatus]int64
	AnchorCount int64
	Events      int64 // readable or not
	Unreadable  int64 // anchors and events that no node can read, and keys that no node looks up
	Mismatched  int64 // anchors whose record disagrees with its key
	// Counter is the next event id. CounterSound is set if it is above the id of every event:
	// otherwise the next event overwrites one.
	Counter      uint64
	CounterSound bool
	Families     map[string]int64 // records by column family, including the default one
	// Newest is the latest time, of those not in doubt, at which an anchor was broadcast or an
	// event was detected; zero if there is none.
	Newest time.Time
	Other  int64 // other records of the default family

	// Problems are the problems of the files. If records are or could be lost, see Lossy, the other
	// fields describe the records that can be salvaged, as by ailee_init_reorg_db --copy-from.
	Problems   []rocksfile.Problem
	Unopened   error // why RocksDB cannot open or read it, although nothing may be lost; nil if it can
	Unfinished bool  // a node was killed while it created it: it is sound and empty

	records *records
}

// Lossy reports whether records are or could be lost, or deleted ones may have come back.
func (d *Database) Lossy() bool { return reorgtool.Lossy(d.Problems) }

// Damaged reports whether a node cannot use the database as it is: it does not open, or records
// are lost.
func (d *Database) Damaged() bool { return d.Lossy() || d.Unopened != nil }

// Sound reports whether the database is not damaged, and the next reorg event overwrites none.
func (d *Database) Sound() bool { return !d.Damaged() && d.CounterSound }

// Close frees the temporary files.
func (d *Database) Close() error { return d.records.close() }

// DatabaseOptions are the options of [ReadDatabase].
type DatabaseOptions struct {
	Now time.Time // the clock, against which times are in doubt
	// TempDir is the folder for temporary files, which have no name; "" for the system's.
	TempDir string
	// Progress, unless nil, is called with the number of records read since the last call.
	Progress func(int64)
	// Sound, unless nil, is called with the open database before it is closed, if nothing in it is
	// lost, to read more from the same view.
	Sound func(*reorgdb.DB) error
}

// ReadDatabase reads a complete database as it is at one moment, also while a node writes to it,
// and leaves the folder as it is. It reads every block of every file, then every record. Damage is
// not an error: see Problems. The errors are those of [reorgdb.CheckFolder] except for damage, a
// *[reorgdb.TooNewError], [reorgdb.ErrUnsupported], [reorgdb.ErrBusy], the context's, one of
// Sound, or a system error: the database could not be checked.
func ReadDatabase(ctx context.Context, path string, o DatabaseOptions) (*Database, error) {
	problems, err := reorgtool.DamageWithTables(ctx, path)
	if err != nil {
		return nil, err
	}
	var unopened error
	if !reorgtool.Lossy(problems) {
		d, err := readOpen(ctx, path, o)
		if err != nil && reorgtool.LookAgain(path, err) {
			d, err = readOpen(ctx, path, o)
		}
		if err == nil {
			d.Problems, d.Unfinished = problems, rocksfile.Unfinished(path)
			return d, nil
		}
		if !errors.Is(err, reorgdb.ErrCorrupt) {
			return nil, err
		}
		unopened = err
	}
	d, err := salvage(ctx, path, o)
	if err != nil {
		return nil, err
	}
	d.Unopened = unopened
	return d, nil
}

// readOpen reads a database through RocksDB.
func readOpen(ctx context.Context, path string, o DatabaseOptions) (d *Database, err error) {
	db, err := reorgdb.OpenReadOnly(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	c := NewCollector(o)
	for _, family := range db.Families() {
		for _, err := range c.Through(family, db.Records(ctx, family)) {
			if err != nil {
				return nil, errors.Join(err, c.Close())
			}
		}
	}
	if o.Sound != nil {
		if err := o.Sound(db); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c.Finish()
}

// salvage reads what can be read of a damaged database.
func salvage(ctx context.Context, path string, o DatabaseOptions) (d *Database, err error) {
	s, err := rocksfile.Salvage(ctx, path, newFile(o.TempDir))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	problems, err := reorgtool.Problems(path, s.Problems, s.Version)
	if err != nil {
		return nil, err
	}
	c := NewCollector(o)
	for _, family := range s.Families {
		if strings.HasPrefix(family.Name, "#") {
			continue // its name is not known: no copy has it
		}
		for _, err := range c.Through(family.Name, salvaged(family.All(ctx))) {
			if err != nil {
				return nil, errors.Join(err, c.Close())
			}
		}
	}
	if d, err = c.Finish(); err != nil {
		return nil, err
	}
	d.Problems = problems
	return d, nil
}

// salvaged yields the records of a column family.
func salvaged(entries iter.Seq2[rocksfile.Entry, error]) iter.Seq2[reorgdb.Record, error] {
	return func(yield func(reorgdb.Record, error) bool) {
		for e, err := range entries {
			if !yield(reorgdb.Record{Key: e.Key, Value: e.Value}, err) {
				return
			}
		}
	}
}

// checkInterval is after how many records a loop checks the context or reports progress.
const checkInterval = 4096

// Collector gathers what a database holds from its records, as they pass through. It must be
// finished or closed. Not safe for concurrent use.
type Collector struct {
	d      *Database
	o      DatabaseOptions
	sum    hash.Hash         // of the family that is passing through
	sums   map[string][]byte // of the families that have passed, by name
	events reorgtool.EventIDs
	told   int64
}

// NewCollector returns an empty Collector. It ignores the option Sound.
func NewCollector(o DatabaseOptions) *Collector {
	return &Collector{o: o, sum: sha256.New(), sums: map[string][]byte{},
		d: &Database{Anchors: map[reorgdb.AnchorStatus]int64{}, Families: map[string]int64{}, records: newRecords(o.TempDir)}}
}

// Through passes on the records of a column family, which must be in the order of their keys, and
// gathers them. It must be called once for each family, in any order, also for empty ones.
func (c *Collector) Through(family string, records iter.Seq2[reorgdb.Record, error]) iter.Seq2[reorgdb.Record, error] {
	return func(yield func(reorgdb.Record, error) bool) {
		c.d.Families[family] = 0
		c.sum.Reset()
		defer func() { c.sums[family] = c.sum.Sum(nil) }()
		for r, err := range records {
			if err == nil {
				err = c.add(family, r)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

func (c *Collector) add(family string, r reorgdb.Record) error {
	d := c.d
	d.Records++
	d.Families[family]++
	d.Size += int64(len(r.Key) + len(r.Value))
	var sizes [16]byte
	binary.BigEndian.PutUint64(sizes[:], uint64(len(r.Key)))
	binary.BigEndian.PutUint64(sizes[8:], uint64(len(r.Value)))
	c.sum.Write(sizes[:])
	c.sum.Write(r.Key)
	c.sum.Write(r.Value)
	if c.o.Progress != nil && d.Records-c.told >= checkInterval {
		c.o.Progress(d.Records - c.told)
		c.told = d.Records
	}
	if family != reorgdb.DefaultFamily {
		return nil
	}
	kind, id := reorgdb.KeyKind(r.Key)
	switch kind {
	case reorgdb.BlockKind:
		return c.block(id)
	case reorgdb.AnchorKind:
		return c.anchor(r)
	case reorgdb.EventKind:
		return c.event(id, r.Value)
	case reorgdb.CounterKind:
		d.Counter, _ = reorgdb.ParseCounter(r.Value)
	case reorgdb.OddKind:
		d.Unreadable++
	default:
		d.Other++
	}
	return nil
}

func (c *Collector) block(height uint64) error {
	d := c.d
	if d.Blocks == 0 {
		d.Lowest = height
	} else {
		d.Gaps += height - d.Tip - 1
	}
	d.Blocks++
	d.Tip = height
	return d.records.addHeight(height)
}

func (c *Collector) anchor(r reorgdb.Record) error {
	d := c.d
	hash := strings.TrimPrefix(string(r.Key), string(reorgdb.AnchorKey("")))
	a, err := reorgdb.ParseAnchor(r.Value)
	if err != nil {
		d.Unreadable++
		return nil
	}
	if a.Hash != hash {
		d.Mismatched++
	}
	d.AnchorCount++
	d.Anchors[a.Status]++
	c.newest(unixTime(a.BroadcastTime))
	return d.records.addAnchor(Anchor{hash, a.Status, a.BroadcastTime, a.BitcoinHeight})
}

func (c *Collector) event(id uint64, value []byte) error {
	d := c.d
	d.Events++
	c.events.Add(id)
	e, err := reorgdb.ParseEvent(id, value)
	if err != nil {
		d.Unreadable++
	} else {
		c.newest(unixSeconds(e.DetectedAt))
	}
	return d.records.addEvent(EventDigest{sha256.Sum256(value), id, e.Height, e.DetectedAt})
}

func (c *Collector) newest(at time.Time) {
	if at.After(c.d.Newest) && !InDoubt(at, c.o.Now) {
		c.d.Newest = at
	}
}

// Finish returns the database.
func (c *Collector) Finish() (*Database, error) {
	d := c.d
	if err := d.records.endRange(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	// The digest covers the names: equal records in another family are different content.
	sum := sha256.New()
	for _, family := range slices.Sorted(maps.Keys(c.sums)) {
		sum.Write(binary.BigEndian.AppendUint64(nil, uint64(len(family))))
		sum.Write([]byte(family))
		sum.Write(c.sums[family])
	}
	d.SHA256 = hex.EncodeToString(sum.Sum(nil))
	d.CounterSound = d.Counter >= c.events.Next()
	if c.o.Progress != nil && d.Records > c.told {
		c.o.Progress(d.Records - c.told)
	}
	return d, nil
}

// Close frees the temporary files of a Collector that is not finished.
func (c *Collector) Close() error { return c.d.Close() }

// AnchorRange is a number of anchors, by status, and the hashes and times of the first and the
// last of them, by time of broadcast.
type AnchorRange struct {
	Count               int64
	ByStatus            map[reorgdb.AnchorStatus]int64
	First, Last         string // hashes, hex
	FirstTime, LastTime time.Time

	firstMs, lastMs uint64
}

func (r *AnchorRange) add(a Anchor) {
	if r.ByStatus == nil {
		r.ByStatus = map[reorgdb.AnchorStatus]int64{}
	}
	r.ByStatus[a.Status]++
	if r.Count == 0 || a.BroadcastMs < r.firstMs {
		r.First, r.firstMs, r.FirstTime = a.Hash, a.BroadcastMs, unixTime(a.BroadcastMs)
	}
	if r.Count == 0 || a.BroadcastMs >= r.lastMs {
		r.Last, r.lastMs, r.LastTime = a.Hash, a.BroadcastMs, unixTime(a.BroadcastMs)
	}
	r.Count++
}

// DatabaseDifference is what each of two databases has that the other lacks. A different status,
// height or number of confirmations of an anchor does not count.
type DatabaseDifference struct {
	Equal                bool        // all records are the same
	AnchorsA, AnchorsB   AnchorRange // by key, those that a node can read
	EventsA, EventsB     Range       // by content, as ids may differ; times of detection
	BlocksA, BlocksB     uint64      // heights that have a block
	FamiliesA, FamiliesB []string    // column families
	CounterA, CounterB   uint64
	TipA, TipB           uint64
}

// Contains reports whether B has all that A has: every anchor, event and column family, and a
// counter that is not lower. Blocks do not count: Bitcoin has them.
func (d *DatabaseDifference) Contains() bool {
	return d.AnchorsA.Count == 0 && d.EventsA.Count == 0 && len(d.FamiliesA) == 0 && d.CounterB >= d.CounterA
}

// CompareDatabases determines what a has that b lacks, and the other way round.
func CompareDatabases(ctx context.Context, a, b *Database) (*DatabaseDifference, error) {
	d := &DatabaseDifference{Equal: a.SHA256 == b.SHA256, CounterA: a.Counter, CounterB: b.Counter, TipA: a.Tip, TipB: b.Tip}
	for family := range a.Families {
		if _, ok := b.Families[family]; !ok {
			d.FamiliesA = append(d.FamiliesA, family)
		}
	}
	for family := range b.Families {
		if _, ok := a.Families[family]; !ok {
			d.FamiliesB = append(d.FamiliesB, family)
		}
	}
	slices.Sort(d.FamiliesA)
	slices.Sort(d.FamiliesB)
	err := merge(ctx, a.AnchorRecords(), b.AnchorRecords(), func(x, y Anchor) int { return strings.Compare(x.Hash, y.Hash) },
		d.AnchorsA.add, d.AnchorsB.add, func(Anchor) {})
	if err != nil {
		return nil, err
	}
	var eventsA, eventsB eventRange
	err = merge(ctx, a.EventDigests(), b.EventDigests(), func(x, y EventDigest) int { return bytes.Compare(x.SHA256[:], y.SHA256[:]) },
		eventsA.add, eventsB.add, func(EventDigest) {})
	if err != nil {
		return nil, err
	}
	d.EventsA, d.EventsB = eventsA.Range, eventsB.Range
	if d.BlocksA, err = missing(a.records, b.records); err != nil {
		return nil, err
	}
	d.BlocksB, err = missing(b.records, a.records)
	return d, err
}

// eventRange is a range of events, by time of detection.
type eventRange struct {
	Range
	first, last uint64
}

func (r *eventRange) add(e EventDigest) {
	at := unixSeconds(e.DetectedAt)
	if r.Count == 0 || e.DetectedAt < r.first {
		r.first, r.First = e.DetectedAt, at
	}
	if r.Count == 0 || e.DetectedAt >= r.last {
		r.last, r.Last = e.DetectedAt, at
	}
	r.Count++
}

// merge goes through two ordered sequences. It passes on what is only in one of them, and what is
// in both as in a.
func merge[T any](ctx context.Context, a, b iter.Seq2[T, error], compare func(x, y T) int, onlyA, onlyB, both func(T)) error {
	nextA, stopA := iter.Pull2(a)
	defer stopA()
	nextB, stopB := iter.Pull2(b)
	defer stopB()
	inA, errA, moreA := nextA()
	inB, errB, moreB := nextB()
	for n := 0; moreA || moreB; n++ {
		if n%checkInterval == 0 {
			errA = errors.Join(errA, ctx.Err())
		}
		if err := errors.Join(errA, errB); err != nil {
			return err
		}
		order := 0
		switch {
		case !moreA:
			order = 1
		case !moreB:
			order = -1
		default:
			order = compare(inA, inB)
		}
		switch {
		case order < 0:
			onlyA(inA)
		case order > 0:
			onlyB(inB)
		default:
			both(inA)
		}
		if order <= 0 {
			inA, errA, moreA = nextA()
		}
		if order >= 0 {
			inB, errB, moreB = nextB()
		}
	}
	return nil
}

// missing counts the heights that a has and b lacks.
func missing(a, b *records) (n uint64, err error) {
	next, stop := iter.Pull2(b.ranges())
	defer stop()
	other, err, more := next()
	for one, errA := range a.ranges() {
		if err = errors.Join(err, errA); err != nil {
			return 0, err
		}
		from := one[0]
		for {
			for more && other[1] < from {
				if other, err, more = next(); err != nil {
					return 0, err
				}
			}
			if !more || other[0] > one[1] {
				n += one[1] - from + 1
				break
			}
			if other[0] > from {
				n += other[0] - from
			}
			if other[1] >= one[1] {
				break
			}
			from = other[1] + 1
		}
	}
	return n, err
}
