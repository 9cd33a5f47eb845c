package clitest

import (
	"os"
	"testing"
)

// UnderRace says that the race detector is on. A tool then takes most of a second to start, and
// the detector does not see the processes that a tool starts.
var UnderRace bool

// SkipUnderRace skips a test that starts or kills so many processes that the race detector costs
// minutes: it would find nothing that it does not find in the same code in other tests.
func SkipUnderRace(t *testing.T) {
	if UnderRace {
		t.Skip("not tested with the race detector")
	}
}

// UnderLoad reports whether to run the large forms of the tests under load: make load.
func UnderLoad() bool { return os.Getenv("AILEE_LOAD") != "" }

// Hostile reports whether to run the large forms of the tests with hostile and damaged files:
// make hostile.
func Hostile() bool { return os.Getenv("AILEE_HOSTILE") != "" }

// Kills returns how many processes to kill in a test whose long form kills n.
func Kills(n int) int {
	if testing.Short() {
		return n / 20
	}
	return n
}
