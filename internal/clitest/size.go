package clitest

import (
	"os"
	"testing"
)

// UnderRace says that the race detector is on. A tool then takes most of a second to
// start, and it sees nothing of the tools that a tool starts.
var UnderRace bool

// SkipUnderRace leaves out what starts or kills so many
// processes that the race detector costs minutes: it could say nothing there that it
// does not say of the same code in the other tests.
func SkipUnderRace(t *testing.T) {
	if UnderRace {
		t.Skip("not tested with the race detector")
	}
}

// UnderLoad reports whether the large forms of the tests under load are to run: make load.
func UnderLoad() bool { return os.Getenv("AILEE_LOAD") != "" }

// Hostile reports whether the large forms of the tests of hostile and damaged files are to
// run: make hostile.
func Hostile() bool { return os.Getenv("AILEE_HOSTILE") != "" }

// Kills is how many processes to kill where the whole test kills n.
func Kills(n int) int {
	if testing.Short() {
		return n / 20
	}
	return n
}
