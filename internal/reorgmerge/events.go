package reorgmerge

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"

	"ailee-recovery/internal/spill"
	"ailee-recovery/reorgdb"
)

// ErrNoID means that no id is left for a reorg event.
var ErrNoID = errors.New("no id is left for a reorg event")

// noID is the highest number. No event gets it as a new id: no counter could be above it.
const noID = math.MaxUint64

// The keys of reorg events are at or above eventsFrom and below eventsTo.
const eventsFrom, eventsTo = "reorg:", "reorg;"

// The sizes of the records that are sorted, in bytes. All numbers are big-endian, so that the
// bytes sort like the numbers.
const (
	place       = 2 + 8                   // index of the source, number of the event in it
	contentSize = sha256.Size + place + 8 // digest of the value, place, id
	ownerSize   = 8 + place               // id, place
	fateSize    = place + 1               // place, 1 for a new id
	reorgSize   = 8 + 16 + 16 + 2         // height, digests of the old and the new hash, source
)

// events says what becomes of the reorg events of all sources.
type events struct {
	newFile  spill.NewFile
	fates    *spill.Store // of the events that stay, by place
	starts   []int64      // where the fates of each source begin, and the end of the last
	contents uint64       // the number of different contents
	has      []uint64     // how many of them each source has

	renumbered []uint64 // how many events of each source get a new id
	firstNew   []uint64 // the new id of the first of them, for each source

	counters    [][]byte // as stored in each source, nil for none
	counter     uint64
	counterFrom int // the first source with this counter, -1 for none

	unknown []*uint64 // for each source, the lowest height of a reorg that it does not know
}

func (e *events) close() error { return e.fates.Close() }

// decide reads all reorg events, and decides what becomes of them.
func decide(ctx context.Context, sources []Source, newFile spill.NewFile) (e *events, err error) {
	if len(sources) > math.MaxUint16 {
		return nil, fmt.Errorf("%d sources are too many", len(sources))
	}
	n := len(sources)
	e = &events{newFile: newFile, fates: spill.NewStore(fateSize, newFile), has: make([]uint64, n), renumbered: make([]uint64, n),
		firstNew: make([]uint64, n), counters: make([][]byte, n), counterFrom: -1, unknown: make([]*uint64, n)}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	contents, reorgs := spill.NewSorter(contentSize, newFile), spill.NewSorter(reorgSize, newFile)
	defer func() { err = errors.Join(err, contents.Close(), reorgs.Close()) }()
	next := uint64(0)
	for k, s := range sources {
		after, err := gather(ctx, k, s, contents, reorgs)
		if err != nil {
			return e, err
		}
		next = max(next, after)
		if e.counters[k], err = counterOf(ctx, s); err != nil {
			return e, err
		}
		stored, _ := reorgdb.ParseCounter(e.counters[k])
		next = max(next, stored)
	}
	if err := e.decideFates(contents); err != nil {
		return e, err
	}
	if err := e.number(next); err != nil {
		return e, err
	}
	return e, e.findUnknown(sources, reorgs)
}

// eventsOf yields the reorg events of a source, numbered from 0 in the order of the keys.
func eventsOf(ctx context.Context, s Source) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		place := uint64(0)
		for r, err := range s.Scan(ctx, reorgdb.DefaultFamily, []byte(eventsFrom), []byte(eventsTo)) {
			if err != nil {
				yield(event{}, err)
				return
			}
			kind, id := reorgdb.KeyKind(r.Key)
			if kind != reorgdb.EventKind {
				continue
			}
			if !yield(event{place, id, r.Value}, nil) {
				return
			}
			place++
		}
	}
}

type event struct {
	place, id uint64 // place is its number in the source
	value     []byte
}

// gather reads the events of a source, and adds them to contents and reorgs. It returns the id
// after the highest one.
func gather(ctx context.Context, k int, s Source, contents, reorgs *spill.Sorter) (next uint64, err error) {
	for ev, err := range eventsOf(ctx, s) {
		if err != nil {
			return 0, err
		}
		if ev.id != noID {
			next = max(next, ev.id+1)
		}
		digest := sha256.Sum256(ev.value)
		content := binary.BigEndian.AppendUint64(appendPlace(digest[:], k, ev.place), ev.id)
		if err := contents.Add(content); err != nil {
			return 0, err
		}
		reorg, err := reorgdb.ParseEvent(ev.id, ev.value)
		if err != nil {
			continue // for a node it does not exist, and its height is not known
		}
		before, after := digestOf(reorg.OldBlockHash), digestOf(reorg.NewBlockHash)
		record := append(append(binary.BigEndian.AppendUint64(nil, reorg.Height), before[:]...), after[:]...)
		if err := reorgs.Add(binary.BigEndian.AppendUint16(record, uint16(k))); err != nil {
			return 0, err
		}
	}
	return next, nil
}

func appendPlace(b []byte, source int, place uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint16(b, uint16(source)), place)
}

// digestOf returns 16 bytes that represent a block hash, which may be any text.
func digestOf(hash string) (d [16]byte) {
	sum := sha256.Sum256([]byte(hash))
	copy(d[:], sum[:])
	return d
}

func counterOf(ctx context.Context, s Source) ([]byte, error) {
	key := []byte(reorgdb.CounterKey)
	for r, err := range s.Scan(ctx, reorgdb.DefaultFamily, key, append(bytes.Clone(key), 0)) {
		if err != nil {
			return nil, err
		}
		return append([]byte{}, r.Value...), nil
	}
	return nil, nil
}

// decideFates decides which events stay. Among events with the same content, the ones of the
// first source stay. Among the staying events with the same id, the ones of the first source
// keep the id, and those of other sources get a new one.
func (e *events) decideFates(contents *spill.Sorter) (err error) {
	owners, fates := spill.NewSorter(ownerSize, e.newFile), spill.NewSorter(fateSize, e.newFile)
	defer func() { err = errors.Join(err, owners.Close(), fates.Close()) }()
	var digest [sha256.Size]byte
	first, latest := -1, -1
	for record, err := range contents.Sorted() {
		if err != nil {
			return err
		}
		source := int(binary.BigEndian.Uint16(record[sha256.Size:]))
		if first < 0 || !bytes.Equal(digest[:], record[:sha256.Size]) {
			copy(digest[:], record)
			first, latest = source, -1
			e.contents++
		}
		if source != latest {
			latest = source
			e.has[source]++
		}
		if source != first {
			continue
		}
		at := sha256.Size + place
		owner := append(bytes.Clone(record[at:]), record[sha256.Size:at]...)
		if err := owners.Add(owner); err != nil {
			return err
		}
	}
	counts := make([]int64, len(e.has)+1)
	first = -1
	id := uint64(0)
	for record, err := range owners.Sorted() {
		if err != nil {
			return err
		}
		source, owned := int(binary.BigEndian.Uint16(record[8:])), binary.BigEndian.Uint64(record)
		if first < 0 || owned != id {
			first, id = source, owned
		}
		changed := byte(0)
		if source != first {
			changed = 1
			e.renumbered[source]++
		}
		if err := fates.Add(append(bytes.Clone(record[8:]), changed)); err != nil {
			return err
		}
		counts[source+1]++
	}
	for k := range e.has {
		counts[k+1] += counts[k]
	}
	e.starts = counts
	return e.fates.AddAll(fates.Sorted())
}

// number assigns new ids, starting at next, and sets the counter.
func (e *events) number(next uint64) error {
	for k, n := range e.renumbered {
		e.firstNew[k] = next
		if n > noID-next {
			return ErrNoID
		}
		next += n
	}
	e.counter = next
	for k, stored := range e.counters {
		if stored == nil {
			continue
		}
		if n, _ := reorgdb.ParseCounter(stored); n == next {
			e.counterFrom = k
			return nil
		}
	}
	return nil
}

// findUnknown finds, for each source, the lowest height of a reorg that it does not know.
func (e *events) findUnknown(sources []Source, reorgs *spill.Sorter) error {
	var reorg []byte // without the source
	knows := make([]bool, len(sources))
	look := func() error {
		if reorg == nil {
			return nil
		}
		height := binary.BigEndian.Uint64(reorg)
		for k, s := range sources {
			if knows[k] || e.unknown[k] != nil {
				continue
			}
			known, err := knowsByHash(s, k == 0, height, [16]byte(reorg[8:]), [16]byte(reorg[24:]))
			if err != nil {
				return err
			}
			if !known {
				e.unknown[k] = &height
			}
		}
		return nil
	}
	for record, err := range reorgs.Sorted() {
		if err != nil {
			return err
		}
		if same := record[:reorgSize-2]; reorg == nil || !bytes.Equal(reorg, same) {
			if err := look(); err != nil {
				return err
			}
			reorg = append(reorg[:0], same...)
			clear(knows)
		}
		knows[binary.BigEndian.Uint16(record[reorgSize-2:])] = true
	}
	return look()
}

// knowsByHash reports whether a source counts as knowing a reorg although it does not have the
// event. The first source does unless it has the hash that the reorg replaced; another one must
// have the new hash.
func knowsByHash(s Source, first bool, height uint64, before, after [16]byte) (bool, error) {
	hash, ok, err := s.BlockHash(height)
	if err != nil {
		return false, err
	}
	digest := digestOf(hash)
	if first {
		return !ok || digest != before || before == after, nil
	}
	return ok && digest == after, nil
}

// fateReader reads what becomes of the events of a source, in the order of the events.
type fateReader struct {
	reader *spill.Reader
	record []byte // the fate of the next event that stays, nil for none
	ready  bool   // record was read, and not used yet
	newID  uint64 // for the next event that gets a new id
}

func (e *events) fatesOf(k int) *fateReader {
	return &fateReader{reader: e.fates.From(e.starts[k], e.starts[k+1]), newID: e.firstNew[k]}
}

// fate is what becomes of an event.
type fate int

const (
	known fate = iota // an earlier source has the same event
	stays             // under its own id
	renumbered
)

// at returns the fate of the event at place, and its new id if it gets one. The places must
// ascend.
func (f *fateReader) at(place uint64) (fate, uint64, error) {
	if !f.ready {
		var err error
		if f.record, err = f.reader.Next(); err != nil {
			return known, 0, err
		}
		f.ready = true
	}
	if f.record == nil || binary.BigEndian.Uint64(f.record[2:]) != place {
		return known, 0, nil
	}
	f.ready = false
	if f.record[fateSize-1] == 0 {
		return stays, 0, nil
	}
	f.newID++
	return renumbered, f.newID - 1, nil
}

// eventRecords yields the reorg events, and other records with such keys, in the order of the
// keys.
func (m *Merge) eventRecords(ctx context.Context) iter.Seq2[reorgdb.Record, error] {
	return func(yield func(reorgdb.Record, error) bool) {
		next, stop := iter.Pull2(m.renumbered(ctx))
		defer stop()
		added, err, more := next()
		if err != nil {
			yield(reorgdb.Record{}, err)
			return
		}
		// before yields the events with new ids that come before a key, or all for nil.
		before := func(key []byte) bool {
			for more && (key == nil || bytes.Compare(added.Key, key) < 0) {
				if !yield(added, nil) {
					return false
				}
				if added, err, more = next(); err != nil {
					yield(reorgdb.Record{}, err)
					return false
				}
			}
			return true
		}
		for r, err := range m.kept(ctx) {
			if err != nil {
				yield(reorgdb.Record{}, err)
				return
			}
			if !before(r.Key) || !yield(r, nil) {
				return
			}
		}
		before(nil)
	}
}

// renumbered yields the events that get a new id, in the order of the new ids.
func (m *Merge) renumbered(ctx context.Context) iter.Seq2[reorgdb.Record, error] {
	return func(yield func(reorgdb.Record, error) bool) {
		for k, s := range m.sources {
			if m.events.renumbered[k] == 0 {
				continue
			}
			fates := m.events.fatesOf(k)
			for ev, err := range eventsOf(ctx, s) {
				what, id := known, uint64(0)
				if err == nil {
					what, id, err = fates.at(ev.place)
				}
				if err != nil {
					yield(reorgdb.Record{}, err)
					return
				}
				if what == renumbered && !yield(reorgdb.Record{Key: reorgdb.EventKey(id), Value: ev.value}, nil) {
					return
				}
			}
		}
	}
}

// kept yields the events that keep their ids, and records with such keys that are not events.
func (m *Merge) kept(ctx context.Context) iter.Seq2[reorgdb.Record, error] {
	return func(yield func(reorgdb.Record, error) bool) {
		fates, places := make([]*fateReader, len(m.sources)), make([]uint64, len(m.sources))
		for k := range fates {
			fates[k] = m.events.fatesOf(k)
		}
		for g, err := range m.groups(ctx, reorgdb.DefaultFamily, []byte(eventsFrom), []byte(eventsTo)) {
			var taken *member
			if err == nil {
				if kind, _ := reorgdb.KeyKind(g.key); kind == reorgdb.EventKind {
					taken, err = m.takeEvent(g, fates, places)
				} else {
					taken, err = m.take(reorgdb.DefaultFamily, g)
				}
			}
			if err != nil {
				yield(reorgdb.Record{}, err)
				return
			}
			if taken != nil && !yield(reorgdb.Record{Key: g.key, Value: taken.value}, nil) {
				return
			}
		}
	}
}

// takeEvent is [Merge.take] for events. At most one event keeps the key of the group.
func (m *Merge) takeEvent(g group, fates []*fateReader, places []uint64) (taken *member, err error) {
	var others []Difference
	for i := range g.members {
		one := &g.members[i]
		k := one.source
		m.Shares[k].Has[reorgdb.EventKind]++
		what, id, err := fates[k].at(places[k])
		if err != nil {
			return nil, err
		}
		places[k]++
		switch what {
		case stays:
			taken = one
			m.Shares[k].Taken[reorgdb.EventKind]++
		case renumbered:
			m.Shares[k].Taken[reorgdb.EventKind]++
			others = append(others, Difference{Family: reorgdb.DefaultFamily, Key: g.key, Taken: -1, Other: k, OtherValue: one.value, Renumbered: &id})
		}
	}
	for _, d := range others {
		if taken != nil {
			d.Taken, d.TakenValue = taken.source, taken.value
		}
		if err := m.Differ(d); err != nil {
			return nil, err
		}
	}
	return taken, nil
}
