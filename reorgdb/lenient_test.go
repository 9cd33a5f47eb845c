package reorgdb_test

import (
	"cmp"
	"fmt"
	"math/big"
	"math/rand"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/golden"
	"ailee-recovery/reorgdb"
)

var stoullText = regexp.MustCompile(`^[ \t\n\v\f\r]*([+-]?)([0-9]+)`)

// stoull is std::stoull, implemented with numbers of any size: std::stoull throws on numbers of
// more than 64 bits, and a minus sign negates modulo 2^64.
func stoull(text string) (n uint64, ok bool) {
	match := stoullText.FindStringSubmatch(text)
	if match == nil {
		return 0, false
	}
	v, _ := new(big.Int).SetString(match[2], 10)
	two64 := new(big.Int).Lsh(big.NewInt(1), 64)
	if v.Cmp(two64) >= 0 {
		return 0, false
	}
	if match[1] == "-" {
		v.Mod(v.Neg(v), two64)
	}
	return v.Uint64(), true
}

// numbers returns texts that begin more or less like a number.
func numbers(rng *rand.Rand, n int) []string {
	pick := func(from ...string) string { return from[rng.Intn(len(from))] }
	texts := []string{"", "3", "3\n", "+3", "3x", "-3", " 3", "\t\n\v\f\r 3", "+-3", "- 3", "--3", "x3", "\x003", "3\x004", "0x10", "١", "3.9", "1e3", "\u00a03",
		"18446744073709551615", "18446744073709551616", "-18446744073709551615", "-18446744073709551616", "99999999999999999999999",
		"00000000000000000000000000000000000000000000000000000007", "-0", "+0"}
	for range n {
		digits := fmt.Sprint(rng.Uint64() >> rng.Intn(64))
		switch rng.Intn(4) {
		case 0:
			digits = strings.Repeat("0", rng.Intn(25)) + digits
		case 1:
			digits += pick("", "0", "5", "9999")
		}
		texts = append(texts, pick("", "", " ", "\n", "\t\v", "\f\r ", "\x00", "\x85", "_")+pick("", "", "+", "-", "+-", "~")+digits+pick("", "", "\n", " ", "x", "-", "\x00", ".5", " 7"))
	}
	return texts
}

func TestNumbersAreReadAsStoull(t *testing.T) {
	for _, text := range numbers(rand.New(rand.NewSource(1)), 20_000) {
		want, ok := stoull(text)
		got, err := reorgdb.ParseCounter([]byte(text))
		require.Equal(t, want, got, "%q", text)
		if ok {
			require.NoError(t, err, "%q", text)
		} else {
			require.ErrorIs(t, err, reorgdb.ErrUnreadable, "%q", text)
		}
		kind, id := reorgdb.KeyKind([]byte("reorg:" + text))
		require.Equal(t, want, id, "%q", text)
		require.Equal(t, ok, kind == reorgdb.EventKind, "%q", text)
		require.Equal(t, !ok, kind == reorgdb.OddKind, "%q", text)
		// A node looks up a block by its whole key.
		kind, height := reorgdb.KeyKind([]byte("block:" + text))
		exact := ok && fmt.Sprintf("%020d", want) == text
		require.Equal(t, exact, kind == reorgdb.BlockKind, "%q", text)
		require.Equal(t, !exact, kind == reorgdb.OddKind, "%q", text)
		if exact {
			require.Equal(t, want, height)
		}
	}
}

// newReader returns what a node sees of a database, as the nodes' newer reader prints it.
func newReader(t *testing.T, db *reorgdb.DB) string {
	t.Helper()
	var b strings.Builder
	var first, last reorgdb.Block
	count := 0
	for block, err := range db.Blocks(ctx, 0) {
		require.NoError(t, err)
		if count++; count == 1 {
			first = block
		}
		last = block
	}
	from, to := "", ""
	if count > 0 {
		from, to = string(reorgdb.BlockKey(first.Height)), string(reorgdb.BlockKey(last.Height))
	}
	fmt.Fprintf(&b, "blocks %d %s %s st=OK\n", count, from, to)
	var events []reorgdb.ReorgEvent
	for e, err := range db.Events(ctx) {
		require.NoError(t, err)
		events = append(events, e)
	}
	slices.SortStableFunc(events, func(a, b reorgdb.ReorgEvent) int { return cmp.Compare(b.ID, a.ID) })
	for _, e := range events {
		fmt.Fprintf(&b, "event height=%d old=%s new=%s at=%d n=%d", e.Height, e.OldBlockHash, e.NewBlockHash, e.DetectedAt, len(e.InvalidatedAnchors))
		for _, anchor := range e.InvalidatedAnchors {
			fmt.Fprintf(&b, " [%s]", anchor)
		}
		b.WriteString("\n")
	}
	anchors := map[reorgdb.AnchorStatus][]string{}
	for a, err := range db.Anchors(ctx) {
		require.NoError(t, err)
		anchors[a.Status] = append(anchors[a.Status], fmt.Sprintf("anchor %s txid=%s height=%d conf=%d time=%d retry=%d status=%d root=%s\n",
			a.Hash, a.BitcoinTxID, a.BitcoinHeight, a.Confirmations, a.BroadcastTime, a.RetryCount, a.Status, a.L2StateRoot))
	}
	for status := range reorgdb.AnchorStatus(4) {
		fmt.Fprintf(&b, "status %d: %d\n%s", status, len(anchors[status]), strings.Join(anchors[status], ""))
	}
	return b.String()
}

// TestNewerGoldenDatabasesAreTheNodes: this includes databases of nodes that were killed, in
// which nothing is missing.
func TestNewerGoldenDatabasesAreTheNodes(t *testing.T) {
	for _, name := range []string{"lenient-keys", "listener-heights", "killed-at-start-6.11.4", "killed-while-creating-7.8.3"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(golden.Dir(), "reorg_db", name+".reader.txt"))
			require.NoError(t, err)
			_, want, _ := strings.Cut(string(text), "\n") // the version of RocksDB
			path := golden.Database(t, name)
			before := files(t, path)
			db := openReadOnly(t, path)
			require.Equal(t, want, newReader(t, db))
			require.Equal(t, before, files(t, path))
			// The same after a write.
			db, err = reorgdb.Open(path)
			require.NoError(t, err)
			update(t, db, func(u *reorgdb.Update) { require.NoError(t, u.Put(reorgdb.DefaultFamily, []byte("other"), nil)) })
			require.NoError(t, db.Sync())
			require.NoError(t, db.Close())
			require.Equal(t, want, newReader(t, openReadOnly(t, path)))
		})
	}
}

// TestNextEventIsAfterAllThatANodeSees: events that no node writes count as well, whatever the
// counter says, and no event is overwritten.
func TestNextEventIsAfterAllThatANodeSees(t *testing.T) {
	for _, test := range []struct {
		keys    []string
		counter string
		want    uint64
	}{
		{[]string{"reorg:7"}, "", 8},
		{[]string{"reorg:7", "reorg:00000000000000000003", "reorg: 9x"}, "8\n", 10},
		{[]string{"reorg:00000000000000000003"}, " +8x", 8},
		{[]string{"reorg:x", "reorg:", "reorg:18446744073709551616"}, "5", 5},
		{[]string{"reorg:-3"}, "1", 1<<64 - 2},
		{[]string{"reorg:-1", "reorg:4"}, "1", 5},
		{[]string{"reorg:00000000000000000003"}, "-2", 1<<64 - 2},
	} {
		db := create(t)
		before := map[string]string{}
		update(t, db, func(u *reorgdb.Update) {
			for _, key := range test.keys {
				before[key] = "1|o|n|5|0"
				require.NoError(t, u.Put(reorgdb.DefaultFamily, []byte(key), []byte(before[key])))
			}
			if test.counter != "" {
				require.NoError(t, u.Put(reorgdb.DefaultFamily, []byte(reorgdb.CounterKey), []byte(test.counter)))
			}
			see(t, u, 9, hash(9), reorgdb.Written)
		})
		update(t, db, func(u *reorgdb.Update) {
			require.Equal(t, test.want, see(t, u, 9, hash(10), reorgdb.Replaced).ID, "%v", test)
		})
		after := all(t, db)
		require.Equal(t, fmt.Sprint(test.want+1), after["reorg_counter"])
		require.Contains(t, after, string(reorgdb.EventKey(test.want)))
		for key, value := range before {
			require.Equal(t, value, after[key])
		}
	}
	// There is no id after the highest one.
	db := create(t)
	update(t, db, func(u *reorgdb.Update) {
		require.NoError(t, u.Put(reorgdb.DefaultFamily, reorgdb.EventKey(1<<64-1), []byte("1|o|n|5|0")))
		require.NoError(t, u.Put(reorgdb.DefaultFamily, []byte(reorgdb.CounterKey), []byte("-1")))
		see(t, u, 9, hash(9), reorgdb.Written)
	})
	require.ErrorContains(t, db.Update(func(u *reorgdb.Update) error {
		_, _, err := u.Block(ctx, reorgdb.Block{Height: 9, Hash: hash(10)}, 5)
		return err
	}), "no id is left")
}

// TestEventsThatANodeCannotRead: all announced anchors must be there, except for the last.
func TestEventsThatANodeCannotRead(t *testing.T) {
	for value, want := range map[string]struct {
		names   int
		missing uint64
		err     error
	}{
		"1|o|n|5|0":                          {},
		"1|o|n|5|0|A1|B2":                    {},
		" +1x|n|5|0":                         {}, // the x is the separator, and the old hash is empty
		" +1xo|n|5y0z":                       {},
		"1|o|n|5|1|A1":                       {names: 1},
		"1|o|n|5|1":                          {missing: 1},
		"1|o|n|5|1|":                         {missing: 1},
		"1|o|n|5|2|A1":                       {names: 1, missing: 1},
		"1|o|n|5|2|A1|":                      {names: 1, missing: 1},
		"1|o|n|5|2":                          {err: reorgdb.ErrUnreadable},
		"1|o|n|5|3|A1":                       {err: reorgdb.ErrUnreadable},
		"1|o|n|5|3|A1|B2":                    {names: 2, missing: 1},
		"1|o|n|5|3|A|B":                      {err: reorgdb.ErrUnreadable}, // to the node, the B is the separator, and nothing follows
		"1|o|n|5|2|A|B":                      {names: 2},
		"1|o|n|5|1000000":                    {err: reorgdb.ErrUnreadable},
		"1|o|n|5|1000000000|A1":              {err: reorgdb.ErrEndsNode},
		"1|o|n|5|4398046511105|A1":           {err: reorgdb.ErrEndsNode},
		"1|o|n|5|288230376151711744|":        {err: reorgdb.ErrEndsNode},
		"1|o|n|5|-1|A1":                      {err: reorgdb.ErrEndsNode},
		"1|o|n|5|18446744073709551615":       {err: reorgdb.ErrEndsNode},
		"1|o|n|5|18446744073709551616|A1|B2": {err: reorgdb.ErrUnreadable}, // not a number to the node
	} {
		e, err := reorgdb.ParseEvent(7, []byte(value))
		if want.err == nil {
			require.NoError(t, err, value)
			require.Len(t, e.InvalidatedAnchors, want.names, value)
			require.Equal(t, want.missing, e.Missing, value)
			continue
		}
		require.ErrorIs(t, err, reorgdb.ErrUnreadable, value)
		if want.err == reorgdb.ErrUnreadable {
			require.NotErrorIs(t, err, reorgdb.ErrEndsNode, value)
		} else {
			require.ErrorIs(t, err, reorgdb.ErrEndsNode, value)
		}
	}
}

// TestWhatFollowsAStateRootIsKept: without it, no node could read a record with an empty root
// any longer.
func TestWhatFollowsAStateRootIsKept(t *testing.T) {
	path := golden.Database(t, "lenient-keys")
	db, err := reorgdb.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	a, ok, err := db.Anchor("nlonly")
	require.NoError(t, err)
	require.True(t, ok)
	require.Empty(t, a.L2StateRoot)
	require.Equal(t, "\ncd", a.AfterRoot())
	update(t, db, func(u *reorgdb.Update) {
		a.Confirmations = 9
		require.NoError(t, u.Anchor(a))
		see(t, u, 1, hash(1), reorgdb.Written)
	})
	require.Equal(t, "nlonly|t|1|9|1|0|1|\ncd", all(t, db)["anchor:nlonly"])
	update(t, db, func(u *reorgdb.Update) {
		require.Equal(t, []string{"nlonly", "nlroot"}, see(t, u, 1, hash(2), reorgdb.Replaced).InvalidatedAnchors)
	})
	require.Equal(t, "nlonly|t|1|0|1|0|2|\ncd", all(t, db)["anchor:nlonly"])
	require.Equal(t, "nlroot|t|1|0|1|0|2|ab\ncd", all(t, db)["anchor:nlroot"])
}
