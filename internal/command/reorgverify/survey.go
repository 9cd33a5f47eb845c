package reorgverify

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/reorgdb"
)

// finding is something that an operator should know.
type finding struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	// Wrong is set if the data is wrong, and not set for a warning.
	Wrong bool `json:"wrong"`
}

// The kinds of findings.
const (
	unreadable    = "unreadable-record" // no node can read it
	oddKey        = "odd-key"           // begins like the key of a record, but no node asks for it
	oddRecord     = "odd-record"        // in a form that nodes read but never write
	endsNode      = "ends-node"         // a node that reads it crashes
	keyMismatch   = "key-mismatch"      // an anchor's key and record name different anchors
	shortEvent    = "short-event"       // lists fewer anchors than it announces
	counterBehind = "counter-behind"    // the next event would get an id that is taken
	missingEvents = "missing-events"    // ids below the counter without an event
	badCounter    = "bad-counter"
	strangeHash   = "strange-hash"
	strangeStatus = "strange-status"
	gap           = "gap" // heights without a block hash
	orphaned      = "orphaned-anchor"
	invalidated   = "invalidated-anchor"
	missingAnchor = "missing-anchor"
	damage        = "damage"
	beingMade     = "being-made" // a process was killed while it made the database
	noSnapshot    = "snapshot"
	notRecorded   = "anchors-not-recorded" // anchors of any snapshots of the file
	otherRoot     = "other-state-root"     // an anchor's record and its snapshot disagree

	// Found by comparing with a Bitcoin node.
	wrongHash      = "wrong-block-hash"    // not the hash in the active chain
	countedHeights = "counted-heights"     // the number of blocks that the node had seen, stored as the height
	notAnchored    = "anchor-not-in-chain" // confirmed, but its transaction is not in the active chain
	notCommitted   = "commitment-missing"  // its transaction carries something else
	wrongHeight    = "wrong-anchor-height" // its transaction is in another block
	noAnswer       = "not-compared"        // the Bitcoin node could not answer
)

// maxListed bounds how many findings of each kind are listed. The rest are only counted.
const maxListed = 100

// survey is the result of reading the whole database.
type survey struct {
	recentWanted int
	nowMs        uint64

	kinds    map[reorgdb.Kind]uint64
	families map[string]uint64 // records by column family, except for the default one
	statuses map[reorgdb.AnchorStatus]uint64
	orphans  uint64

	blocks          uint64
	lowest, highest uint64 // heights
	gaps            uint64 // heights without a hash between the lowest and the highest

	recent  []reorgdb.ReorgEvent // by id, the newest last
	events  reorgtool.EventIDs
	counter uint64 // 0 where there is no counter record
	written uint64 // one above the last id in a key as nodes write it

	chain     *onChain         // nil unless a Bitcoin node was asked
	snapshots *snapshotAnchors // nil unless a snapshot file was compared

	found    []finding
	counts   map[string]int
	problems int // findings that are wrong
}

func newSurvey(recent int, nowMs uint64) *survey {
	return &survey{recentWanted: recent, nowMs: nowMs, kinds: map[reorgdb.Kind]uint64{}, families: map[string]uint64{},
		statuses: map[reorgdb.AnchorStatus]uint64{}, counts: map[string]int{}}
}

// add adds a finding, and makes its message printable.
func (s *survey) add(kind string, wrong bool, format string, args ...any) {
	s.counts[kind]++
	if wrong {
		s.problems++
	}
	if s.counts[kind] <= maxListed {
		s.found = append(s.found, finding{Kind: kind, Wrong: wrong, Message: terminal.Text(fmt.Sprintf(format, args...))})
	}
}

// read reads all column families.
func (s *survey) read(ctx context.Context, db *reorgdb.DB) error {
	for r, err := range db.Rows(ctx) {
		switch {
		case err != nil:
			return err
		case r.Key == nil:
			s.blockRow(r.First, r.Last)
		default:
			s.record(r.Key, r.Value)
		}
	}
	for _, family := range db.Families() {
		if family == reorgdb.DefaultFamily {
			continue
		}
		s.families[family] = 0
		for _, err := range db.Records(ctx, family) {
			if err != nil {
				return err
			}
			s.families[family]++
		}
	}
	s.conclude()
	return nil
}

// record checks a record of the default column family.
func (s *survey) record(key, value []byte) {
	kind, number := reorgdb.KeyKind(key)
	if kind == reorgdb.BlockKind {
		s.block(number, value)
		return
	}
	s.kinds[kind]++
	switch kind {
	case reorgdb.AnchorKind:
		s.anchor(key, value)
	case reorgdb.EventKind:
		s.event(key, number, value)
	case reorgdb.CounterKind:
		s.readCounter(value)
	case reorgdb.OddKind:
		s.add(oddKey, true, "no node asks for the key %q", key)
		if reorgdb.IsEventKey(key) {
			// A node reads the value before it looks at the id.
			if _, err := reorgdb.ParseEvent(0, value); errors.Is(err, reorgdb.ErrEndsNode) {
				s.add(endsNode, true, "record %q: %v", key, err)
			}
		}
	}
}

func (s *survey) block(height uint64, hash []byte) {
	s.blockRow(height, height)
	if !reorgdb.IsBlockHash(hash) {
		s.add(strangeHash, false, "the block hash at height %d is %q", height, hash)
	}
}

// blockRow counts a block at each height from first to last, both included.
func (s *survey) blockRow(first, last uint64) {
	if s.blocks == 0 {
		s.lowest = first
	} else if first != s.highest+1 {
		s.gaps += first - s.highest - 1
		s.add(gap, false, "no block hash from height %d to %d", s.highest+1, first-1)
	}
	s.highest = last
	s.blocks += last - first + 1
}

func (s *survey) anchor(key, value []byte) {
	a, err := reorgdb.ParseAnchor(value)
	if err != nil {
		s.add(unreadable, true, "record %q: %v", key, err)
		return
	}
	s.statuses[a.Status]++
	if name := string(reorgdb.AnchorKey(a.Hash)); name != string(key) {
		s.add(keyMismatch, true, "record %q names anchor %q", key, a.Hash)
	}
	if a.AfterRoot() != "" {
		s.add(oddRecord, false, "record %q: its state root ends at a newline, and a node reads it as %q", key, a.L2StateRoot)
	}
	if a.Status < reorgdb.Pending || a.Status > reorgdb.FailedOrphaned {
		s.add(strangeStatus, false, "anchor %s has status %d, which no node writes", a.Hash, a.Status)
	}
	if a.Orphaned(s.nowMs) {
		s.orphans++
		s.add(orphaned, false, "anchor %s has been pending for more than an hour without a confirmation (transaction %s)", a.Hash, a.BitcoinTxID)
	}
}

func (s *survey) readCounter(value []byte) {
	n, err := reorgdb.ParseCounter(value)
	s.counter = n
	switch {
	case err != nil:
		s.add(badCounter, true, "reorg_counter is %q: a node reads it as 0 and would overwrite the first events", value)
	case string(value) != strconv.FormatUint(n, 10):
		s.add(oddRecord, false, "reorg_counter is %q, which a node reads as %d", value, n)
	}
}

func (s *survey) event(key []byte, id uint64, value []byte) {
	s.events.Add(id)
	if bytes.Equal(key, reorgdb.EventKey(id)) {
		s.written = id + 1
	} else {
		s.add(oddRecord, false, "a node reads record %q as reorg event %d, though no node writes that key", key, id)
	}
	e, err := reorgdb.ParseEvent(id, value)
	switch {
	case errors.Is(err, reorgdb.ErrEndsNode):
		s.add(endsNode, true, "reorg event %d: %v", id, err)
		return
	case err != nil:
		s.add(unreadable, true, "reorg event %d: %v", id, err)
		return
	case e.Missing > 0:
		s.add(shortEvent, true, "reorg event %d announces %d more anchors than it names", id, e.Missing)
	}
	s.keepRecent(e)
}

// keepRecent keeps the events with the highest ids. Of events with the same id, a node lists
// the one that it reads first before the others.
func (s *survey) keepRecent(e reorgdb.ReorgEvent) {
	at, _ := slices.BinarySearchFunc(s.recent, e.ID, func(e reorgdb.ReorgEvent, id uint64) int { return cmp.Compare(e.ID, id) })
	s.recent = slices.Insert(s.recent, at, e)
	if len(s.recent) > s.recentWanted {
		s.recent = s.recent[1:]
	}
}

// conclude compares the counter with the ids.
func (s *survey) conclude() {
	s.kinds[reorgdb.BlockKind] = s.blocks
	for first, last := range s.events.Missing(0) {
		s.add(missingEvents, true, "no reorg event from id %d to %d", first, last)
	}
	switch next := s.events.Next(); {
	case s.counter > next:
		s.add(missingEvents, true, "no reorg event from id %d to %d, though reorg_counter is %d", next, s.counter-1, s.counter)
	case s.counter < s.written:
		s.add(counterBehind, true, "reorg_counter is %d, but there is an event with id %d: a node would overwrite it", s.counter, s.written-1)
	case s.counter < next:
		s.add(counterBehind, true, "reorg_counter is %d, but there is an event with id %d: a node would give that id to another event", s.counter, next-1)
	}
}
