package reorgtool

import (
	"fmt"
	"time"
)

// Heights returns "height N" or "heights N to M", with both ends included.
func Heights(from, to uint64) string {
	if from == to {
		return fmt.Sprintf("height %d", from)
	}
	return fmt.Sprintf("heights %d to %d", from, to)
}

// maxSeconds is the end of the year 9999.
const maxSeconds = 253402300799

// UTC formats a time in Unix seconds. It returns false for a time after the year 9999.
func UTC(s uint64) (string, bool) {
	if s > maxSeconds {
		return "", false
	}
	return time.Unix(int64(s), 0).UTC().Format(time.RFC3339), true
}
