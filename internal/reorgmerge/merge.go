// Package reorgmerge merges the records of several reorg databases into one. The order of the
// sources matters:
//
//   - A record is taken from the first source that has it. If another source has a different
//     value, the difference is reported.
//   - Blocks at or above the height of a reorg that a source does not know are not taken from
//     it: one of them may be the block that was replaced, and would count as one more reorg. A
//     source knows a reorg if it has the event, or the new hash at that height. From the first
//     source, all blocks are taken unless it has the hash that the reorg replaced.
//   - Reorg events with equal content are the same event, whatever their ids. If two different
//     events have the same id, the one of the later source gets the next id that is free in all
//     sources.
//   - The counter is the highest of all sources, and above every id.
//
// The sources are read in the order of their keys, and data that grows with the number of events
// is sorted in temporary files: memory does not grow with the databases.
package reorgmerge

import (
	"context"
	"iter"
	"slices"
	"strconv"

	"ailee-recovery/internal/spill"
	"ailee-recovery/reorgdb"
)

// Source is a database that does not change while it is being read, such as a [reorgdb.DB] that
// was opened for reading.
type Source interface {
	Families() []string
	// Scan yields the records with from <= key < to, in the order of the keys. A nil from or to
	// means no bound.
	Scan(ctx context.Context, family string, from, to []byte) iter.Seq2[reorgdb.Record, error]
	BlockHash(height uint64) (hash string, ok bool, err error)
}

// Share is what a source has, and what was taken from it.
type Share struct {
	Has, Taken map[reorgdb.Kind]uint64 // records of the default column family, by kind
	Families   map[string]uint64       // records taken from other column families, by name
	Renumbered uint64                  // how many of the reorg events taken got another id
	// Unknown is the lowest height of a reorg that the source does not know, nil for none.
	Unknown *uint64
	LeftOut uint64 // blocks not taken because of Unknown, at heights that no earlier source gave
	// Gaps counts the heights between the source's blocks at which it has none. Filled counts
	// those of them at which the result has a block.
	Gaps, Filled uint64
	Lacked       uint64 // records other than blocks that other sources gave and this one lacks

	anyBlock bool
	height   uint64 // of the source's latest block
	above    uint64 // how many blocks the result has above height
	below    uint64 // how many blocks the result has below the source's first
}

// Outside returns how many blocks the result has below and above all blocks of the source.
func (s *Share) Outside() uint64 { return s.below + s.above }

// Difference is a record for which a source has a different value than the result.
type Difference struct {
	Family string
	Key    []byte
	// Taken is the index of the source of the result's value. It is -1 if the value comes from
	// no source, or if the result has no record under this key.
	Taken      int
	TakenValue []byte
	Other      int // index of the other source
	OtherValue []byte
	// Renumbered is the id under which the other source's reorg event is in the result, or nil
	// if OtherValue is not in the result.
	Renumbered *uint64
}

// Merge is the result of merging several sources. It is not safe for concurrent use.
type Merge struct {
	// Shares describe what was taken from each source. Shares and Missing are complete after
	// the records of all column families have been yielded.
	Shares []Share
	// Missing counts the heights without a block at which a source has a block that was left
	// out. MissingFrom is the lowest of them.
	Missing, MissingFrom uint64
	// Counter is the next event id. Raised is set if the counters of all sources are lower.
	Counter uint64
	Raised  bool
	// Differ is called for each difference, in the order of the keys, before the record is
	// yielded. Keys and values are valid until it returns. If it returns an error, the records
	// end with that error.
	Differ func(Difference) error

	sources []Source
	events  *events
}

// New reads the reorg events of all sources and decides which of them stay, under which ids. It
// calls newFile for temporary files if there are many events. The error may wrap [ErrNoID]. The
// caller must close the Merge.
func New(ctx context.Context, sources []Source, newFile spill.NewFile) (*Merge, error) {
	m := &Merge{Shares: make([]Share, len(sources)), Differ: func(Difference) error { return nil }, sources: sources}
	for k := range m.Shares {
		m.Shares[k] = Share{Has: map[reorgdb.Kind]uint64{}, Taken: map[reorgdb.Kind]uint64{}, Families: map[string]uint64{}}
	}
	var err error
	if m.events, err = decide(ctx, sources, newFile); err != nil {
		return nil, err
	}
	m.Counter, m.Raised = m.events.counter, m.events.counterFrom < 0 && m.events.counter > 0
	for k := range m.Shares {
		m.Shares[k].Unknown = m.events.unknown[k]
		m.Shares[k].Renumbered = m.events.renumbered[k]
		m.Shares[k].Lacked = m.events.contents - m.events.has[k]
	}
	return m, nil
}

// Close closes the temporary files.
func (m *Merge) Close() error { return m.events.close() }

// Families returns the names of the column families, [reorgdb.DefaultFamily] first.
func (m *Merge) Families() []string {
	names := []string{reorgdb.DefaultFamily}
	for _, s := range m.sources {
		for _, name := range s.Families() {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// Records yields the records of a column family, in the order of the keys, each key once. It may
// be called once for each column family. The iteration ends after an error.
func (m *Merge) Records(ctx context.Context, family string) iter.Seq2[reorgdb.Record, error] {
	if family != reorgdb.DefaultFamily {
		return m.plain(ctx, family, nil, nil)
	}
	first, last := []byte(eventsFrom), []byte(eventsTo)
	counter := []byte(reorgdb.CounterKey)
	return chained(
		m.plain(ctx, family, nil, first),
		m.eventRecords(ctx),
		m.plain(ctx, family, last, counter),
		m.counterRecord(),
		m.plain(ctx, family, append(counter, 0), nil),
	)
}

// chained yields what the parts yield, one after the other.
func chained(parts ...iter.Seq2[reorgdb.Record, error]) iter.Seq2[reorgdb.Record, error] {
	return func(yield func(reorgdb.Record, error) bool) {
		for _, part := range parts {
			for r, err := range part {
				if !yield(r, err) || err != nil {
					return
				}
			}
		}
	}
}

// plain yields the records of a range of keys that does not include events or the counter.
func (m *Merge) plain(ctx context.Context, family string, from, to []byte) iter.Seq2[reorgdb.Record, error] {
	return func(yield func(reorgdb.Record, error) bool) {
		for g, err := range m.groups(ctx, family, from, to) {
			if err != nil {
				yield(reorgdb.Record{}, err)
				return
			}
			taken, err := m.take(family, g)
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

// take decides which source gives a record, nil for none, and updates the shares.
func (m *Merge) take(family string, g group) (*member, error) {
	kind, number := reorgdb.OtherKind, uint64(0)
	if family == reorgdb.DefaultFamily {
		kind, number = reorgdb.KeyKind(g.key)
	}
	taken := &g.members[0]
	if kind == reorgdb.BlockKind {
		taken = m.giver(g, number)
	}
	for i := range g.members {
		m.Shares[g.members[i].source].has(family, kind)
	}
	if kind == reorgdb.BlockKind {
		m.leave(g, taken)
		m.fill(g, number, taken != nil)
	}
	if taken == nil {
		if m.Missing == 0 {
			m.MissingFrom = number
		}
		m.Missing++
		return nil, nil
	}
	m.Shares[taken.source].took(family, kind)
	if kind != reorgdb.BlockKind {
		m.lacking(g)
	}
	for _, other := range g.members {
		if string(other.value) == string(taken.value) {
			continue
		}
		d := Difference{Family: family, Key: g.key, Taken: taken.source, TakenValue: taken.value, Other: other.source, OtherValue: other.value}
		if err := m.Differ(d); err != nil {
			return nil, err
		}
	}
	return taken, nil
}

// giver returns the first member that may give the block at a height, or nil.
func (m *Merge) giver(g group, height uint64) *member {
	for i := range g.members {
		if u := m.Shares[g.members[i].source].Unknown; u == nil || height < *u {
			return &g.members[i]
		}
	}
	return nil
}

// leave counts the blocks of the sources before the one that was taken: they were left out.
func (m *Merge) leave(g group, taken *member) {
	for i := range g.members {
		if &g.members[i] == taken {
			return
		}
		m.Shares[g.members[i].source].LeftOut++
	}
}

// fill updates the gaps of the sources for the block at a height.
func (m *Merge) fill(g group, height uint64, taken bool) {
	for k, rest := 0, g.members; k < len(m.Shares); k++ {
		s := &m.Shares[k]
		if len(rest) == 0 || rest[0].source != k {
			if taken {
				s.above++
			}
			continue
		}
		rest = rest[1:]
		if s.anyBlock {
			s.Gaps += height - s.height - 1
			s.Filled += s.above
		} else {
			s.below = s.above
		}
		s.anyBlock, s.height, s.above = true, height, 0
	}
}

// lacking counts a record for the sources that lack it.
func (m *Merge) lacking(g group) {
	for k, rest := 0, g.members; k < len(m.Shares); k++ {
		if len(rest) > 0 && rest[0].source == k {
			rest = rest[1:]
			continue
		}
		m.Shares[k].Lacked++
	}
}

func (s *Share) has(family string, kind reorgdb.Kind) {
	if family == reorgdb.DefaultFamily {
		s.Has[kind]++
	}
}

func (s *Share) took(family string, kind reorgdb.Kind) {
	if family == reorgdb.DefaultFamily {
		s.Taken[kind]++
	} else {
		s.Families[family]++
	}
}

// counterRecord yields the counter, if there is one.
func (m *Merge) counterRecord() iter.Seq2[reorgdb.Record, error] {
	return func(yield func(reorgdb.Record, error) bool) {
		key, from, value := []byte(reorgdb.CounterKey), m.events.counterFrom, strconv.AppendUint(nil, m.Counter, 10)
		for k, stored := range m.events.counters {
			if stored != nil {
				m.Shares[k].Has[reorgdb.CounterKind]++
			}
		}
		switch {
		case from >= 0:
			value = m.events.counters[from]
			m.Shares[from].Taken[reorgdb.CounterKind]++
		case m.Counter == 0:
			return
		}
		for k, stored := range m.events.counters {
			if stored == nil || string(stored) == string(value) {
				continue
			}
			d := Difference{Family: reorgdb.DefaultFamily, Key: key, Taken: from, TakenValue: value, Other: k, OtherValue: stored}
			if err := m.Differ(d); err != nil {
				yield(reorgdb.Record{}, err)
				return
			}
		}
		yield(reorgdb.Record{Key: key, Value: value}, nil)
	}
}
