package reorgmerge_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"math/rand"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/reorgmerge"
	"ailee-recovery/reorgdb"
)

// database is a database in memory: values by column family and key.
type database map[string]map[string]string

// records makes a database with records of the default column family: alternating keys and
// values.
func records(pairs ...string) database {
	d := database{reorgdb.DefaultFamily: {}}
	for i := 0; i < len(pairs); i += 2 {
		d[reorgdb.DefaultFamily][pairs[i]] = pairs[i+1]
	}
	return d
}

func (d database) Families() []string { return slices.Sorted(maps.Keys(d)) }

func (d database) Scan(_ context.Context, family string, from, to []byte) iter.Seq2[reorgdb.Record, error] {
	return func(yield func(reorgdb.Record, error) bool) {
		buf := make([]byte, 0, 1024)
		for _, key := range slices.Sorted(maps.Keys(d[family])) {
			if key < string(from) || to != nil && key >= string(to) {
				continue
			}
			// This overwrites the record that was yielded before.
			buf = append(append(buf[:0], key...), d[family][key]...)
			if !yield(reorgdb.Record{Key: buf[:len(key):len(key)], Value: buf[len(key):]}, nil) {
				return
			}
		}
	}
}

func (d database) BlockHash(height uint64) (string, bool, error) {
	hash, ok := d[reorgdb.DefaultFamily][blockKey(height)]
	return hash, ok, nil
}

func blockKey(height uint64) string { return fmt.Sprintf("block:%020d", height) }
func eventKey(id uint64) string     { return string(reorgdb.EventKey(id)) }

// event returns the value of a reorg event.
func event(height uint64, before, after string) string {
	return fmt.Sprintf("%d|%s|%s|5|0", height, before, after)
}

// result is the result of a merge.
type result struct {
	records     database
	differences []string
	shares      []reorgmerge.Share
	missing     uint64
	missingFrom uint64
	counter     uint64
}

func temporary(t *testing.T) func() (*os.File, error) {
	dir := t.TempDir()
	return func() (*os.File, error) { return durable.Unnamed(dir + "/x") }
}

func merged(t *testing.T, sources ...database) result {
	t.Helper()
	var all []reorgmerge.Source
	for _, s := range sources {
		all = append(all, s)
	}
	m, err := reorgmerge.New(t.Context(), all, temporary(t))
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	r := result{records: database{}}
	m.Differ = func(d reorgmerge.Difference) error {
		r.differences = append(r.differences, differenceText(d.Family, string(d.Key), d.Taken, string(d.TakenValue), d.Other, string(d.OtherValue), d.Renumbered))
		return nil
	}
	for _, family := range m.Families() {
		r.records[family] = map[string]string{}
		last := ""
		for one, err := range m.Records(t.Context(), family) {
			require.NoError(t, err)
			key := string(one.Key)
			require.True(t, last == "" && len(r.records[family]) == 0 || last < key, "%q comes after %q", key, last)
			r.records[family][key], last = string(one.Value), key
		}
	}
	r.shares, r.missing, r.missingFrom, r.counter = m.Shares, m.Missing, m.MissingFrom, m.Counter
	return r
}

func differenceText(family, key string, taken int, takenValue string, other int, value string, renumbered *uint64) string {
	text := fmt.Sprintf("%s/%s: %d %q, %d %q", family, key, taken, takenValue, other, value)
	if renumbered != nil {
		text += fmt.Sprintf(" is %d", *renumbered)
	}
	return text
}

// TestTheFirstThatHasIt gives a record, and later sources fill in what it lacks.
func TestTheFirstThatHasIt(t *testing.T) {
	live := records("anchor:a", "live a", blockKey(1), "h1", blockKey(3), "h3", "odd", "x", reorgdb.CounterKey, "0")
	backup := records("anchor:a", "old a", "anchor:b", "old b", blockKey(1), "h1", blockKey(2), "h2", blockKey(3), "other", reorgdb.CounterKey, "0")
	backup["reputation_cf"] = map[string]string{"peer": "1"}
	older := records("anchor:c", "oldest c", "anchor:b", "oldest b", reorgdb.CounterKey, "0")
	older["reputation_cf"] = map[string]string{"peer": "2", "other": "3"}
	r := merged(t, live, backup, older)
	want := records("anchor:a", "live a", "anchor:b", "old b", "anchor:c", "oldest c", blockKey(1), "h1", blockKey(2), "h2", blockKey(3), "h3", "odd", "x", reorgdb.CounterKey, "0")
	want["reputation_cf"] = map[string]string{"peer": "1", "other": "3"}
	require.Equal(t, want, r.records)
	require.Equal(t, []string{
		`default/anchor:a: 0 "live a", 1 "old a"`,
		`default/anchor:b: 1 "old b", 2 "oldest b"`,
		`default/block:00000000000000000003: 0 "h3", 1 "other"`,
		`reputation_cf/peer: 1 "1", 2 "2"`,
	}, r.differences)
	require.Equal(t, map[reorgdb.Kind]uint64{reorgdb.AnchorKind: 1, reorgdb.BlockKind: 2, reorgdb.OtherKind: 1, reorgdb.CounterKind: 1}, r.shares[0].Taken)
	require.Equal(t, map[reorgdb.Kind]uint64{reorgdb.AnchorKind: 1, reorgdb.BlockKind: 1}, r.shares[1].Taken)
	require.Equal(t, map[reorgdb.Kind]uint64{reorgdb.AnchorKind: 2, reorgdb.BlockKind: 3, reorgdb.CounterKind: 1}, r.shares[1].Has)
	require.Equal(t, map[string]uint64{"reputation_cf": 1}, r.shares[1].Families)
	require.Equal(t, map[string]uint64{"reputation_cf": 1}, r.shares[2].Families)
	require.EqualValues(t, 1, r.shares[0].Gaps)
	require.EqualValues(t, 1, r.shares[0].Filled)
	require.EqualValues(t, 4, r.shares[0].Lacked)
}

// TestNoBlockOfAReorgThatIsNotKnown: the backup was made before the reorg.
func TestNoBlockOfAReorgThatIsNotKnown(t *testing.T) {
	live := records(blockKey(10), "a10", blockKey(12), "new12", eventKey(0), event(12, "old12", "new12"), reorgdb.CounterKey, "1")
	backup := records(blockKey(9), "a9", blockKey(11), "a11", blockKey(12), "old12", blockKey(13), "old13")
	r := merged(t, live, backup)
	require.Equal(t, records(blockKey(9), "a9", blockKey(10), "a10", blockKey(11), "a11", blockKey(12), "new12",
		eventKey(0), event(12, "old12", "new12"), reorgdb.CounterKey, "1"), r.records)
	require.Nil(t, r.shares[0].Unknown)
	require.EqualValues(t, 12, *r.shares[1].Unknown)
	require.EqualValues(t, 1, r.shares[1].LeftOut)
	require.EqualValues(t, 1, r.missing)
	require.EqualValues(t, 13, r.missingFrom)
	require.Equal(t, []string{`default/block:00000000000000000012: 0 "new12", 1 "old12"`}, r.differences)

	// A database that was recreated has the new hash, and no event.
	recreated := records(blockKey(12), "new12", blockKey(13), "new13")
	r = merged(t, live, recreated, backup)
	require.Nil(t, r.shares[1].Unknown)
	require.Equal(t, "new13", r.records[reorgdb.DefaultFamily][blockKey(13)])
	require.Zero(t, r.missing)

	// As the first source, a database gives its blocks even if it has none at that height.
	r = merged(t, records(blockKey(13), "new13"), backup, live)
	require.Nil(t, r.shares[0].Unknown)
	require.EqualValues(t, 12, *r.shares[1].Unknown)
	require.Equal(t, "new13", r.records[reorgdb.DefaultFamily][blockKey(13)])
	require.Equal(t, "new12", r.records[reorgdb.DefaultFamily][blockKey(12)])

	// A block that the reorg is known to have replaced is not taken from the first source either.
	r = merged(t, backup, live)
	require.EqualValues(t, 12, *r.shares[0].Unknown)
	require.Equal(t, "new12", r.records[reorgdb.DefaultFamily][blockKey(12)])
	require.NotContains(t, r.records[reorgdb.DefaultFamily], blockKey(13))
	require.Equal(t, []string{`default/block:00000000000000000012: 1 "new12", 0 "old12"`}, r.differences)
	require.EqualValues(t, 2, r.shares[0].LeftOut)
	require.EqualValues(t, 1, r.missing)

	// A source knows the reorg if the event has another id, or an id that a node reads leniently.
	for _, key := range []string{eventKey(7), "reorg:+7x"} {
		knowing := maps.Clone(backup[reorgdb.DefaultFamily])
		knowing[key] = event(12, "old12", "new12")
		require.Nil(t, merged(t, live, database{reorgdb.DefaultFamily: knowing}).shares[1].Unknown)
	}
}

// TestEventsWithOneID: if two events have the same id, both stay, and the counter is above them.
func TestEventsWithOneID(t *testing.T) {
	e := func(n int) string { return event(0, "", fmt.Sprint(n)) }
	live := records(eventKey(0), e(1), eventKey(1), e(2), reorgdb.CounterKey, "2")
	backup := records(eventKey(0), e(1), eventKey(1), e(3), eventKey(2), e(2), eventKey(4), e(4), reorgdb.CounterKey, "5")
	older := records("reorg:1", e(5), eventKey(4), e(3), "reorg:x", "odd", reorgdb.CounterKey, "3\n")
	r := merged(t, live, backup, older)
	require.Equal(t, records(eventKey(0), e(1), eventKey(1), e(2), eventKey(4), e(4), eventKey(5), e(3), eventKey(6), e(5), "reorg:x", "odd", reorgdb.CounterKey, "7"), r.records)
	require.Equal(t, []string{
		differenceText("default", eventKey(1), 0, e(2), 1, e(3), ptr(5)),
		differenceText("default", "reorg:1", -1, "", 2, e(5), ptr(6)),
		differenceText("default", reorgdb.CounterKey, -1, "7", 0, "2", nil),
		differenceText("default", reorgdb.CounterKey, -1, "7", 1, "5", nil),
		differenceText("default", reorgdb.CounterKey, -1, "7", 2, "3\n", nil),
	}, r.differences)
	require.EqualValues(t, 7, r.counter)
	require.EqualValues(t, 1, r.shares[1].Renumbered)
	require.EqualValues(t, 2, r.shares[1].Taken[reorgdb.EventKind])

	// Merging the result with the same sources changes nothing.
	require.Equal(t, r.records, merged(t, r.records, live, backup, older).records)

	// If a source has the right counter, it stays as it is stored.
	r = merged(t, records(eventKey(2), e(1)), records(reorgdb.CounterKey, " 3x"))
	require.Equal(t, " 3x", r.records[reorgdb.DefaultFamily][reorgdb.CounterKey])
	require.Empty(t, r.differences)
	// The highest possible id does not raise the counter.
	r = merged(t, records("reorg:-1", e(1)), records("reorg:-1", e(2)))
	require.Equal(t, records("reorg:-1", e(1), eventKey(0), e(2), reorgdb.CounterKey, "1"), r.records)
	// Without events there is no counter.
	require.Equal(t, records(), merged(t, records(), records()).records)
	require.Equal(t, records(reorgdb.CounterKey, "x"), merged(t, records(), records(reorgdb.CounterKey, "x")).records)

	_, err := reorgmerge.New(t.Context(), []reorgmerge.Source{records(eventKey(0), e(1), reorgdb.CounterKey, fmt.Sprint(uint64(math.MaxUint64))), records(eventKey(0), e(2))}, temporary(t))
	require.ErrorIs(t, err, reorgmerge.ErrNoID)
}

func ptr(n uint64) *uint64 { return &n }

// reference is a slow and simple merge, source by source, with everything in memory.
func reference(sources []database) (r result) {
	r.records = database{}
	differ := func(family, key string, taken int, takenValue string, other int, value string, renumbered *uint64) {
		r.differences = append(r.differences, differenceText(family, key, taken, takenValue, other, value, renumbered))
	}
	unknown := make([]uint64, len(sources))
	for k := range unknown {
		unknown[k] = math.MaxUint64
		for _, s := range sources {
			for _, reorg := range reorgsOf(s) {
				if slices.ContainsFunc(reorgsOf(sources[k]), func(own reorgdb.ReorgEvent) bool {
					return own.Height == reorg.Height && own.OldBlockHash == reorg.OldBlockHash && own.NewBlockHash == reorg.NewBlockHash
				}) {
					continue
				}
				hash, ok, _ := sources[k].BlockHash(reorg.Height)
				stale := !ok || hash != reorg.NewBlockHash
				if k == 0 {
					stale = ok && hash == reorg.OldBlockHash && hash != reorg.NewBlockHash
				}
				if stale {
					unknown[k] = min(unknown[k], reorg.Height)
				}
			}
		}
	}
	keys := map[string]map[string]bool{}
	for _, s := range sources {
		for family, records := range s {
			for key := range records {
				if keys[family] == nil {
					keys[family] = map[string]bool{}
				}
				keys[family][key] = true
			}
			if r.records[family] == nil {
				r.records[family] = map[string]string{}
			}
		}
	}
	for family := range keys {
		for key := range keys[family] {
			kind, number := reorgdb.OtherKind, uint64(0)
			if family == reorgdb.DefaultFamily {
				kind, number = reorgdb.KeyKind([]byte(key))
			}
			if kind == reorgdb.EventKind || kind == reorgdb.CounterKind {
				continue
			}
			taken := -1
			for k, s := range sources {
				if _, has := s[family][key]; has && taken < 0 && (kind != reorgdb.BlockKind || number < unknown[k]) {
					taken = k
				}
			}
			if taken < 0 {
				if r.missing == 0 || number < r.missingFrom {
					r.missingFrom = number
				}
				r.missing++
				continue
			}
			value := sources[taken][family][key]
			r.records[family][key] = value
			for k, s := range sources {
				if other, has := s[family][key]; has && other != value {
					differ(family, key, taken, value, k, other, nil)
				}
			}
		}
	}
	referenceEvents(sources, r.records[reorgdb.DefaultFamily], &r, differ)
	slices.Sort(r.differences)
	return r
}

func reorgsOf(d database) (all []reorgdb.ReorgEvent) {
	for key, value := range d[reorgdb.DefaultFamily] {
		if kind, id := reorgdb.KeyKind([]byte(key)); kind == reorgdb.EventKind {
			if e, err := reorgdb.ParseEvent(id, []byte(value)); err == nil {
				all = append(all, e)
			}
		}
	}
	return all
}

func referenceEvents(sources []database, records map[string]string, r *result, differ func(string, string, int, string, int, string, *uint64)) {
	type owner struct {
		source  int
		changed bool
		key     string
		content string
		id      uint64
	}
	contents, ids, next := map[string]int{}, map[uint64]int{}, uint64(0)
	var owners []owner
	for k, s := range sources {
		for _, key := range slices.Sorted(maps.Keys(s[reorgdb.DefaultFamily])) {
			value := s[reorgdb.DefaultFamily][key]
			kind, id := reorgdb.KeyKind([]byte(key))
			if kind == reorgdb.CounterKind {
				n, _ := reorgdb.ParseCounter([]byte(value))
				next = max(next, n)
			}
			if kind != reorgdb.EventKind {
				continue
			}
			if id != math.MaxUint64 {
				next = max(next, id+1)
			}
			if first, seen := contents[value]; seen && first != k {
				continue
			}
			contents[value] = k
			first, taken := ids[id]
			if !taken {
				ids[id] = k
			}
			owners = append(owners, owner{k, taken && first != k, key, value, id})
		}
	}
	for _, o := range owners {
		if !o.changed {
			records[o.key] = o.content
		}
	}
	for _, o := range owners {
		if o.changed {
			taken, value := -1, ""
			for _, other := range owners {
				if !other.changed && other.key == o.key {
					taken, value = other.source, other.content
				}
			}
			id := next
			differ(reorgdb.DefaultFamily, o.key, taken, value, o.source, o.content, &id)
			records[eventKey(id)] = o.content
			next++
		}
	}
	r.counter = next
	counter, from := "", -1
	for k, s := range sources {
		if value, has := s[reorgdb.DefaultFamily][reorgdb.CounterKey]; has && from < 0 {
			if n, _ := reorgdb.ParseCounter([]byte(value)); n == next {
				counter, from = value, k
			}
		}
	}
	if from < 0 && next > 0 {
		counter = fmt.Sprint(next)
	}
	if counter == "" && from < 0 {
		return
	}
	records[reorgdb.CounterKey] = counter
	for k, s := range sources {
		if value, has := s[reorgdb.DefaultFamily][reorgdb.CounterKey]; has && value != counter {
			differ(reorgdb.DefaultFamily, reorgdb.CounterKey, from, counter, k, value, nil)
		}
	}
}

// random makes a database of few keys and values, so that several databases often have the same.
func random(rng *rand.Rand) database {
	d := records()
	records := d[reorgdb.DefaultFamily]
	letter := func() string { return string(rune('a' + rng.Intn(3))) }
	some := func(n int, add func()) {
		for range rng.Intn(n + 1) {
			add()
		}
	}
	some(8, func() { records[blockKey(uint64(rng.Intn(8)))] = letter() })
	some(3, func() { records["anchor:"+letter()] = letter() })
	some(4, func() {
		id := uint64(rng.Intn(4))
		key := eventKey(id)
		switch rng.Intn(8) {
		case 0:
			key = fmt.Sprintf("reorg:%d", id)
		case 1:
			key = fmt.Sprintf("reorg:%d|", id)
		case 2:
			key = "reorg:-1"
		}
		value := event(uint64(rng.Intn(8)), letter(), letter())
		if rng.Intn(6) == 0 {
			value = letter()
		}
		records[key] = value
	})
	some(1, func() { records["reorg:"+letter()] = letter() })
	some(1, func() { records["block:"+letter()] = letter() })
	some(1, func() { records["z"+letter()] = letter() })
	some(1, func() { records["reorg;"+letter()] = letter() })
	some(1, func() { records["reorg_counter"+letter()] = letter() })
	some(1, func() {
		records[reorgdb.CounterKey] = []string{"0", "1", "2", "3", "4", "5", "+3x", "", "x", "18446744073709551000"}[rng.Intn(10)]
	})
	some(1, func() { d["cf_"+letter()] = map[string]string{letter(): letter()} })
	return d
}

// TestRandomSources merges random databases, and compares the result with the reference.
func TestRandomSources(t *testing.T) {
	rounds := 20_000
	if testing.Short() {
		rounds = 3000
	}
	rng := rand.New(rand.NewSource(1))
	seen := map[string]bool{}
	for range rounds {
		sources := make([]database, 1+rng.Intn(4))
		for k := range sources {
			sources[k] = random(rng)
		}
		want, got := reference(sources), merged(t, sources...)
		require.Equal(t, want.records, got.records, "%v", sources)
		slices.Sort(got.differences)
		require.Equal(t, want.differences, got.differences, "%v", sources)
		require.Equal(t, want.missing, got.missing, "%v", sources)
		require.Equal(t, want.missingFrom, got.missingFrom, "%v", sources)
		require.Equal(t, want.counter, got.counter, "%v", sources)
		checkShares(t, sources, got)
		for k, s := range got.shares {
			seen["renumbered"] = seen["renumbered"] || s.Renumbered > 1
			seen["left out"] = seen["left out"] || s.LeftOut > 0
			seen["left out of the first"] = seen["left out of the first"] || k == 0 && s.LeftOut > 0
			seen["filled"] = seen["filled"] || s.Filled > 0
		}
		seen["missing"] = seen["missing"] || got.missing > 0
	}
	require.Len(t, seen, 5)
	for what, was := range seen {
		require.True(t, was, what)
	}
}

// checkShares checks the counts of what each source has and gave.
func checkShares(t *testing.T, sources []database, got result) {
	t.Helper()
	all, families := uint64(0), uint64(0)
	for k, share := range got.shares {
		has := map[reorgdb.Kind]uint64{}
		var heights []uint64
		for key := range sources[k][reorgdb.DefaultFamily] {
			kind, number := reorgdb.KeyKind([]byte(key))
			has[kind]++
			if kind == reorgdb.BlockKind {
				heights = append(heights, number)
			}
		}
		require.Equal(t, has, share.Has)
		for _, n := range share.Taken {
			all += n
		}
		for _, n := range share.Families {
			families += n
		}
		gaps, filled := uint64(0), uint64(0)
		if len(heights) > 0 {
			for height := slices.Min(heights); height <= slices.Max(heights); height++ {
				if _, has := sources[k][reorgdb.DefaultFamily][blockKey(height)]; !has {
					gaps++
					if _, there := got.records[reorgdb.DefaultFamily][blockKey(height)]; there {
						filled++
					}
				}
			}
		}
		require.Equal(t, gaps, share.Gaps, "%v", sources)
		require.Equal(t, filled, share.Filled, "%v", sources)
		outside := uint64(0)
		for key := range got.records[reorgdb.DefaultFamily] {
			kind, height := reorgdb.KeyKind([]byte(key))
			if kind == reorgdb.BlockKind && (len(heights) == 0 || height < slices.Min(heights) || height > slices.Max(heights)) {
				outside++
			}
		}
		require.Equal(t, outside, share.Outside(), "%v", sources)
	}
	if !slices.ContainsFunc(got.differences, func(d string) bool { return strings.HasPrefix(d, "default/reorg_counter: -1") }) {
		_, counted := got.records[reorgdb.DefaultFamily][reorgdb.CounterKey]
		made := counted && all+1 == uint64(len(got.records[reorgdb.DefaultFamily]))
		require.True(t, made || all == uint64(len(got.records[reorgdb.DefaultFamily])), "%v", sources)
	}
	count := 0
	for family, records := range got.records {
		if family != reorgdb.DefaultFamily {
			count += len(records)
		}
	}
	require.EqualValues(t, count, families)
}

// endless is a database that is generated while it is read: up to the given numbers of blocks,
// anchors and events, some of which are left out.
type endless struct {
	blocks, anchors, events int
	skip                    int    // every skip-th record is left out
	state                   string // of the anchors and events
	yielded                 *int
}

func (e endless) Families() []string { return []string{reorgdb.DefaultFamily} }

func (e endless) BlockHash(uint64) (string, bool, error) { return "hash", true, nil }

func (e endless) Scan(_ context.Context, _ string, from, to []byte) iter.Seq2[reorgdb.Record, error] {
	return func(yield func(reorgdb.Record, error) bool) {
		var key, value []byte
		for _, part := range []struct {
			n             int
			prefix, value string
		}{{e.anchors, "anchor:%064d", e.state}, {e.blocks, "block:%020d", "hash"}, {e.events, "reorg:%020d", "5|hash|hash|%d|0" + e.state}} {
			low, high := fmt.Sprintf(part.prefix, 0), fmt.Sprintf(part.prefix, part.n)
			if to != nil && low >= string(to) || high < string(from) {
				continue
			}
			for i := range part.n {
				if i%e.skip == 1 {
					continue
				}
				key = fmt.Appendf(key[:0], part.prefix, i)
				value = append(value[:0], part.value...)
				if strings.Contains(part.value, "%d") {
					value = fmt.Appendf(value[:0], part.value, i)
				}
				*e.yielded++
				if !yield(reorgdb.Record{Key: key, Value: value}, nil) {
					return
				}
			}
		}
	}
}

// TestMemoryDoesNotGrow: memory does not grow with the databases, even if all their anchors
// differ and all events of one get a new id.
func TestMemoryDoesNotGrow(t *testing.T) {
	n := 1_000_000
	if testing.Short() {
		n = 50_000
	}
	yielded := 0
	sources := []reorgmerge.Source{endless{n, n, n, 10, "live", &yielded}, endless{n, n, n, 11, "backup", &yielded}}
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	most := uint64(0)
	look := func() {
		runtime.ReadMemStats(&now)
		if now.HeapAlloc > before.HeapAlloc {
			most = max(most, now.HeapAlloc-before.HeapAlloc)
		}
	}
	m, err := reorgmerge.New(t.Context(), sources, temporary(t))
	require.NoError(t, err)
	look()
	differences, count := 0, 0
	m.Differ = func(reorgmerge.Difference) error {
		differences++
		return nil
	}
	for _, err := range m.Records(t.Context(), reorgdb.DefaultFamily) {
		require.NoError(t, err)
		if count++; count%(n/20) == 0 {
			look()
		}
	}
	require.NoError(t, m.Close())
	require.Less(t, most, uint64(64<<20))
	require.Greater(t, differences, n*8/10)
	require.Greater(t, count, 3*n)
}

// TestErrors: errors of reading a source and of Differ end the records.
func TestErrors(t *testing.T) {
	broken := errors.New("broken")
	sound := records(blockKey(1), "a", eventKey(0), "x", reorgdb.CounterKey, "1")
	for _, at := range []string{blockKey(2), eventKey(1), reorgdb.CounterKey, "z"} {
		failing := failingAt{records(blockKey(1), "b", blockKey(2), "x", eventKey(0), "y", eventKey(1), "x", reorgdb.CounterKey, "2", "z", "x"), at, broken}
		for _, sources := range [][]reorgmerge.Source{{sound, failing}, {failing, sound}} {
			m, err := reorgmerge.New(t.Context(), sources, temporary(t))
			if err == nil {
				for _, one := range m.Records(t.Context(), reorgdb.DefaultFamily) {
					if err = one; err != nil {
						break
					}
				}
				require.NoError(t, m.Close())
			}
			require.ErrorIs(t, err, broken, at)
		}
	}
	m, err := reorgmerge.New(t.Context(), []reorgmerge.Source{sound, records(blockKey(1), "b")}, temporary(t))
	require.NoError(t, err)
	m.Differ = func(reorgmerge.Difference) error { return broken }
	for _, err = range m.Records(t.Context(), reorgdb.DefaultFamily) {
		break
	}
	require.ErrorIs(t, err, broken)
	require.NoError(t, m.Close())
}

// failingAt is a database that cannot be read at or after a key.
type failingAt struct {
	database
	key string
	err error
}

func (f failingAt) Scan(ctx context.Context, family string, from, to []byte) iter.Seq2[reorgdb.Record, error] {
	return func(yield func(reorgdb.Record, error) bool) {
		for r, err := range f.database.Scan(ctx, family, from, to) {
			if string(r.Key) == f.key {
				yield(reorgdb.Record{}, f.err)
				return
			}
			if !yield(r, err) {
				return
			}
		}
	}
}
