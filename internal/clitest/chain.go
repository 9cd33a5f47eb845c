package clitest

import (
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ailee-recovery/internal/bitcoin/bitcointest"
)

// chainKey is where a script keeps its Bitcoin node, a **bitcointest.Chain.
type chainKey struct{}

func chainOf(ts *testscript.TestScript) **bitcointest.Chain {
	return ts.Value(chainKey{}).(**bitcointest.Chain)
}

func number(ts *testscript.TestScript, text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	ts.Check(err)
	return n
}

// chain TIP [syncing|old|ahead] starts a Bitcoin node in memory and sets CHAIN to its URL. The
// node has all blocks, is still syncing, has a tip that is 30 hours old, or knows a header whose
// block it lacks.
func chain(ts *testscript.TestScript, _ bool, args []string) {
	c := bitcointest.NewChain(number(ts, args[0]))
	switch word := strings.Join(args[1:], " "); word {
	case "":
	case "syncing":
		c.Syncing = true
	case "old":
		c.Age = 30 * time.Hour
	case "ahead":
		c.Ahead = 1
	default:
		ts.Fatalf("unknown kind of chain: %s", word)
	}
	s := httptest.NewServer(c)
	ts.Defer(s.Close)
	*chainOf(ts) = c
	ts.Setenv("CHAIN", s.URL)
}

// reorg FROM TIP replaces the blocks starting at a height, up to the new tip.
func reorganise(ts *testscript.TestScript, _ bool, args []string) {
	(*chainOf(ts)).Reorganise(number(ts, args[0]), number(ts, args[1]))
}

// requests N asserts that the Bitcoin node got N requests.
func requests(ts *testscript.TestScript, _ bool, args []string) {
	if n := (*chainOf(ts)).Requests(); n != number(ts, args[0]) {
		ts.Fatalf("%d requests, want %s", n, args[0])
	}
}
