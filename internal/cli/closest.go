package cli

import (
	"strings"

	"github.com/xrash/smetrics"
)

// Closest returns the name that a misspelt word is most like, "" where it is like none.
func Closest(word string, names []string) string {
	// How much it has to be like one, from 0 for not at all to 1 for the same.
	best, likeness := "", 0.85
	for _, name := range names {
		if l := smetrics.JaroWinkler(strings.ToLower(word), name, 0.7, 4); l > likeness {
			best, likeness = name, l
		}
	}
	return best
}
