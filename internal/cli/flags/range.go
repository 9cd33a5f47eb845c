package flags

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Range is a range of snapshot numbers, both ends included.
type Range struct{ First, Last int64 }

// All is the range of all snapshots.
var All = Range{First: 1, Last: math.MaxInt64}

// ParseRange reads K or A-B. Numbers start at 1.
func ParseRange(text string) (Range, error) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	a, errA := strconv.ParseInt(first, 10, 64)
	b, errB := strconv.ParseInt(last, 10, 64)
	if errA != nil || errB != nil || a < 1 || b < a {
		return Range{}, fmt.Errorf("--index %q is not a snapshot number or a range such as 3-7", text)
	}
	return Range{First: a, Last: b}, nil
}
