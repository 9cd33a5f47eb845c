package clitest

import (
	"net/http/httptest"
	"strconv"

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

// chain TIP syncing starts a Bitcoin node in memory, without the last word one that has all blocks, and sets CHAIN to its URL.
func chain(ts *testscript.TestScript, _ bool, args []string) {
	c := bitcointest.NewChain(number(ts, args[0]))
	c.Syncing = len(args) > 1
	s := httptest.NewServer(c)
	ts.Defer(s.Close)
	*chainOf(ts) = c
	ts.Setenv("CHAIN", s.URL)
}

// reorg FROM TIP replaces the blocks from a height on, up to the new tip.
func reorganise(ts *testscript.TestScript, _ bool, args []string) {
	(*chainOf(ts)).Reorganise(number(ts, args[0]), number(ts, args[1]))
}

// requests N asserts how many requests the Bitcoin node had.
func requests(ts *testscript.TestScript, _ bool, args []string) {
	if n := (*chainOf(ts)).Requests(); n != number(ts, args[0]) {
		ts.Fatalf("%d requests, want %s", n, args[0])
	}
}
