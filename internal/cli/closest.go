package cli

import (
	"strings"

	"github.com/xrash/smetrics"
)

// Closest returns the name that a misspelt word resembles most, "" if it resembles none.
func Closest(word string, names []string) string {
	// The likeness to exceed, from 0 (nothing in common) to 1 (identical).
	best, likeness := "", 0.85
	for _, name := range names {
		if l := smetrics.JaroWinkler(strings.ToLower(word), name, 0.7, 4); l > likeness {
			best, likeness = name, l
		}
	}
	return best
}
